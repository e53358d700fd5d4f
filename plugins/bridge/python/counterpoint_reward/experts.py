"""The rewards of a file."""

import inspect
import re

# What the C interface calls them: a manifest names the version that it is written for.
ABI = {"major": 1, "minor": 1}
NEEDS = ("text", "image", "reference", "face")
JUDGES = ("understanding", "generation", "both")
DETERMINISTIC, BATCH_INVARIANT = 2, 4

_experts = {}


class Expert:
    """A function or class with its entry in the manifest."""

    def __init__(self, scorer, entry, capabilities):
        self.scorer = scorer
        self.entry = entry
        self.capabilities = capabilities
        self.outputs = len(entry["outputs"])

    def create(self, settings, base):
        """What scores a batch: the function, or the method `score` of an instance of the class."""
        if inspect.isclass(self.scorer):
            return self.scorer(settings, base).score
        return self.scorer


def reward(
    scorer=None,
    *,
    name=None,
    range=None,
    outputs=None,
    needs=(),
    judges="both",
    description=None,
    deterministic=False,
    batch_invariant=False,
):
    """Makes a reward of a function `score(batch)`, or of a class with `__init__(self, settings, base)` and `score(self, batch)`.

    name: lower case letters, digits, `_` and `-`; the function's or class's in lower case without it. range: least and
    greatest score; without it every finite number is allowed. outputs: for rewards that give several numbers an item, their
    names and ranges, such as {"sharp": (0, 1), "size": None}; the answer has a row for each item then. needs: what an item
    must have, of "text", "image", "reference" and "face"; items without an image or reference never come where one is needed.
    judges: which halves of the loop the scores depend on: "understanding" is the answer alone, whatever the image,
    "generation" the image alone, whatever prompt and answer, and "both" is never wrong.
    deterministic: same settings, items and seed give the same scores to the last bit. batch_invariant: an item's score does
    not depend on the other items.
    """
    if scorer is None:
        return lambda scorer: reward(
            scorer,
            name=name,
            range=range,
            outputs=outputs,
            needs=needs,
            judges=judges,
            description=description,
            deterministic=deterministic,
            batch_invariant=batch_invariant,
        )
    if not callable(scorer) or (inspect.isclass(scorer) and not callable(getattr(scorer, "score", None))):
        raise TypeError(f"@reward: expected a function, or a class with a method `score`, got {scorer!r}")
    name = scorer.__name__.lower() if name is None else name
    if not re.fullmatch(r"[a-z0-9_-]+", name):
        raise ValueError(f"@reward: expected a name of lower case letters, digits, `_` and `-`, got {name!r}; pass name=...")
    if name in _experts:
        raise ValueError(f"@reward: expected one reward called {name!r}, got two; pass name=...")
    if isinstance(needs, str) or not set(needs) <= set(NEEDS):
        raise ValueError(f"@reward {name}: needs: expected a list of some of {NEEDS}, got {needs!r}")
    if judges not in JUDGES:
        raise ValueError(f"@reward {name}: judges: expected one of {JUDGES}, got {judges!r}")
    if judges == "understanding" and "image" in needs:
        raise ValueError(f"@reward {name}: judges: expected generation or both of a reward that needs an image, got {judges!r}")
    if range is not None and outputs is not None:
        raise ValueError(f"@reward {name}: expected a range or outputs with ranges, got both")
    ranges = {"score": range} if outputs is None else dict(outputs)
    if not ranges:
        raise ValueError(f"@reward {name}: outputs: expected 1 or more, got none")
    entry = {
        "name": name,
        "description": " ".join((description or inspect.getdoc(scorer) or "").split("\n\n")[0].split()),
        "outputs": [_output(name, output, bounds) for output, bounds in ranges.items()],
        "needs": list(needs),
    }
    if judges != "both":
        entry["judges"] = judges
    _experts[name] = Expert(scorer, entry, DETERMINISTIC * bool(deterministic) | BATCH_INVARIANT * bool(batch_invariant))
    return scorer


def _output(name, output, bounds):
    if bounds is None:
        return {"name": str(output)}
    try:
        least, greatest = (float(bound) for bound in bounds)
    except (TypeError, ValueError):
        raise ValueError(f"@reward {name}: range: expected (least, greatest), got {bounds!r}") from None
    if not float("-inf") < least <= greatest < float("inf"):
        raise ValueError(f"@reward {name}: range: expected two finite numbers in order, got {bounds!r}")
    return {"name": str(output), "range": [least, greatest]}


def find(scorer):
    """The reward that was made of a function or class."""
    for expert in _experts.values():
        if expert.scorer is scorer:
            return expert
    raise LookupError(f"expected something decorated with @reward, got {scorer!r}")


def named(name):
    """The reward called so, or None."""
    return _experts.get(name)


def manifest(name, version):
    """The manifest of everything decorated so far, and the capabilities that all have."""
    if not _experts:
        raise LookupError("expected a function or class decorated with @reward, got none")
    capabilities = DETERMINISTIC | BATCH_INVARIANT
    for expert in _experts.values():
        capabilities &= expert.capabilities
    entries = [expert.entry for expert in _experts.values()]
    return {"abi": ABI, "name": name, "version": version, "experts": entries}, capabilities
