"""What a reward is given."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Optional, Union


class Cancelled(Exception):
    """Raised by `Batch.check`: the call should end."""


class Item:
    """One sample.

    prompt: what the image was generated from; response: what the policy wrote; class_name: concept class; candidate: number
    within its group; params: the task's parameters, parsed, or None; image: what the policy generated, or None; references:
    images of the concept. Images are numpy arrays of shape [height, width, 3], sRGB: uint8 (0 to 255) or float32 (0 to 1).
    They are read-only views, which items may share; torch.tensor(item.image) makes a tensor of its own. With
    `@reward(images="pil")` they are images of Pillow.
    """

    prompt: str
    response: str
    class_name: str
    candidate: int

    def __init__(self, wire: dict[str, Any], body: Any = b"", images: str = "numpy"):
        self._wire = wire
        self._body = body
        self._image = _array if images == "numpy" else _pil
        self.prompt = wire["prompt"]
        self.response = wire["response"]
        self.class_name = wire["class_name"]
        self.candidate = wire["candidate"]

    @property
    def params(self) -> Any:
        return json.loads(self._wire["params"]) if self._wire["params"] else None

    @property
    def has_image(self) -> bool:
        """Whether there is an image; needs no numpy."""
        return self._wire["image"] is not None

    @property
    def image(self) -> Any:
        return self._image(self._wire["image"], self._body) if self.has_image else None

    @property
    def references(self) -> list[Any]:
        return [self._image(tensor, self._body) for tensor in self._wire["references"]]

    def __repr__(self):
        return f"Item(prompt={self.prompt!r}, response={self.response!r}, candidate={self.candidate})"


class Batch(Sequence[Item]):
    """The items of a call.

    seed: of everything random in the call, 0 to 2^64 - 1; deadline: seconds that the call may take, or None.
    """

    def __init__(
        self,
        items: Iterable[Item],
        seed: int = 0,
        deadline: Optional[float] = None,
        cancelled: Callable[[], bool] = lambda: False,
    ):
        self._items = list(items)
        self._cancelled = cancelled
        self.seed = seed
        self.deadline = deadline

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, i: Union[int, slice]) -> Any:
        return self._items[i]

    def cancelled(self) -> bool:
        """Whether the call should end: its scores are not wanted any more. Long ones ask it between items."""
        return self._cancelled()

    def check(self) -> None:
        """Raises `Cancelled` when the call should end."""
        if self.cancelled():
            raise Cancelled("the call was stopped")


_SIZES = {"u8": 1, "f32": 4}


def _array(tensor, body):
    import numpy  # only images need it

    height, width, channels = tensor["shape"]
    at, size = tensor["offset"], height * width * channels * _SIZES[tensor["dtype"]]
    if channels != 3 or at < 0 or at + size > len(body):
        raise ValueError(f"expected an image within a body of {len(body)} bytes, got {tensor}")
    flat = numpy.frombuffer(body, dtype="u1" if tensor["dtype"] == "u8" else "<f4", count=height * width * 3, offset=at)
    array = flat.reshape(height, width, 3)
    array.flags.writeable = False
    return array


def _pil(tensor, body):
    from PIL import Image  # only those who ask for it need it

    array = _array(tensor, body)
    return Image.fromarray(array if array.dtype == "u1" else (array * 255).round().clip(0, 255).astype("u1"))
