"""The decorator, and rewards called without a run."""

import importlib.util
import unittest

from counterpoint_reward import Abstain, Cancelled, Fail, experts, reward
from counterpoint_reward.testing import batch, item, score


class Rewards(unittest.TestCase):
    def setUp(self):
        experts._experts.clear()

    def test_the_manifest_says_what_was_decorated(self):
        @reward
        def Length(batch):
            """Characters of the
            response.

            More."""
            return [len(item.response) for item in batch]

        @reward(
            name="two-things",
            outputs={"a": (0, 1), "b": None},
            needs=["image", "face"],
            judges="generation",
            deterministic=True,
        )
        class Two:
            def score(self, batch):
                return []

        manifest, capabilities = experts.manifest("file", "1")
        self.assertEqual((manifest["name"], manifest["abi"]["major"], capabilities), ("file", 1, 0))
        self.assertEqual(
            manifest["experts"],
            [
                {"name": "length", "description": "Characters of the response.", "outputs": [{"name": "score"}], "needs": []},
                {
                    "name": "two-things",
                    "description": "",
                    "outputs": [{"name": "a", "range": [0.0, 1.0]}, {"name": "b"}],
                    "needs": ["image", "face"],
                    "judges": "generation",
                },
            ],
        )
        self.assertEqual(score(Length, [item(response="four"), item()]), [4.0, 0.0])

    def test_mistakes_are_found_when_the_file_is_read(self):
        def f(batch):
            return []

        cases = [
            ({"name": "Not this"}, "lower case"),
            ({"needs": ["eyes"]}, "needs"),
            ({"needs": "image"}, "needs"),
            ({"judges": "taste"}, "judges: expected one of"),
            ({"judges": "understanding", "needs": ["image"]}, "needs an image"),
            ({"range": (1, 0)}, "in order"),
            ({"range": (0, float("inf"))}, "finite"),
            ({"range": 1}, "(least, greatest)"),
            ({"range": (0, 1), "outputs": {"a": None}}, "got both"),
            ({"outputs": {}}, "1 or more"),
        ]
        for arguments, message in cases:
            with self.assertRaises(ValueError) as caught:
                reward(f, **arguments)
            self.assertIn(message, str(caught.exception))
        with self.assertRaises(TypeError):
            reward(type("NoScore", (), {}))
        with self.assertRaises(LookupError):
            experts.manifest("file", "1")
        reward(f)
        with self.assertRaisesRegex(ValueError, "got two"):
            reward(f)

    def test_a_class_has_settings_and_a_batch_has_everything_else(self):
        @reward(range=(0, 10))
        class Weighted:
            def __init__(self, base, *, weight):
                self.weight = weight
                self.base = base

            def score(self, batch):
                assert self.base == "/here"
                assert (batch.seed, batch.deadline, batch.cancelled()) == (7, 1.5, False)
                return [self.weight * (item.params["n"] + item.candidate) for item in batch]

        items = [item(params={"n": 1}), item(params={"n": 2}, candidate=1), item(params={"n": 9})]
        scores = score(Weighted, items, seed=7, settings={"weight": 2}, base="/here", deadline=1.5)
        self.assertEqual(scores[:2], [2.0, 6.0])
        self.assertIsInstance(scores[2], Fail)
        self.assertIn("0.0 to 10.0, got 18.0", scores[2].why)
        for settings, message in [
            ({"wieght": 2}, "unknown setting `wieght`; did you mean `weight`\\? .known: `weight`"),
            ({}, "`weight` is missing"),
        ]:
            with self.assertRaisesRegex(TypeError, message):
                score(Weighted, items, settings=settings)

    def test_items(self):
        only = item("p", "r", "person")
        self.assertEqual((only.prompt, only.response, only.class_name), ("p", "r", "person"))
        self.assertEqual((only.params, only.has_image, only.image, only.references), (None, False, None, []))
        several = batch([only, item()])
        self.assertEqual((len(several), several[0], several[-1].prompt, len(several[:1])), (2, only, "", 1))
        with self.assertRaises(Cancelled):
            batch([], cancelled=True).check()
        batch([]).check()

    @unittest.skipUnless(importlib.util.find_spec("numpy"), "there is no numpy")
    def test_images(self):
        import numpy

        @reward(needs=["image"])
        def mean(batch):
            return [i.image.mean() + len(i.references) if i.image.size > 3 else Abstain("small") for i in batch]

        small, floats = numpy.zeros((1, 1, 3), "u1"), numpy.full((2, 3, 3), 0.5, "f4")
        items = [item(image=floats, references=[small, floats]), item(image=small)]
        self.assertTrue((items[0].image == floats).all() and items[0].image.dtype == numpy.float32)
        self.assertTrue((items[0].references[0] == small).all())
        self.assertTrue(numpy.shares_memory(items[0].image, items[0].image), "a view, no copy")
        with self.assertRaises(ValueError):
            items[0].image[0] = 1
        self.assertEqual(score(mean, items), [2.5, Abstain("small")])
        for wrong in (floats.astype("f8"), floats[0], floats[:, :, :2]):
            with self.assertRaises(ValueError):
                item(image=wrong)


if __name__ == "__main__":
    unittest.main()
