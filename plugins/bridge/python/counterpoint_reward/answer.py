"""What a reward answers: one number, `Abstain` or `Fail` for each item."""

from array import array
from collections.abc import Iterator
from math import nan


class _Without:
    """In the place of a score."""

    why: str

    def __init__(self, why: str = ""):
        self.why = str(why)

    def __eq__(self, other):
        return type(self) is type(other) and self.why == other.why

    def __hash__(self):
        return hash((type(self), self.why))

    def __repr__(self):
        return f"{type(self).__name__}({self.why!r})"


class Abstain(_Without):
    """In the place of a score: the reward does not apply to the item, for this reason. None means the same."""


class Fail(_Without):
    """In the place of a score: the item could not be scored, for this reason."""


class Wrong(Exception):
    """The answer breaks the contract."""


def states_and_values(answer, items, outputs):
    """The states of `items` items as the protocol has them, and their values as an array of f64."""
    answer = _plain(answer)
    if not _ordered(answer):
        raise Wrong(f"expected a list of {items} scores, one for each item, got {_short(answer)}")
    answer = list(answer)
    if len(answer) != items:
        raise Wrong(f"expected {items} scores, one for each item, got {len(answer)}")
    states, values = [], array("d", [nan]) * (items * outputs)
    for i, score in enumerate(answer):
        if score is None:
            score = Abstain()
        if isinstance(score, _Without):
            states.append({"fail" if isinstance(score, Fail) else "abstain": score.why})
            continue
        states.append("value")
        for j, value in enumerate(_row(score, outputs, i)):
            values[i * outputs + j] = _number(value, i)
    return states, values


def _ordered(value):
    """Whether it says what comes first: a list, a tuple, an array or a generator; no set, dict or table, and no text."""
    if isinstance(value, (str, bytes, bytearray)) or hasattr(value, "keys"):
        return False
    return isinstance(value, Iterator) or (hasattr(value, "__len__") and hasattr(value, "__getitem__"))


def _row(score, outputs, i):
    score = _plain(score)
    if not _ordered(score):
        if outputs == 1:
            return [score]
        raise Wrong(f"expected a list of {outputs} numbers for item {i}, one for each output, got {_short(score)}")
    row = list(score)
    if len(row) != outputs:
        raise Wrong(f"expected {outputs} numbers for item {i}, one for each output, got {len(row)}")
    return row


def _number(value, i):
    value = _plain(value)
    # A text that reads like a number is none: it is a mistake.
    if isinstance(value, (str, bytes, bytearray)) or not (hasattr(value, "__float__") or hasattr(value, "__index__")):
        raise Wrong(f"expected a number, Abstain or Fail for item {i}, got {_short(value)}")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise Wrong(f"expected a number, Abstain or Fail for item {i}, got {_short(value)} ({error})") from None


def _plain(value):
    """Lists and numbers in the place of an array or tensor, wherever it lies and whether or not it needs a gradient."""
    if hasattr(value, "detach"):
        value = value.detach()
    return value.tolist() if hasattr(value, "tolist") else value


def _short(value):
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 80 else text[:77] + '...'}"
