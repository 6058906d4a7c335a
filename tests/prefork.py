"""Programs in processes of their own whose imports are done: forked from one that has nothing else to do.

A Python that imports the command line, or a host, works for half a second or more before its first line; the
tests start hundreds. What a program makes of its arguments, its environment, its standard streams and signals
is as true here. What the interpreter makes of them at its own start is not, nor what ``ps`` shows: tests of
those start a Python.

``python -m tests.prefork MODULE SOCKET`` is that process. For each connection it runs MODULE as ``python -m``
does, and tells the process's number and then how it ended. It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
Done = subprocess.CompletedProcess[str]
_NUMBER = 4
"""Bytes of the process's number, and of how it ended."""


class Program:
    """A process that runs `module`, as ``python -m`` would; `streams` are descriptors for 0, 1 and 2.

    `env` is all of its environment; without one it has the tests' own.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        streams: tuple[int, int, int],
        env: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
    ) -> None:
        asked = {"arguments": [*arguments], "env": dict(os.environ if env is None else env), "cwd": str(cwd)}
        self.returncode: int | None = None
        self._keeper = _keeper_of(module).connect()
        with tempfile.TemporaryFile() as file:
            file.write(json.dumps(asked).encode())
            file.seek(0)
            socket.send_fds(self._keeper, [b"."], [file.fileno(), *streams])
        self.pid = int.from_bytes(self._keeper.recv(_NUMBER))

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def wait(self, seconds: float) -> int:
        """How it ended, as `subprocess.Popen` says it. After so many seconds it is killed: `TimeoutError`."""
        if self.returncode is None:
            self._keeper.settimeout(seconds)
            with self._taken_leave_of():
                self._ended_with(self._keeper.recv(_NUMBER))
        return self.returncode or 0

    async def ended(self, seconds: float) -> int:
        """The same, while the event loop goes on."""
        if self.returncode is None:
            self._keeper.setblocking(False)
            with self._taken_leave_of():
                async with asyncio.timeout(seconds):
                    self._ended_with(await asyncio.get_running_loop().sock_recv(self._keeper, _NUMBER))
        return self.returncode or 0

    def _ended_with(self, told: bytes) -> None:
        self.returncode = os.waitstatus_to_exitcode(int.from_bytes(told))

    @contextlib.contextmanager
    def _taken_leave_of(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.send_signal(signal.SIGKILL)
            raise
        finally:
            self._keeper.close()


@contextlib.contextmanager
def captured(
    module: str, arguments: Sequence[str], env: Mapping[str, str] | None = None, stdin: str = ""
) -> Iterator[tuple[Program, Callable[[], Done]]]:
    """A program that reads `stdin`, and what gives, once it has ended, all that it printed."""
    with contextlib.ExitStack() as files:
        given, out, err = (files.enter_context(tempfile.TemporaryFile()) for _ in range(3))
        given.write(stdin.encode())
        given.seek(0)
        program = Program(module, arguments, (given.fileno(), out.fileno(), err.fileno()), env)

        def done() -> Done:
            out.seek(0)
            err.seek(0)
            code = program.returncode
            assert code is not None
            return subprocess.CompletedProcess([*arguments], code, out.read().decode(), err.read().decode())

        yield program, done


class _Keeper:
    """The process that programs are forked from."""

    def __init__(self, module: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="prefork-")
        self._path = f"{self._folder.name}/socket"
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, module, self._path],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self._process.stdout.read()  # which ends when there is the socket

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self._path)
        return connection

    def end(self) -> None:
        self._process.communicate()
        self._folder.cleanup()


_keepers: dict[str, _Keeper] = {}


def _keeper_of(module: str) -> _Keeper:
    if module not in _keepers:
        _keepers[module] = _Keeper(module)
    return _keepers[module]


def end_all() -> None:
    """At the end of the session."""
    while _keepers:
        _keepers.popitem()[1].end()


def _import(module: str) -> None:
    """All of a package but what runs it, or one module."""
    found = importlib.import_module(module)
    for each in pkgutil.iter_modules(getattr(found, "__path__", ())):
        if each.name != "__main__":
            importlib.import_module(f"{module}.{each.name}")


def _serve(path: str) -> socket.socket | None:
    """Fork for each connection. Returns it in the process that is to be the program; ``None`` at the end."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    os.dup2(2, 1)
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.register(listener, select.POLLIN)
    running: dict[int, tuple[int, socket.socket]] = {}
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        for descriptor in ready & running.keys():
            pid, connection = running.pop(descriptor)
            poll.unregister(descriptor)
            os.close(descriptor)
            with contextlib.suppress(OSError), connection:
                connection.sendall(os.waitpid(pid, 0)[1].to_bytes(_NUMBER))
        if listener.fileno() in ready:
            connection = listener.accept()[0]
            pid = os.fork()
            if not pid:
                for descriptor in running:
                    os.close(descriptor)
                listener.close()
                return connection
            connection.sendall(pid.to_bytes(_NUMBER))
            descriptor = os.pidfd_open(pid)
            poll.register(descriptor, select.POLLIN)
            running[descriptor] = pid, connection
        if 0 in ready:
            return None


def _become(connection: socket.socket, module: str) -> None:
    """Take on what was asked for."""
    with connection:
        _, (request, *streams), _, _ = socket.recv_fds(connection, 1, 4)
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    with open(request, "rb") as file:
        asked = json.load(file)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["cwd"])
    sys.argv[1:] = asked["arguments"]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _main(module: str, path: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # which a terminal sends to all, and is for the tests
    _import(module)
    gc.freeze()
    connection = _serve(path)
    if connection is not None:
        _become(connection, module)


if __name__ == "__main__":
    _main(*sys.argv[1:])
