"""Serves the rewards of a file to a run."""

import atexit
import importlib
import importlib.util
import os
import queue
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

from . import experts
from .answer import Wrong, states_and_values
from .batch import Batch, Cancelled, Item
from .frames import Reader, Writer

PROTOCOL = {"major": 1, "minor": 1}
# Seconds that a call has to notice that the host is gone.
LAST_CALL = 1.0


def take_streams():
    """Standard input and output for frames alone: user code reads nothing, and what it prints goes to standard error."""
    given, taken = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = os.fdopen(1, "w", buffering=1, errors="backslashreplace", closefd=False)
    return os.fdopen(given, "rb", buffering=0), os.fdopen(taken, "wb", buffering=0)


class Frames(threading.Thread):
    """Takes frames while a call runs, and remembers which calls should end."""

    def __init__(self, pipe):
        super().__init__(name="counterpoint-frames", daemon=True)
        self._reader = Reader(pipe)
        self._frames = queue.SimpleQueue()
        self.ended = False
        self.status = 0
        self._cancelled = None

    def run(self):
        try:
            self._take()
        except BaseException as error:
            self.status = 1
            print(f"counterpoint_reward: cannot take a frame: {error!r}", file=sys.stderr)
        finally:
            # Whatever the end was, nobody waits for a frame or an answer any more.
            self.ended = True
            self._frames.put(None)
            time.sleep(LAST_CALL)
            self.kill_group()
            os._exit(1)

    def _take(self):
        while True:
            frame = self._reader.next()
            if frame is None:
                return
            header, _ = frame
            if header["kind"] == "cancel":
                self._cancelled = header.get("id")
            elif header["kind"] == "create":
                self._reader.body_limit = header["body_limit"]
            self._frames.put(frame)
            # A body that nobody has any more is memory for the next.
            del frame, header, _

    def kill_group(self):
        """Kills this process and those that it started, if the host is gone, and this is the leader of their group."""
        if self.ended and os.getpgrp() == os.getpid():
            os.killpg(os.getpid(), signal.SIGKILL)

    def next(self):
        """The next frame; None when the host is gone."""
        return self._frames.get()

    def cancelled(self, call):
        """Whether call number `call` should end."""
        return self.ended or self._cancelled == call


def serve(what, arguments=()):
    """Runs the file `what`, or imports `MODULE:NAME[,NAME]`, with `arguments` in sys.argv, and serves its rewards. Returns the
    exit status.
    """
    given, taken = take_streams()
    writer, frames = Writer(taken), Frames(given)
    # Before the file is run: that may hang, and the host may go meanwhile.
    frames.start()
    atexit.register(frames.kill_group)
    module, colon, names = what.partition(":")
    is_module = bool(colon) and not Path(what).exists()
    name = module if is_module else Path(what).stem
    sys.argv = [what, *arguments]
    try:
        loaded = importlib.import_module(module) if is_module else _load(Path(what).resolve())
        experts.collect(loaded, names.split(",") if is_module else ())
        manifest, capabilities = experts.manifest(name, str(getattr(loaded, "__version__", "0")))
    except BaseException as error:
        writer.send("error", id=None, error="load", message=f"{what}: {_words(error)}")
        return 1
    writer.send("hello", protocol=PROTOCOL, program="counterpoint_reward", manifest=manifest, capabilities=capabilities)
    return _Session(writer, frames).run()


def _load(path):
    sys.argv[0] = str(path)
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None:
        raise ImportError("expected a Python file, whose name ends in .py")
    module = importlib.util.module_from_spec(spec)
    # Pickle and dataclasses look a class's module up by name.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


class _Session:
    def __init__(self, writer, frames):
        self._writer = writer
        self._frames = frames
        self._score = None

    def run(self):
        while True:
            frame = self._frames.next()
            if frame is None:
                return self._frames.status
            header, body = frame
            del frame
            kind = header["kind"]
            if kind == "bye":
                return 0
            if kind == "create":
                if not self._create(header):
                    return 1
            elif kind == "score":
                self._answer(header, body)
            elif kind != "cancel":
                print(f"counterpoint_reward: expected a frame of the protocol, got `{kind}`", file=sys.stderr)
                return 1
            del header, body

    def _create(self, header):
        self._expert = experts.named(header["expert"])
        try:
            if self._expert is None:
                raise LookupError(f"expected a reward of this file, got {header['expert']!r}")
            self._score = self._expert.create(header["settings"], header["base"])
        except BaseException as error:
            self._writer.send("error", id=None, error="create", message=_words(error))
            return False
        self._writer.send("created", capabilities=self._expert.capabilities)
        return True

    def _answer(self, header, body):
        call = header["id"]
        deadline = header.get("deadline_ns")
        batch = Batch(
            [Item(item, body, self._expert.images) for item in header["items"]],
            seed=header["seed"],
            deadline=None if deadline is None else deadline / 1e9,
            cancelled=lambda: self._frames.cancelled(call),
        )
        try:
            states, values = states_and_values(self._score(batch), len(batch), self._expert.outputs)
        except Cancelled as error:
            self._writer.send("error", id=call, error="cancelled", message=str(error))
        except Wrong as error:
            self._writer.send("error", id=call, error="contract", message=str(error))
        except (Exception, SystemExit) as error:
            self._writer.send("error", id=call, error="call", message=_words(error))
        else:
            shape = [len(batch), self._expert.outputs]
            tensor = {"dtype": "f64", "shape": shape, "offset": 0}
            self._writer.send("scores", values.tobytes(), id=call, states=states, values=tensor)


def _words(error):
    """An exception with the part of its traceback that is not ours."""
    trace = error.__traceback__
    while trace and _is_ours(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace)).strip()


def _is_ours(file):
    return file.startswith("<frozen importlib") or Path(file).parent == Path(__file__).parent
