"""The process that runs Python jobs: one job from a file, or a warm worker that serves many.

Started by path (``python runner FILE``, or ``python runner --serve`` with the descriptors of a socket
and a pipe and the host's process id), it imports nothing of the package, so that it starts fast and
holds none of the host's code or data.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [entry for entry in sys.path if entry != _HERE]
sys.path.insert(0, _HERE)
import pycode  # type: ignore[import-not-found]  # noqa: E402 - found only now

sys.path.remove(_HERE)

_PR_SET_PDEATHSIG = 1
_MAX_REQUEST = 1 << 20
_PARAMETERS = "AIOHTTP_JOBS_PARAMETERS"
_libc = ctypes.CDLL(None, use_errno=True)


def run_file(path: str, parameters: dict[str, Any]) -> int:
    with open(path, encoding="utf-8") as file:
        source = file.read()
    sys.argv = [path]
    code: int = pycode.run_source(source, parameters)
    return code


def die_with_parent(parent: int) -> None:
    """Have the kernel end this process when its host dies (Linux)."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    _libc.fflush(None)  # what C code printed lies in a buffer of its own


class Worker:
    """Serves jobs, one at a time, over the socket `control`, until the host closes it.

    What they print goes to the descriptor `output`.
    """

    def __init__(self, control: socket.socket, output: int) -> None:
        self._control = control
        self._output = output
        self._pipe = os.fstat(output).st_ino
        self._idle = os.open(os.devnull, os.O_RDWR)
        self._streams = (sys.stdout, sys.stderr)
        self._environment = dict(os.environ)
        self._modules_path = list(sys.path)
        self._threads = threading.active_count()

    def serve(self) -> None:
        # To allocate a megabyte for each job would cost more than a short one does.
        buffer = bytearray(_MAX_REQUEST)
        while size := self._control.recv_into(buffer):
            answer = self._serve_one(json.loads(buffer[:size]))
            self._control.send(json.dumps(answer).encode())

    def _serve_one(self, request: dict[str, Any]) -> dict[str, Any]:
        self._redirect(self._output)
        os.environ.update(request["environment"])
        os.chdir(request["folder"])
        sys.argv = [request["command_file"]]
        try:
            code = self._run(request)
        finally:
            clean = self._clean_up()
        return {"exit_code": code, "reusable": clean}

    def _run(self, request: dict[str, Any]) -> int:
        if request["source"] is not None:
            return int(pycode.run_source(request["source"], request["parameters"]))
        if request["arguments"] is None:
            return run_file(request["command_file"], request["parameters"])
        return subprocess.run(request["arguments"], stdin=subprocess.DEVNULL, check=False).returncode

    def _redirect(self, output: int) -> None:
        os.dup2(output, 1)
        os.dup2(output, 2)

    def _clean_up(self) -> bool:
        """Put back what a job may have changed; whether this process is fit for another one."""
        flush()
        sys.stdout, sys.stderr = self._streams
        self._redirect(self._idle)
        # `clear` takes longer than most jobs: what is to stay is not taken out, but set all the same.
        for name in os.environ.keys() - self._environment.keys():
            del os.environ[name]
        os.environ.update(self._environment)
        sys.path[:] = self._modules_path
        os.chdir("/")
        return threading.active_count() <= self._threads and self._has_pipe() and not _has_children()

    def _has_pipe(self) -> bool:
        with suppress(OSError):
            return os.fstat(self._output).st_ino == self._pipe
        return False


def _has_children() -> bool:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
        return True
    return False


def main(arguments: list[str]) -> int:
    if arguments[0] == "--serve":
        descriptor, output, parent = map(int, arguments[1:])
        die_with_parent(parent)
        control = socket.socket(fileno=descriptor)
        control.set_inheritable(False)
        os.set_inheritable(output, False)
        # C code's stdout would hold back what it prints until the worker ends.
        _libc.setvbuf(ctypes.c_void_p.in_dll(_libc, "stdout"), None, 2, 0)
        Worker(control, output).serve()
        return 0
    # Taken out, so that what the job starts does not get the values.
    code = run_file(arguments[0], json.loads(os.environ.pop(_PARAMETERS, "{}")))
    flush()
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
