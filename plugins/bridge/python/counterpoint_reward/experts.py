"""The rewards of a file."""

import inspect
import re
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, Optional

from . import calls

# What the C interface calls them: a manifest names the version that it is written for.
ABI = {"major": 1, "minor": 1}
NEEDS = ("text", "image", "reference", "face")
JUDGES = ("understanding", "generation", "both")
IMAGES = ("numpy", "pil")
DETERMINISTIC, BATCH_INVARIANT = 2, 4

_experts = {}


class Expert:
    """A function, class or instance with its entry in the manifest."""

    def __init__(self, scorer, entry, capabilities, images, chat):
        self.scorer = scorer
        self.entry = entry
        self.capabilities = capabilities
        self.images = images
        self.chat = chat
        self.outputs = len(entry["outputs"])

    def create(self, settings, base):
        """What scores a batch."""
        return calls.bind(self.scorer, settings, base, self.chat)


def reward(
    scorer: Optional[Callable[..., Any]] = None,
    *,
    name: Optional[str] = None,
    range: Optional[tuple[float, float]] = None,
    outputs: Optional[dict[str, Optional[tuple[float, float]]]] = None,
    needs: Optional[Iterable[str]] = None,
    judges: str = "both",
    description: Optional[str] = None,
    deterministic: bool = False,
    batch_invariant: bool = False,
    images: str = "numpy",
    chat: Optional[bool] = None,
) -> Callable[..., Any]:
    """Makes a reward of anything that can be called, with a batch or as TRL does it, async or not.

    A function `score(batch)` gets a `Batch`; one with a parameter `completions` gets columns, a list with an entry for each item:
    `prompts`, `completions`, `class_names`, `images` and `references` where it names them, and one for each parameter of the
    tasks. A class is made with the reward's settings as keywords, `def __init__(self, *, target=0.5)`, and has a method `score` or
    `__call__` of either kind; a function may have settings as keywords of its own. One called `base` is the folder that
    relative paths are relative to.

    name: lower case letters, digits, `_` and `-`; the function's or class's in lower case without it. range: least and
    greatest score; without it every finite number is allowed. outputs: for rewards that give several numbers an item, their
    names and ranges, such as {"sharp": (0, 1), "size": None}; the answer has a row for each item then. needs: what an item
    must have, of "text", "image", "reference" and "face"; items without an image or reference never come where one is needed;
    by default what the parameters `images` and `references` say.
    judges: which halves of the loop the scores depend on: "understanding" is the answer alone, whatever the image,
    "generation" the image alone, whatever prompt and answer, and "both" is never wrong.
    deterministic: same settings, items and seed give the same scores to the last bit. batch_invariant: an item's score does
    not depend on the other items. images: "numpy" for arrays, "pil" for images of Pillow. chat: prompts and completions
    are lists of messages; by default where the annotation of `completions` speaks of a dict, as those of TRL's own rewards do.
    """
    options = {
        "name": name,
        "range": range,
        "outputs": outputs,
        "needs": needs,
        "judges": judges,
        "description": description,
        "deterministic": deterministic,
        "batch_invariant": batch_invariant,
        "images": images,
        "chat": chat,
    }
    if scorer is None:
        return lambda scorer: reward(scorer, **options)
    expert = _expert(scorer, **options)
    name = expert.entry["name"]
    if name in _experts:
        raise ValueError(f"@reward: expected one reward called {name!r}, got two; pass name=...")
    _experts[name] = expert
    return scorer


def _expert(
    scorer, name=None, range=None, outputs=None, needs=None, judges="both", description=None, deterministic=False,
    batch_invariant=False, images="numpy", chat=None,
):  # fmt: skip
    if not callable(scorer) and not callable(getattr(scorer, "score", None)):
        raise TypeError(f"@reward: expected a function, or something with a method `score` or `__call__`, got {scorer!r}")
    if inspect.isclass(scorer) and not any(callable(vars(c).get(m)) for c in scorer.__mro__ for m in ("score", "__call__")):
        raise TypeError(f"@reward: expected a class with a method `score` or `__call__`, got {scorer!r}")
    calls.refuse(scorer)
    name = getattr(scorer, "__name__", type(scorer).__name__).lower() if name is None else name
    needs = calls.needs_of(scorer) if needs is None else needs
    if not re.fullmatch(r"[a-z0-9_-]+", name):
        raise ValueError(f"@reward: expected a name of lower case letters, digits, `_` and `-`, got {name!r}; pass name=...")
    if isinstance(needs, str) or not set(needs) <= set(NEEDS):
        raise ValueError(f"@reward {name}: needs: expected a list of some of {NEEDS}, got {needs!r}")
    if images not in IMAGES:
        raise ValueError(f"@reward {name}: images: expected one of {IMAGES}, got {images!r}")
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
    capabilities = DETERMINISTIC * bool(deterministic) | BATCH_INVARIANT * bool(batch_invariant)
    return Expert(scorer, entry, capabilities, images, chat)


def collect(module: ModuleType, names=()):
    """Makes rewards of what was not decorated: those of `names`, or every function of the module with a parameter `completions`."""
    for name in names:
        reward(getattr(module, name))
    if _experts or names:
        return
    for name, value in vars(module).items():
        if inspect.isfunction(value) and not name.startswith("_") and calls.takes_columns(value):
            reward(value)


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
    """The reward that was made of a function or class, or would be of one that was not decorated."""
    return next((expert for expert in _experts.values() if expert.scorer is scorer), None) or _expert(scorer)


def named(name):
    """The reward called so, or None."""
    return _experts.get(name)


def manifest(name, version):
    """The manifest of everything decorated so far, and the capabilities that all have."""
    if not _experts:
        raise LookupError("expected a function or class decorated with @reward, or a function with a parameter `completions`, got none")
    capabilities = DETERMINISTIC | BATCH_INVARIANT
    for expert in _experts.values():
        capabilities &= expert.capabilities
    entries = [expert.entry for expert in _experts.values()]
    return {"abi": ABI, "name": name, "version": version, "experts": entries}, capabilities
