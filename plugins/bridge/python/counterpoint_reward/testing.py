"""Calls a reward without a run, as a run would.

    from counterpoint_reward.testing import item, score
    import my_rewards

    assert score(my_rewards.brightness, [item(image=white)]) == [1.0]
"""

import json
from collections.abc import Callable, Iterable
from typing import Any, Optional, Union

from . import experts
from .answer import Abstain, Fail, states_and_values
from .batch import Batch, Item

__all__ = ["batch", "item", "score"]


def item(
    prompt: str = "",
    response: str = "",
    class_name: str = "",
    params: Any = None,
    candidate: int = 0,
    image: Any = None,
    references: Iterable[Any] = (),
) -> Item:
    """An item; `params` is anything that JSON has, images are numpy arrays as `Item` says."""
    body = bytearray()
    wire = {
        "prompt": prompt,
        "response": response,
        "class_name": class_name,
        "params": "" if params is None else json.dumps(params),
        "candidate": candidate,
        "image": None if image is None else _tensor(image, body),
        "references": [_tensor(reference, body) for reference in references],
    }
    return Item(wire, body)


def batch(items: Iterable[Item], seed: int = 0, deadline: Optional[float] = None, cancelled: bool = False) -> Batch:
    """A batch, whose call should have ended long ago if `cancelled`."""
    return Batch(items, seed, deadline, lambda: cancelled)


def score(
    scorer: Callable[..., Any],
    items: Iterable[Item],
    seed: int = 0,
    settings: Optional[dict[str, Any]] = None,
    base: str = ".",
    deadline: Optional[float] = None,
    cancelled: bool = False,
) -> list[Union[float, list[float], Abstain, Fail]]:
    """Calls what @reward decorated, or any function that a run could call, and checks answer and ranges as a run does.

    For each item a number (a list of them for a reward with `outputs`), an `Abstain` or a `Fail`.
    """
    expert = experts.find(scorer)
    given = batch([Item(item._wire, item._body, expert.images) for item in items], seed, deadline, cancelled)
    answer = expert.create(settings or {}, base)(given)
    states, values = states_and_values(answer, len(given), expert.outputs)
    n = expert.outputs
    return [_result(expert, state, values[i * n : (i + 1) * n].tolist()) for i, state in enumerate(states)]


def _result(expert, state, row):
    if state != "value":
        return Abstain(state["abstain"]) if "abstain" in state else Fail(state["fail"])
    for value, output in zip(row, expert.entry["outputs"]):
        least, greatest = output.get("range", (float("-inf"), float("inf")))
        if not (least <= value <= greatest and abs(value) < float("inf")):
            return Fail(f"expected a finite `{output['name']}` in {least} to {greatest}, got {value}")
    return row[0] if expert.outputs == 1 else row


def _tensor(image, body):
    kinds = {"uint8": "u8", "float32": "f32"}
    if str(image.dtype) not in kinds or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"expected an image of uint8 or float32 and [height, width, 3], got {image.dtype} {image.shape}")
    at = len(body)
    body += image.tobytes()
    body += bytes(-len(body) % 8)
    return {"dtype": kinds[str(image.dtype)], "shape": list(image.shape), "offset": at}
