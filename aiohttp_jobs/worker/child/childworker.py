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
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

_PR_SET_PDEATHSIG = 1
_IONBF = 2
MAX_REQUEST = 1 << 20
_END = ord("\n")
_LOOK_SECONDS = 0.5
_JSON = {False: b"false", True: b"true"}
_OF_EACH_JOB = frozenset({
    "AIOHTTP_JOBS_JOB_ID", "AIOHTTP_JOBS_JOB_NAME", "AIOHTTP_JOBS_ATTEMPT", "AIOHTTP_JOBS_USER_ID",
})  # fmt: skip
"""Variables that every job gets. None is a secret."""
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
    for stream in streams:
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # a job has closed it, or put something else there
            continue
    _libc.fflush(None)  # what C code wrote lies in buffers of its own


class Variables:
    """The environment of this process, with the variables of one job after the other."""

    def __init__(self) -> None:
        self._views = (os.environ, os.environb)
        self._values = dict(os.environb)
        self._own: Mapping[str, str] = {}
        self._count = len(self._values)
        self._array: tuple[int, Any] | None = None
        self._places = self._where()

    def set(self, own: Mapping[str, str]) -> None:
        """Set the variables of a job, and no others: those that the last one left as they were stay."""
        left = self._own
        if left.keys() != own.keys():
            self._delete(left.keys() - own.keys())
            self._count = len(self._values) + sum(os.fsencode(name) not in self._values for name in own)
        for name, value in own.items():
            if left.get(name) != value:
                os.environ[name] = value
        self._own = own
        self._places = self._where()

    def put_back(self) -> None:
        """Restore the environment, but for variables that each job has: the next one gets its own."""
        os.environ, os.environb = self._views
        # To compare each value takes as long as all the rest of a short job.
        if self._places is None or self._where() != self._places:
            self._own = {}
            self._put_each_back()
        elif not self._own.keys() <= _OF_EACH_JOB:
            self._delete(self._own.keys() - _OF_EACH_JOB)

    def _delete(self, names: Collection[str]) -> None:
        self._own = {name: value for name, value in self._own.items() if name not in names}
        for name in names:
            if (value := self._values.get(os.fsencode(name))) is None:
                with suppress(KeyError):  # the job may have taken it away
                    del os.environ[name]
            else:
                os.environb[os.fsencode(name)] = value

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
        if _environ is None or not (address := _environ.value):
            return None
        size = self._count + 1  # nothing is behind the last
        if self._array is None or self._array[0] != address or len(self._array[1]) != size:
            self._array = address, (ctypes.c_void_p * size).from_address(address)
        return address, bytes(self._array[1])


class ChildWorker:
    """Runs jobs, one at a time, requested over the socket `control`, until the host closes it.

    `run` runs a requested job. The jobs' output goes to the descriptor `output`. `loads` parses a request.
    """

    def __init__(
        self,
        control: socket.socket,
        output: int,
        run: Callable[[dict[str, Any]], Ending],
        loads: Callable[[bytes], Any] = lambda data: json.loads(str(data, "utf-8")),
    ) -> None:
        self._control = control
        self._output = output
        self._run = run
        self._loads = loads
        self._pipe = os.fstat(output).st_ino
        self._streams = (sys.stdout, sys.stderr)
        self._variables = Variables()
        self._modules_path = list(sys.path)
        self._threads = threading.active_count()
        self._connect()

    def serve(self) -> None:
        # To allocate a megabyte for each job would cost more than a short one does.
        buffer = memoryview(bytearray(MAX_REQUEST))
        while size := receive(self._control, buffer):
            request = self._loads(bytes(buffer[:size]))
            buffer[:size] = bytes(size)  # it may have held secret values
            (code, members, stays), is_clean = self._serve_one(request)
            is_reusable = _JSON[stays and is_clean]
            self._control.send(b'{"exit_code": %d, "reusable": %s%s}\n' % (code, is_reusable, members))
            if not stays:
                return

    def _serve_one(self, request: dict[str, Any]) -> tuple[Ending, bool]:
        """How one job ended, and whether it has left this process fit for another."""
        self._variables.set(request["environment"])
        os.chdir(request["folder"])
        try:
            ending = self._run(request)
        finally:
            is_clean = self._clean_up()
            request.clear()
        return ending, is_clean

    def _clean_up(self) -> bool:
        """Put back what a job may have changed; whether this process is fit for another one."""
        if sys.stdout is not self._streams[0] or sys.stderr is not self._streams[1]:
            flush(sys.stdout, sys.stderr)
            sys.stdout, sys.stderr = self._streams
        flush(*self._streams)
        self._variables.put_back()
        sys.path[:] = self._modules_path
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
    """Whether there are any that live; those that have ended are reaped."""
    # Not `os.waitpid`: to raise and to catch that there are none takes longer than to ask.
    while (found := _libc.waitpid(-1, None, os.WNOHANG)) > 0:
        pass
    return bool(found == 0)
