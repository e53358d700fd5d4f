"""Frames on pipes; PROTOCOL.md beside this package says what they are."""

import json
import struct
import threading

MAGIC = b"CPTF"
PREFIX = struct.Struct("<4sIQ")
HEADER_LIMIT = 16 << 20


class Malformed(Exception):
    """What came is no frame."""


class Reader:
    """Takes frames from an unbuffered binary file."""

    def __init__(self, pipe, body_limit=0):
        self._pipe = pipe
        self.body_limit = body_limit
        self._memory = bytearray()

    def next(self):
        """The next frame as (header, body): an object, and a view of its bytes. None at the end."""
        prefix = memoryview(bytearray(PREFIX.size))
        if not self._fill(prefix, may_end=True):
            return None
        magic, header, body = PREFIX.unpack(prefix)
        if magic != MAGIC:
            raise Malformed(f"expected a frame that starts with {MAGIC}, got {bytes(prefix)}")
        if header > HEADER_LIMIT:
            raise Malformed(f"expected a header of at most {HEADER_LIMIT} bytes, got {header}")
        if body > self.body_limit:
            raise Malformed(f"expected a body of at most {self.body_limit} bytes, got {body}")
        text = bytearray(header)
        self._fill(memoryview(text))
        try:
            header = json.loads(text.decode())
        except ValueError as error:
            raise Malformed(f"expected a header in JSON, got {error}") from None
        if not isinstance(header, dict) or not isinstance(header.get("kind"), str):
            raise Malformed("expected a header that is an object with a `kind`")
        body = self._room(body)
        self._fill(body)
        return header, body

    def _room(self, size):
        """Memory of the last body, if it is large enough and nobody has a view of it any more; fresh memory otherwise."""
        try:
            if self._memory:
                # Views keep a bytearray from changing its length.
                self._memory.append(self._memory.pop())
            free = len(self._memory)
        except BufferError:
            free = 0
        if free < size:
            self._memory = bytearray(size)
        return memoryview(self._memory)[:size]

    def _fill(self, view, may_end=False):
        have = 0
        while have < len(view):
            n = self._pipe.readinto(view[have:])
            if not n:
                if may_end and have == 0:
                    return False
                raise Malformed(f"expected {len(view)} bytes, got {have} and the end")
            have += n
        return True


class Writer:
    """Writes frames to an unbuffered binary file, from any thread."""

    def __init__(self, pipe):
        self._pipe = pipe
        self._lock = threading.Lock()

    def send(self, kind, body=b"", **keys):
        # Names of files and messages may have half a surrogate pair, which is no text in UTF-8.
        header = json.dumps({"kind": kind, **keys}, ensure_ascii=False).encode(errors="replace")
        frame = memoryview(PREFIX.pack(MAGIC, len(header), len(body)) + header + bytes(body))
        with self._lock:
            while frame:
                frame = frame[self._pipe.write(frame) :]
