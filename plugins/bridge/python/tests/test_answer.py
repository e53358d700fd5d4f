"""What a reward may answer, and what it may not."""

import importlib.util
import unittest
from array import array
from collections import OrderedDict, UserDict, deque
from math import isnan

from counterpoint_reward import Abstain, Fail
from counterpoint_reward.answer import Wrong, states_and_values


class Answers(unittest.TestCase):
    def values(self, answer, items=2, outputs=1):
        states, values = states_and_values(answer, items, outputs)
        self.assertEqual(states, ["value"] * items)
        return values.tolist()

    def test_lists_tuples_generators_and_rows(self):
        self.assertEqual(self.values([1, 0.5]), [1.0, 0.5])
        self.assertEqual(self.values((True, -0.0)), [1.0, 0.0])
        self.assertEqual(self.values(x / 2 for x in (1, 2)), [0.5, 1.0])
        self.assertEqual(self.values([[1], (2,)]), [1.0, 2.0])
        self.assertEqual(self.values([[1, 2], (3, 4)], outputs=2), [1.0, 2.0, 3.0, 4.0])
        self.assertEqual(self.values([], items=0), [])
        for ordered in (array("f", [1, 2]), deque([1, 2]), range(1, 3), map(float, "12"), memoryview(b"\1\2")):
            self.assertEqual(self.values(ordered), [1.0, 2.0])

    def test_states(self):
        states, values = states_and_values([Abstain("dark"), 2, Fail("torn"), None], 4, 1)
        self.assertEqual(states, [{"abstain": "dark"}, "value", {"fail": "torn"}, {"abstain": ""}])
        self.assertEqual([isnan(v) for v in values], [True, False, True, True])
        self.assertNotEqual(Abstain("x"), Fail("x"))
        self.assertEqual(repr(Fail("x")), "Fail('x')")

    def test_wrong_ones_say_what_is_wrong(self):
        cases = [
            ([1.0], 1, "expected 2 scores, one for each item, got 1"),
            (0.5, 1, "expected a list of 2 scores, one for each item, got float 0.5"),
            ("12", 1, "expected a list of 2 scores"),
            ({0: 1, 1: 2}, 1, "expected a list of 2 scores"),
            ({0.5, 1.0}, 1, "expected a list of 2 scores, one for each item, got set {"),
            (frozenset([0.5, 1.0]), 1, "got frozenset"),
            ({0: 1, 1: 2}.keys(), 1, "got dict_keys"),
            (OrderedDict([(0, 1), (1, 2)]), 1, "got OrderedDict"),
            (UserDict({0: 1, 1: 2}), 1, "got UserDict"),
            (bytearray(2), 1, "got bytearray"),
            ([[1, 2], {1, 2}], 2, "expected a list of 2 numbers for item 1, one for each output, got set {1, 2}"),
            ([[1, 2], {1: 1, 2: 2}], 2, "for item 1, one for each output, got dict"),
            ([1, {1}], 1, "for item 1, got set"),
            (None, 1, "expected a list of 2 scores, one for each item, got NoneType None"),
            ([1, "2"], 1, "expected a number, Abstain or Fail for item 1, got str '2'"),
            ([1, {}], 1, "for item 1, got dict"),
            ([1, 1j], 1, "for item 1, got complex"),
            ([1, 10**400], 1, "for item 1, got int"),
            ([1, [1, 2]], 1, "expected 1 numbers for item 1, one for each output, got 2"),
            ([1, 2], 2, "expected a list of 2 numbers for item 0, one for each output, got int 1"),
            ([[1], [1]], 2, "expected 2 numbers for item 0, one for each output, got 1"),
        ]
        for answer, outputs, message in cases:
            with self.assertRaises(Wrong) as caught:
                states_and_values(answer, 2, outputs)
            self.assertIn(message, str(caught.exception))

    @unittest.skipUnless(importlib.util.find_spec("numpy"), "there is no numpy")
    def test_numpy(self):
        import numpy

        self.assertEqual(self.values(numpy.array([1, 2], dtype="u1")), [1.0, 2.0])
        self.assertEqual(self.values(numpy.float32([[0.1], [2]])), [float(numpy.float32(0.1)), 2.0])
        self.assertEqual(self.values([numpy.float64(1), numpy.ones((), "f4")]), [1.0, 1.0])
        self.assertEqual(self.values([numpy.arange(2), [2, numpy.int64(3)]], outputs=2), [0.0, 1.0, 2.0, 3.0])

    def test_tensors_that_need_a_gradient(self):
        class Tensor:
            """What a tensor of PyTorch has; importing that takes seconds."""

            def __init__(self, values, needs_gradient=True):
                self._values, self._needs_gradient = values, needs_gradient

            def detach(self):
                return Tensor(self._values, False)

            def tolist(self):
                assert not self._needs_gradient
                return self._values

        self.assertEqual(self.values(Tensor([0.5, 2.0])), [0.5, 2.0])
        self.assertEqual(self.values([Tensor(0.5), Tensor([2.0])]), [0.5, 2.0])


if __name__ == "__main__":
    unittest.main()
