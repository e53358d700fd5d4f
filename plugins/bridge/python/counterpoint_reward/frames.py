"""Frames on pipes; PROTOCOL.md beside this package says what they are."""

import json
import struct
import threading

MAGIC = b"CPTF"
PREFIX = struct.Struct("<4sIQ")
HEADER_LIMIT = 16 << 20


class Malformed(Exception):
    """What came is no frame."""


def read(pipe, body_limit=0):
    """The next frame of an unbuffered binary file as (header, body): an object and a bytearray. None at the end."""
    prefix = _take(pipe, PREFIX.size, may_end=True)
    if prefix is None:
        return None
    magic, header, body = PREFIX.unpack(prefix)
    if magic != MAGIC:
        raise Malformed(f"expected a frame that starts with {MAGIC}, got {bytes(prefix)}")
    if header > HEADER_LIMIT:
        raise Malformed(f"expected a header of at most {HEADER_LIMIT} bytes, got {header}")
    if body > body_limit:
        raise Malformed(f"expected a body of at most {body_limit} bytes, got {body}")
    try:
        header = json.loads(_take(pipe, header).decode())
    except ValueError as error:
        raise Malformed(f"expected a header in JSON, got {error}") from None
    if not isinstance(header, dict) or not isinstance(header.get("kind"), str):
        raise Malformed("expected a header that is an object with a `kind`")
    return header, _take(pipe, body)


def _take(pipe, size, may_end=False):
    buffer = bytearray(size)
    view, have = memoryview(buffer), 0
    while have < size:
        n = pipe.readinto(view[have:])
        if not n:
            if may_end and have == 0:
                return None
            raise Malformed(f"expected {size} bytes, got {have} and the end")
        have += n
    return buffer


class Writer:
    """Writes frames to an unbuffered binary file, from any thread."""

    def __init__(self, pipe):
        self._pipe = pipe
        self._lock = threading.Lock()

    def send(self, kind, body=b"", **keys):
        header = json.dumps({"kind": kind, **keys}).encode()
        frame = memoryview(PREFIX.pack(MAGIC, len(header), len(body)) + header + bytes(body))
        with self._lock:
            while frame:
                frame = frame[self._pipe.write(frame) :]
