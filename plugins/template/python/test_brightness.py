import unittest

import numpy
from counterpoint_reward.testing import item, score

from brightness import Brightness


def grey(level):
    return item(image=numpy.full((4, 8, 3), level, dtype="uint8"))


class BrightnessTest(unittest.TestCase):
    def test_an_image_as_bright_as_the_target_is_best(self):
        self.assertEqual(score(Brightness, [grey(255), grey(0)], settings={"target": 1.0}), [1.0, 0.0])

    def test_a_setting_that_makes_no_sense_is_refused(self):
        for settings, error in [({"target": 2.0}, ValueError), ({"traget": 0.5}, TypeError)]:
            with self.assertRaises(error):
                score(Brightness, [grey(0)], settings=settings)


if __name__ == "__main__":
    unittest.main()
