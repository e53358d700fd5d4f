"""A reward that tries what it should not, as the response says."""

import os
import socket
import time

from counterpoint_reward import reward


@reward(judges="understanding")
def hostile(batch):
    return [_one(*item.response.split(" ", 1)) for item in batch]


def _one(word, what=""):
    if word == "token":
        return float("HF_TOKEN" in os.environ or "AWS_SECRET_ACCESS_KEY" in os.environ)
    if word == "given":
        return float(what in os.environ)
    if word == "read":
        return float(len(open(what, "rb").read()))
    if word == "write":
        open(what, "w").write("here")
        return 1.0
    if word == "fill":
        with open(what, "wb") as file:
            while True:
                file.write(bytes(1 << 20))
    if word == "connect":
        socket.create_connection(("127.0.0.1", int(what)), timeout=5).close()
        return 1.0
    if word == "allocate":
        return float(len(bytearray(512 << 20)))
    if word == "spin":
        while True:
            pass
    if word == "open":
        return float(len([open("/dev/null") for _ in range(100)]))
    if word == "fork":
        # A process of the same group, which outlives the call.
        if os.fork() == 0:
            time.sleep(1000)
            os._exit(0)
        return float(os.getpgrp())
    raise ValueError(word)
