"""Rewards written as TRL has them, async ones, and where settings go."""

import functools
import importlib.util
import types
import unittest
from pathlib import Path

from counterpoint_reward import Abstain, experts, reward
from counterpoint_reward.testing import item, score

ITEMS = [
    item("2 + 2?", "four", "sums", params={"solution": "4", "level": 1}),
    item("Who?", "Bo", "people", params={"solution": "Bo"}, candidate=1),
]


class Calls(unittest.TestCase):
    def setUp(self):
        experts._experts.clear()

    def test_columns_are_those_of_trl(self):
        def everything(prompts, completions, **kwargs):
            self.assertEqual(prompts, ["2 + 2?", "Who?"])
            self.assertEqual(completions, ["four", "Bo"])
            columns = {"solution": ["4", "Bo"], "level": [1, None], "class_names": ["sums", "people"]}
            self.assertEqual(kwargs, columns)
            return [1, None]

        self.assertEqual(score(everything, ITEMS), [1.0, Abstain()])

        def some(completions, solution):
            return [float(c == s) for c, s in zip(completions, solution)]

        self.assertEqual(score(some, ITEMS), [0.0, 1.0])
        with self.assertRaisesRegex(LookupError, "expected `solution` among .* .parameters: answer"):
            score(some, [item(params={"answer": 1})])

    def test_messages_come_where_the_annotation_or_the_decorator_says_so(self):
        def trl(completions: list[list[dict[str, str]]], **kwargs) -> list[float]:
            return [len(completion[0]["content"]) for completion in completions]

        self.assertEqual(score(trl, ITEMS), [4.0, 2.0])

        @reward(chat=True)
        def plain(prompts, completions):
            self.assertEqual(prompts[0], [{"role": "user", "content": "2 + 2?"}])
            return [len(completion[0]["role"]) for completion in completions]

        self.assertEqual(score(plain, ITEMS), [9.0, 9.0])

    def test_async_functions_and_methods_are_waited_for(self):
        async def slow(completions, **kwargs):
            return [len(c) for c in completions]

        class Slow:
            async def score(self, batch):
                return [i.candidate for i in batch]

        self.assertEqual(score(slow, ITEMS), [4.0, 2.0])
        self.assertEqual(score(Slow, ITEMS), [0.0, 1.0])

    def test_settings_are_keywords_and_a_typo_is_refused(self):
        def near(completions, *, target=4, **kwargs):
            return [-abs(len(c) - target) for c in completions]

        def first(batch, *, target=4):
            return [target for _ in batch]

        class Free:
            def __init__(self, **settings):
                self.settings = settings

            def __call__(self, completions):
                return [self.settings["a"] for _ in completions]

        for scorer in (near, first):
            self.assertEqual(len(score(scorer, ITEMS, settings={"target": 2})), 2)
            with self.assertRaisesRegex(TypeError, "unknown setting `tarket`; did you mean `target`"):
                score(scorer, ITEMS, settings={"tarket": 2})
        self.assertEqual(score(near, ITEMS, settings={"target": 2}), [-2.0, 0.0])
        self.assertEqual(score(Free, ITEMS, settings={"a": 3}), [3.0, 3.0])

    def test_anything_that_can_be_called_is_a_reward(self):
        class Made:
            def __call__(self, completions, **kwargs):
                return [1.5] * len(completions)

        made = reward(Made(), name="made")
        part = reward(functools.partial(lambda completions, by: [by * len(c) for c in completions], by=2), name="part")
        self.assertEqual(score(made, ITEMS), [1.5, 1.5])
        self.assertEqual(score(part, ITEMS), [8.0, 4.0])
        for wrong, message in [
            (lambda: [], "parameter `batch`, or `completions`"),
            (lambda completion_ids, **kwargs: [], "needs completion_ids"),
        ]:
            with self.assertRaisesRegex(TypeError, message):
                reward(wrong, name="wrong")

    def test_a_file_without_decorators_has_its_functions_of_completions(self):
        module = types.ModuleType("theirs")
        code = "def a(completions, **kwargs): return []\ndef helper(x): pass\ndef _b(completions): pass\n"
        exec(code + "def c(completions, images, references): return []", module.__dict__)
        experts.collect(module)
        manifest, _ = experts.manifest("theirs", "0")
        self.assertEqual([(e["name"], e["needs"]) for e in manifest["experts"]], [("a", []), ("c", ["image", "reference"])])

    @unittest.skipUnless(importlib.util.find_spec("numpy") and importlib.util.find_spec("PIL"), "there is no Pillow")
    def test_images_of_pillow_on_request(self):
        import numpy

        @reward(images="pil")
        def sizes(completions, images, references):
            self.assertEqual(references[0][0].getpixel((0, 0)), (128, 128, 128))
            return [image.size[0] for image in images]

        self.assertEqual(experts.find(sizes).entry["needs"], ["image", "reference"])
        grey = numpy.full((2, 3, 3), 0.5, "f4")
        self.assertEqual(score(sizes, [item(image=numpy.zeros((2, 5, 3), "u1"), references=[grey])]), [5.0])

    @unittest.skipUnless(importlib.util.find_spec("trl"), "there is no TRL")
    def test_trls_own_rewards_run_unchanged(self):
        from trl import rewards as theirs

        thoughts = [item("p", "<think>\nwell\n</think>\nfour"), item("p", "four")]
        self.assertEqual(score(theirs.think_format_reward, thoughts), [1.0, 0.0])
        solved = [item("p", t, params={"solution": r"$4$"}) for t in (r"It is $\\boxed{4}$.", r"It is $\\boxed{5}$.")]
        if importlib.util.find_spec("math_verify"):
            self.assertEqual(score(theirs.accuracy_reward, solved), [1.0, 0.0])
        by_hand = [[{"role": "assistant", "content": t.response}] for t in thoughts]
        self.assertEqual(score(theirs.think_format_reward, thoughts), theirs.think_format_reward(by_hand))


if __name__ == "__main__":
    unittest.main()
