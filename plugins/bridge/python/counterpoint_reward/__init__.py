"""Write a reward for Counterpoint in Python.

    from counterpoint_reward import reward

    @reward(range=(0, 1), needs=["image"])
    def brightness(batch):
        return [item.image.mean() / 255 for item in batch]

`python3 -m counterpoint_reward FILE.py` serves the file to a run, which starts it so. `counterpoint_reward.testing` calls a
reward without a run.
"""

from .answer import Abstain, Fail
from .batch import Batch, Cancelled, Item
from .experts import reward

__all__ = ["Abstain", "Batch", "Cancelled", "Fail", "Item", "reward"]
__version__ = "0.1.0"
