"""Write a reward for Counterpoint in Python.

    from counterpoint_reward import reward

    @reward(range=(0, 1), needs=["image"])
    def brightness(batch, *, target=0.5):
        return [1 - abs(item.image.mean() / 255 - target) for item in batch]

`python3 -m counterpoint_reward FILE.py` serves the file to a run, which starts it so; a function with a parameter `completions`,
as TRL has them, needs no decorator, and `MODULE:NAME` in the place of a file serves one of a package. `counterpoint_reward.testing` calls a
reward without a run.
"""

from .answer import Abstain, Fail
from .batch import Batch, Cancelled, Item
from .experts import reward

__all__ = ["Abstain", "Batch", "Cancelled", "Fail", "Item", "reward"]
__version__ = "0.1.0"
