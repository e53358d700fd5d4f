"""How near the mean brightness of an image is to a target."""

from counterpoint_reward import reward


@reward(range=(0, 1), needs=["image"], judges="generation", deterministic=True, batch_invariant=True)
class Brightness:
    """How near the mean brightness of an image is to a target."""

    def __init__(self, *, target=0.5):
        self.target = float(target)  # 0 (black) to 1 (white)
        if not 0 <= self.target <= 1:
            raise ValueError(f"expected a target of 0 to 1, got {self.target}")

    def score(self, batch):
        return [self.one(item.image) for item in batch]

    def one(self, image):
        white = 255 if image.dtype == "uint8" else 1
        mean = image.mean(dtype="float64") / white
        return min(max(1 - abs(mean - self.target), 0), 1)
