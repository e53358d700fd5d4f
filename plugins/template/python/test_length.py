import unittest

from counterpoint_reward.testing import item, score

from length import length


class LengthTest(unittest.TestCase):
    def test_an_answer_of_the_length_that_is_asked_for_is_best(self):
        items = [item(response="four", params={"target": 4}), item(response="four", params={"target": 1})]
        self.assertEqual(score(length, items), [0.0, -3.0])


if __name__ == "__main__":
    unittest.main()
