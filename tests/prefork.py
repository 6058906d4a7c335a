"""Programs in processes of their own whose imports are done: forked from one that has nothing else to do.

A Python that imports the command line, or a host, works for half a second or more before its first line; the
tests start hundreds. What a program makes of its arguments, its environment, its standard streams and signals
is as true here. What the interpreter makes of them when it starts and ends is not, nor what ``ps`` shows:
tests of those start a Python.

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
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .asking import NUMBER, ask

ROOT = Path(__file__).parents[1]
Done = subprocess.CompletedProcess[str]


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
        self.returncode: int | None = None
        path, everything = _keeper_of(module).path, os.environ if env is None else env
        self._keeper = ask(path, arguments, streams, everything, str(cwd))
        self.pid = int.from_bytes(self._keeper.recv(NUMBER), "big")

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def wait(self, seconds: float) -> int:
        """How it ended, as `subprocess.Popen` says it. After so many seconds it is killed: `TimeoutError`."""
        if self.returncode is None:
            self._keeper.settimeout(seconds)
            with self._taken_leave_of():
                self._ended_with(self._keeper.recv(NUMBER))
        return self.returncode or 0

    async def ended(self, seconds: float) -> int:
        """The same, while the event loop goes on."""
        if self.returncode is None:
            self._keeper.setblocking(False)
            with self._taken_leave_of():
                async with asyncio.timeout(seconds):
                    self._ended_with(await asyncio.get_running_loop().sock_recv(self._keeper, NUMBER))
        return self.returncode or 0

    def _ended_with(self, told: bytes) -> None:
        self.returncode = os.waitstatus_to_exitcode(int.from_bytes(told, "big"))

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


def command_for(module: str) -> list[str]:
    """A command line that does as ``python -m MODULE``, if no standard stream is closed."""
    return [sys.executable, "-IS", str(Path(__file__).with_name("asking.py")), _keeper_of(module).path]


class _Keeper:
    """The process that programs are forked from."""

    def __init__(self, module: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="prefork-")
        self.path = f"{self._folder.name}/socket"
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, module, self.path],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self._process.stdout.read()  # which ends when there is the socket

    def end(self) -> None:
        self._process.communicate()
        self._folder.cleanup()


_keepers: dict[str, _Keeper] = {}
_keepers_lock = threading.Lock()
"""Some tests start several hosts at once, in threads."""


def _keeper_of(module: str) -> _Keeper:
    with _keepers_lock:
        if module not in _keepers:
            _keepers[module] = _Keeper(module)
        return _keepers[module]


def end_all() -> None:
    """At the end of the session."""
    while _keepers:
        _keepers.popitem()[1].end()


_OF_A_HOST = (
    "aiohttp_jobs.assembly.app",
    "aiohttp_jobs.engine.embedded.engine",
    "aiohttp_jobs.http.host_application",
    "aiohttp_jobs.http.openapi.document",
    "aiohttp_jobs.monitoring.tracing",
    "aiohttp_jobs.worker.process.descendants",
    "opentelemetry.trace",
)
_LATER = {
    "aiohttp_jobs.cli": ("aiohttp_jobs.assembly.keys_and_sessions", "aiohttp_jobs.doctor"),
    "demo_app": _OF_A_HOST,
    "tests.hosts.plain": _OF_A_HOST,
}
"""What programs import when they need it, which would be done in each of the forked ones."""


def _import(module: str) -> None:
    """All of a package but what runs it, or one module; and what it imports later."""
    found = importlib.import_module(module)
    for each in pkgutil.iter_modules(getattr(found, "__path__", ())):
        if each.name != "__main__":
            importlib.import_module(f"{module}.{each.name}")
    for later in _LATER.get(module, ()):
        try:
            _import(later)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] != "opentelemetry":  # an extra
                raise


@dataclass
class _Running:
    """A program, and who asked for it."""

    pid: int
    asker: socket.socket


class _Forks:
    """A program for each connection to `listener`, killed when that is closed."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._running: dict[int, _Running] = {}
        self._by_asker: dict[int, _Running] = {}
        self._poll = select.poll()
        self._poll.register(0, select.POLLIN)
        self._poll.register(listener, select.POLLIN)

    def serve(self) -> socket.socket | None:
        """Returns the connection in each process that is to be a program; ``None`` when all is over."""
        while True:
            for ready, _ in self._poll.poll():
                if ready in self._running:
                    self._end(ready)
                elif ready in self._by_asker:
                    self._poll.unregister(ready)
                    os.kill(self._by_asker.pop(ready).pid, signal.SIGKILL)
                elif ready == 0:
                    return None
                elif (asker := self._listener.accept()[0]) and self._is_program(asker):
                    return asker

    def _is_program(self, asker: socket.socket) -> bool:
        pid = os.fork()
        if not pid:
            self._listener.close()
            for descriptor, other in self._running.items():
                os.close(descriptor)
                other.asker.close()
            return True
        running = _Running(pid, asker)
        descriptor = os.pidfd_open(pid)
        self._running[descriptor] = self._by_asker[asker.fileno()] = running
        self._poll.register(descriptor, select.POLLIN)
        self._poll.register(asker, 0)  # tells nothing but that it was closed
        with contextlib.suppress(OSError):
            asker.sendall(pid.to_bytes(NUMBER, "big"))
        return False

    def _end(self, descriptor: int) -> None:
        running = self._running.pop(descriptor)
        self._poll.unregister(descriptor)
        os.close(descriptor)
        if self._by_asker.pop(running.asker.fileno(), None):
            self._poll.unregister(running.asker)
        status = os.waitpid(running.pid, 0)[1]
        with contextlib.suppress(OSError), running.asker:
            running.asker.sendall(status.to_bytes(NUMBER, "big"))


def _open_streams() -> None:
    """What Python does at its start: these are other files than those that it found there."""
    old = sys.stdin, sys.stdout, sys.stderr
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, encoding=each.encoding, errors=each.errors, closefd=False)  # noqa: SIM115
        for number, (each, mode) in enumerate(zip(old, "rww", strict=True))
    )
    sys.stderr.reconfigure(line_buffering=True)  # type: ignore[union-attr]


def _become(connection: socket.socket, module: str) -> None:
    """Take on what was asked for."""
    with connection:
        _, (request, *streams), _, _ = socket.recv_fds(connection, 1, 4)
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    with open(request, "rb") as file:
        asked = json.load(file)
    _open_streams()
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
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    os.dup2(2, 1)  # which tells that there is the socket
    connection = _Forks(listener).serve()
    if connection is not None:
        _become(connection, module)


if __name__ == "__main__":
    _main(*sys.argv[1:])
