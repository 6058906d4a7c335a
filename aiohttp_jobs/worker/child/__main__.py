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
import time
from contextlib import suppress
from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [entry for entry in sys.path if entry != _HERE]
sys.path.insert(0, _HERE)
import pycode  # type: ignore[import-not-found]  # noqa: E402 - found only now

sys.path.remove(_HERE)

_PR_SET_PDEATHSIG = 1
_IONBF = 2
_MAX_REQUEST = 1 << 20
_END = ord("\n")
_LOOK_SECONDS = 0.5
_JSON = {False: b"false", True: b"true"}
_PARAMETERS = "AIOHTTP_JOBS_PARAMETERS"
_libc = ctypes.CDLL(None, use_errno=True)


def run_file(path: str, parameters: dict[str, Any]) -> int:
    with open(path, encoding="utf-8") as file:
        source = file.read()
    sys.argv = [path]
    code: int = pycode.run_source(source, parameters)
    return code


def die_with_parent(parent: int) -> None:
    """End this process when its host dies: by the kernel (Linux), or by a thread that looks."""
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
    """C code's stdout would hold back what it prints until the worker ends."""
    for name in ("stdout", "__stdoutp"):  # the second one is macOS's name
        with suppress(ValueError):
            _libc.setvbuf(ctypes.c_void_p.in_dll(_libc, name), None, _IONBF, 0)
            return


def flush(*streams: Any) -> None:
    for stream in streams:
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    _libc.fflush(None)  # what C code wrote lies in buffers of its own


class ChildWorker:
    """Serves jobs, one at a time, over the socket `control`, until the host closes it.

    What they print goes to the descriptor `output`.
    """

    def __init__(self, control: socket.socket, output: int) -> None:
        self._control = control
        self._output = output
        self._pipe = os.fstat(output).st_ino
        self._streams = (sys.stdout, sys.stderr)
        self._variables = (os.environ, os.environb)
        self._environment = dict(os.environb)
        self._modules_path = list(sys.path)
        self._threads = threading.active_count()
        self._connect()

    def serve(self) -> None:
        # To allocate a megabyte for each job would cost more than a short one does.
        buffer = bytearray(_MAX_REQUEST)
        while size := self._receive(memoryview(buffer)):
            request = json.loads(buffer[:size])
            buffer[:size] = bytes(size)  # it may have held secret values
            code, is_reusable = self._serve_one(request)
            self._control.send(b'{"exit_code": %d, "reusable": %s}\n' % (code, _JSON[is_reusable]))

    def _receive(self, buffer: memoryview) -> int:
        """The size of the next request, which is put into `buffer`; 0 when there will be none."""
        size = 0
        while more := self._control.recv_into(buffer[size:]):
            size += more
            if buffer[size - 1] == _END:
                return size
        return 0

    def _serve_one(self, request: dict[str, Any]) -> tuple[int, bool]:
        """The exit code of one job, and whether this process is fit for another."""
        for name, value in request["environment"].items():
            os.environ[name] = value
        os.chdir(request["folder"])
        sys.argv = [request["command_file"]]
        try:
            code = self._run(request)
        finally:
            clean = self._clean_up()
            pycode.forget_values(request["parameters"])
            request.clear()
        return code, clean

    def _run(self, request: dict[str, Any]) -> int:
        if request["source"] is not None:
            return int(pycode.run_source(request["source"], request["parameters"]))
        if request["arguments"] is None:
            return run_file(request["command_file"], request["parameters"])
        return subprocess.run(request["arguments"], stdin=subprocess.DEVNULL, check=False).returncode

    def _clean_up(self) -> bool:
        """Put back what a job may have changed; whether this process is fit for another one."""
        flush(sys.stdout, sys.stderr, *self._streams)
        sys.stdout, sys.stderr = self._streams
        self._put_environment_back()
        sys.path[:] = self._modules_path
        os.chdir("/")
        return threading.active_count() <= self._threads and self._connect() and not _has_children()

    def _put_environment_back(self) -> None:
        os.environ, os.environb = self._variables
        now = os.environb
        for name in [name for name in now if name not in self._environment]:
            del now[name]
        for name, value in self._environment.items():
            if now.get(name) == value:
                os.putenv(name, value)  # C code, and programs that are started, may see another one
            else:
                now[name] = value

    def _connect(self) -> bool:
        """Have both streams print to the pipe, whatever a job put there; false when it is gone."""
        with suppress(OSError):
            if os.fstat(self._output).st_ino == self._pipe:
                os.dup2(self._output, 1)
                os.dup2(self._output, 2)
                return True
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
        unbuffer_c_stdout()
        ChildWorker(control, output).serve()
        return 0
    # Taken out, so that what the job starts does not get the values.
    code = run_file(arguments[0], json.loads(os.environ.pop(_PARAMETERS, "{}")))
    flush(sys.stdout, sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
