"""A process that runs one job after the other, as requested by its host over a socket.

What a job is, is up to the creator of the `ChildWorker`. Imports only the standard library.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, NamedTuple

_PR_SET_PDEATHSIG = 1
_IONBF = 2
MAX_REQUEST = 1 << 20
_END = ord("\n")
_LOOK_SECONDS = 0.5
_JSON = {False: b"false", True: b"true"}
_libc = ctypes.CDLL(None, use_errno=True)
_environ: ctypes.c_void_p | None = None
with suppress(ValueError):  # macOS has another way
    _environ = ctypes.c_void_p.in_dll(_libc, "environ")


class Ending(NamedTuple):
    """How a job ended.

    `members` are further members of the JSON answer, each preceded by a comma. The process exits unless it
    `stays`.
    """

    exit_code: int
    members: bytes = b""
    stays: bool = True


def receive(control: socket.socket, buffer: memoryview) -> int:
    """Receive the next message into `buffer`; return its size, 0 when the socket was closed."""
    size = 0
    while more := control.recv_into(buffer[size:]):
        size += more
        if buffer[size - 1] == _END:
            return size
    return 0


def die_with_parent(parent: int) -> None:
    """End this process when its host dies: by the kernel (Linux), or by a thread that polls."""
    if hasattr(_libc, "prctl"):
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_end_without, args=(parent,), daemon=True).start()
    if os.getppid() != parent:
        os._exit(1)


def _end_without(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def unbuffer_c_stdout() -> None:
    """Unbuffer the C library's stdout, which would otherwise delay output until the worker ends."""
    for name in ("stdout", "__stdoutp"):  # the second one is macOS's name
        with suppress(ValueError):
            _libc.setvbuf(ctypes.c_void_p.in_dll(_libc, name), None, _IONBF, 0)
            return


def flush(*streams: Any) -> None:
    for stream in {id(stream): stream for stream in streams}.values():
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # a job has closed it, or put something else there
            continue
    _libc.fflush(None)  # what C code wrote lies in buffers of its own


class Variables:
    """The environment of this process, to be restored after each job."""

    def __init__(self) -> None:
        self._views = (os.environ, os.environb)
        self._values = dict(os.environb)
        self._places = self._where()

    def put_back(self, own: Collection[str]) -> None:
        """Restore the environment. `own` are the variables that were set for the job."""
        os.environ, os.environb = self._views
        for name in own:
            if os.fsencode(name) not in self._values:
                with suppress(KeyError):  # the job may have taken it away
                    del os.environ[name]
        # To compare each value takes as long as all the rest of a short job.
        if self._places is None or self._where() != self._places:
            self._put_each_back()
            self._places = self._where()

    def _put_each_back(self) -> None:
        now = os.environb
        for name in [name for name in now if name not in self._values]:
            del now[name]
        for name, value in self._values.items():
            if now.get(name) == value:
                os.putenv(name, value)  # C code, and programs that are started, may see another one
            else:
                now[name] = value

    def _where(self) -> tuple[int, bytes] | None:
        """Where the C library keeps each: elsewhere, once it is set anew. ``None`` if it does not tell."""
        if _environ is None or not _environ.value:
            return None
        size = ctypes.sizeof(ctypes.c_void_p) * (len(self._values) + 1)
        return _environ.value, ctypes.string_at(_environ.value, size)


class ChildWorker:
    """Runs jobs, one at a time, requested over the socket `control`, until the host closes it.

    `run` runs a requested job. The jobs' output goes to the descriptor `output`.
    """

    def __init__(self, control: socket.socket, output: int, run: Callable[[dict[str, Any]], Ending]) -> None:
        self._control = control
        self._output = output
        self._run = run
        self._pipe = os.fstat(output).st_ino
        self._streams = (sys.stdout, sys.stderr)
        self._variables = Variables()
        self._folder = os.getcwd()
        self._modules_path = list(sys.path)
        self._threads = threading.active_count()
        self._connect()

    def serve(self) -> None:
        # To allocate a megabyte for each job would cost more than a short one does.
        buffer = bytearray(MAX_REQUEST)
        while size := receive(self._control, memoryview(buffer)):
            request = json.loads(str(buffer[:size], "utf-8"))
            buffer[:size] = bytes(size)  # it may have held secret values
            (code, members, stays), is_clean = self._serve_one(request)
            is_reusable = _JSON[stays and is_clean]
            self._control.send(b'{"exit_code": %d, "reusable": %s%s}\n' % (code, is_reusable, members))
            if not stays:
                return

    def _serve_one(self, request: dict[str, Any]) -> tuple[Ending, bool]:
        """How one job ended, and whether it has left this process fit for another."""
        for name, value in request["environment"].items():
            os.environ[name] = value
        os.chdir(request["folder"])
        try:
            ending = self._run(request)
        finally:
            is_clean = self._clean_up(request["environment"])
            request.clear()
        return ending, is_clean

    def _clean_up(self, variables: Collection[str]) -> bool:
        """Put back what a job may have changed; whether this process is fit for another one."""
        flush(sys.stdout, sys.stderr, *self._streams)
        sys.stdout, sys.stderr = self._streams
        self._variables.put_back(variables)
        sys.path[:] = self._modules_path
        os.chdir(self._folder)
        return threading.active_count() <= self._threads and self._connect() and not _has_children()

    def _connect(self) -> bool:
        """Have both streams print to the pipe, whatever a job put there; false when it is gone."""
        try:
            if os.fstat(self._output).st_ino != self._pipe:
                return False
            os.dup2(self._output, 1)
            os.dup2(self._output, 2)
        except OSError:
            return False
        return True


def _has_children() -> bool:
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return False
    return True
