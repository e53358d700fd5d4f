"""Frames on pipes, good and bad."""

import io
import os
import unittest

from counterpoint_reward.frames import HEADER_LIMIT, MAGIC, PREFIX, Malformed, Reader, Writer


class Pieces(io.RawIOBase):
    """Gives at most `most` bytes at a time, as pipes do."""

    def __init__(self, data, most):
        self._data, self._most = io.BytesIO(data), most

    def readinto(self, buffer):
        return self._data.readinto(memoryview(buffer)[: self._most])


class Frames(unittest.TestCase):
    def test_frames_come_out_as_they_went_in(self):
        given, taken = os.pipe()
        with os.fdopen(given, "rb", buffering=0) as given:
            with os.fdopen(taken, "wb", buffering=0) as taken:
                Writer(taken).send("scores", b"12345678", id=2**64 - 1, text="é\0\n")
                Writer(taken).send("created")
                Writer(taken).send("error", message="caf\udce9 \ud83d", names={"a": ["\udfff"]})
            reader = Reader(given, 8)
            self.assertEqual(reader.next(), ({"kind": "scores", "id": 2**64 - 1, "text": "é\0\n"}, b"12345678"))
            self.assertEqual(reader.next(), ({"kind": "created"}, b""))
            self.assertEqual(reader.next()[0], {"kind": "error", "message": "caf? ?", "names": {"a": ["?"]}})
            self.assertIsNone(reader.next())

    def test_bytes_may_come_one_by_one(self):
        data = PREFIX.pack(MAGIC, 12, 3) + b'{"kind":"a"}abc'
        self.assertEqual(Reader(Pieces(data, 1), 3).next(), ({"kind": "a"}, b"abc"))

    def test_memory_is_used_again_when_nobody_has_it(self):
        def frame(body):
            return PREFIX.pack(MAGIC, 12, len(body)) + b'{"kind":"a"}' + body

        reader = Reader(Pieces(b"".join(map(frame, [b"first", b"2nd", b"third", b"", b"a longer one"])), 100), 100)
        _, body = reader.next()
        memory = id(reader._memory)
        del body
        _, kept = reader.next()
        self.assertEqual((id(reader._memory), kept), (memory, b"2nd"))
        part = kept[1:]
        del kept
        self.assertEqual(reader.next()[1], b"third")
        self.assertEqual(part, b"nd", "what somebody has is left alone")
        self.assertEqual(reader.next()[1], b"")
        self.assertEqual(reader.next()[1], b"a longer one")

    def test_what_is_no_frame_is_refused(self):
        cases = [
            (b"Hello, world: 16", "expected a frame that starts with"),
            (PREFIX.pack(MAGIC, HEADER_LIMIT + 1, 0), "header of at most"),
            (PREFIX.pack(MAGIC, 2, 101) + b"{}", "body of at most 100 bytes, got 101"),
            (PREFIX.pack(MAGIC, 2, 2**64 - 1) + b"{}", "body of at most"),
            (PREFIX.pack(MAGIC, 5, 0) + b"{}", "expected 5 bytes, got 2 and the end"),
            (MAGIC, "expected 16 bytes, got 4 and the end"),
            (PREFIX.pack(MAGIC, 1, 0) + b"{", "in JSON"),
            (PREFIX.pack(MAGIC, 1, 0) + b"\xff", "in JSON"),
            (PREFIX.pack(MAGIC, 2, 0) + b"[]", "with a `kind`"),
            (PREFIX.pack(MAGIC, 2, 0) + b"{}", "with a `kind`"),
        ]
        for data, message in cases:
            with self.assertRaises(Malformed) as caught:
                Reader(Pieces(data, 7), 100).next()
            self.assertIn(message, str(caught.exception))


if __name__ == "__main__":
    unittest.main()
