"""A file served to a host that is gone, or that sends what cannot be taken."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from counterpoint_reward.frames import MAGIC, PREFIX

REWARD = """
from counterpoint_reward import Fail, reward

@reward
def names(batch):
    if batch[0].response == "raise":
        raise OSError("no file caf\\udce9")
    return [Fail("caf\\udce9")]
"""


def frame(body_size, **header):
    text = json.dumps(header).encode()
    return PREFIX.pack(MAGIC, len(text), body_size) + text


class Serve(unittest.TestCase):
    def setUp(self):
        self.start(REWARD)

    def start(self, text, what="names.py"):
        """Serves `what` from a folder with a file `names.py` of this text."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        Path(folder.name, "names.py").write_text(text)
        self.child = subprocess.Popen(
            [sys.executable, "-m", "counterpoint_reward", what],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder.name,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        )
        self.addCleanup(self.end)

    def end(self):
        self.child.kill()
        self.child.communicate()

    def send(self, body_size=0, **header):
        self.child.stdin.write(frame(body_size, **header))
        self.child.stdin.flush()

    def take(self):
        """The next header, as it was sent."""
        _, header, body = PREFIX.unpack(self.child.stdout.read(PREFIX.size))
        text = self.child.stdout.read(header)
        self.child.stdout.read(body)
        return text.decode()

    def test_a_reader_that_fails_ends_the_program(self):
        huge = 2**62
        cases = {
            "MemoryError": [frame(0, kind="create", expert="names", settings={}, base=".", body_limit=huge), frame(huge, kind="score")],
            "TypeError": [frame(0, kind="create", body_limit="8"), frame(8, kind="score")],
            "KeyError": [frame(0, kind="create")],
            "Malformed": [b"Hello, world: 16"],
        }
        for name, frames in cases.items():
            with self.subTest(name):
                self.end()
                self.setUp()
                self.child.stdin.write(b"".join(frames))
                self.child.stdin.flush()
                # The pipe stays open meanwhile.
                self.assertEqual(self.child.wait(10), 1)
                self.assertIn(f"cannot take a frame: {name}", self.child.stderr.read().decode())

    def test_half_a_surrogate_pair_is_sent_as_a_question_mark(self):
        self.send(kind="create", expert="names", settings={}, base=".", body_limit=0)
        self.take(), self.take()
        for response in ("fail", "raise"):
            item = {"response": response, "prompt": "", "class_name": "", "candidate": 0, "params": "", "image": None}
            self.send(kind="score", id=1, seed=0, items=[{**item, "references": []}])
            answer = self.take()
            self.assertIn("caf?", answer)
            self.assertNotIn("ud", answer.split("caf?")[1])

    def test_each_reward_has_its_own_promises(self):
        self.end()
        self.start(
            "from counterpoint_reward import reward\n"
            "@reward(deterministic=True, batch_invariant=True)\ndef sure(batch): return []\n"
            "@reward(batch_invariant=True)\ndef drawn(batch): return []\n"
        )
        self.assertEqual(json.loads(self.take())["capabilities"], 4)
        self.send(kind="create", expert="sure", settings={}, base=".", body_limit=0)
        self.assertEqual(json.loads(self.take()), {"kind": "created", "capabilities": 6})

    def test_a_function_of_a_module_needs_neither_file_nor_decorator(self):
        theirs = "def length(completions, **kwargs): return [len(c) for c in completions]\ndef other(completions): return []\n"
        for what, names in [("names:length", ["length"]), ("names.py", ["length", "other"])]:
            self.end()
            self.start(theirs, what)
            hello = json.loads(self.take())
            self.assertEqual([expert["name"] for expert in hello["manifest"]["experts"]], names)
            self.assertEqual(hello["manifest"]["name"], "names")
        self.end()
        self.start(theirs, "names:longest")
        self.assertIn("has no attribute 'longest'", json.loads(self.take())["message"])


if __name__ == "__main__":
    unittest.main()
