"""Rewards for the tests, one for each thing that can go well or wrong."""

import os
import subprocess
import sys
import time

from counterpoint_reward import Abstain, Fail, reward

__version__ = "1.2"

if os.environ.get("MOODY_LOAD"):
    subprocess.Popen(["sleep", "1000"])
    while os.environ["MOODY_LOAD"] == "hang":
        time.sleep(1000)


@reward(range=(-1e10, 1e10), judges="understanding")
def moody(batch, *, weight=1):
    """Does what the response says."""
    return [_one(batch, item, weight) for item in batch]


def _one(batch, item, weight):
    word = item.response
    if word == "abstain":
        return Abstain("not my thing")
    if word == "none":
        return None
    if word == "fail":
        return Fail("cannot see \"it\"\n")
    if word == "nan":
        return float("nan")
    if word == "raise":
        raise ValueError("no mood today")
    if word == "leave":
        sys.exit("left")
    if word == "exit":
        os._exit(7)
    if word == "crash":
        os.abort()
    if word == "print":
        print("CPTF this goes nowhere")
        os.write(1, b"raw\n")
        os.system("echo from a shell")
        return 0.5 if sys.stdin.read() == "" else 0
    if word == "wait":
        while True:
            batch.check()
            time.sleep(0.002)
    if word == "hang":
        time.sleep(1000)
    if word == "hog":
        return len(bytearray(512 << 20))
    if word == "seed":
        return batch.seed % 2**32
    if word == "process":
        return os.getpid()
    if word == "long":
        return [1, 2]
    if word == "text":
        return "0.5"
    params = item.params or {}
    return weight * (len(item.prompt) + params.get("n", 0) + item.candidate * 1e-3)


@reward
def too_few(batch):
    return [1.0]


@reward(outputs={"mean": (0, 1), "sum": None}, needs=["image"])
class Images:
    def __init__(self, *, refuse=False):
        if refuse:
            raise RuntimeError("refused, as asked")
        import numpy

        self.numpy = numpy

    def score(self, batch):
        return [self.row(item) for item in batch]

    def row(self, item):
        top = 255 if item.image.dtype == self.numpy.uint8 else 1
        images = [item.image, *item.references]
        assert all(image.base is not None for image in images), "expected views"
        weights = self.numpy.arange(1, item.image.size + 1).reshape(item.image.shape)
        return item.image.mean(dtype="f8") / top, sum(float((w.astype("f8")).sum()) for w in images) + float(
            (item.image.astype("f8") * weights).sum()
        )
