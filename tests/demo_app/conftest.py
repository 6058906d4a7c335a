"""The demo as people start it: a process of its own on a free port, told to stop with a signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil
import pytest
from aiohttp import ClientSession, CookieJar

from tests.conftest import Caller
from tests.demos import make_quick_users
from tests.prefork import Program, captured

REPOSITORY = Path(__file__).parents[2]
PASSWORDS = {"admin": "admin-demo", "operator": "operator-demo", "viewer": "viewer-demo"}
STOP_SECONDS = 60
_SETTINGS = {"AIOHTTP_JOBS_SHUTDOWN_GRACE": "0.2", "AIOHTTP_JOBS_KILL_GRACE": "0.5"}


def demo_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "demo_app", *arguments]


def run_demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the demo to its end."""
    with captured("demo_app", arguments, {**os.environ, **_SETTINGS}) as (program, done):
        program.wait(STOP_SECONDS)
        return done()


@dataclass
class Demo:
    """A running demo. `printed` is what it said when it started, `output` where it says more."""

    process: subprocess.Popen[bytes] | Program
    data_dir: Path
    output: IO[str]
    error_file: Path
    printed: str = ""

    @property
    def address(self) -> str:
        return self.printed.partition("listening on ")[2].split()[0]

    @property
    def api(self) -> str:
        return f"{self.address}/apps/WebHostTaskManagement/api/v1"

    @property
    def api_key(self) -> str:
        return (self.data_dir / "demo-api-key").read_text().strip()

    @property
    def errors(self) -> str:
        """What it wrote to its standard error, but for the advice that root gets."""
        lines = self.error_file.read_text().splitlines(keepends=True)
        return "".join(line for line in lines if "This host runs as root" not in line)

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, number: int = signal.SIGTERM, *, whole_group: bool = False) -> int:
        """Send a signal, to the process or, as a terminal does, to its group; the exit code."""
        if whole_group:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        code = self.process.wait(STOP_SECONDS)
        self.output.close()
        return code


def open_demo(folder: Path, data_dir: Path, *arguments: str, forked: bool = False, **settings: str) -> Demo:
    """A demo that listens, with `settings` in its environment; its errors go into a file in `folder`.

    One that is not `forked` (see `prefork`) has a Python and a group of its own, which takes a second more of
    a processor.
    """
    error_file, env = folder / "errors", {**os.environ, **_SETTINGS, **settings}
    arguments = ("--port", "0", "--data-dir", str(data_dir), *arguments)
    read_end, write_end = os.pipe()
    process: subprocess.Popen[bytes] | Program
    with error_file.open("w") as errors, open(os.devnull) as nothing, os.fdopen(write_end) as out:
        if forked:
            streams = nothing.fileno(), out.fileno(), errors.fileno()
            process = Program("demo_app", arguments, streams, env)
        else:
            process = subprocess.Popen(
                demo_command(*arguments),
                cwd=REPOSITORY,
                env=env,
                stdin=nothing,
                stdout=out,
                stderr=errors,
                start_new_session=True,
            )
    demo = Demo(process, data_dir, os.fdopen(read_end), error_file)
    for line in demo.output:
        demo.printed += line
        if line.startswith("Press Ctrl+C"):
            return demo
    raise AssertionError(f"The demo ended with {demo.wait()} when it started: {demo.errors}")


StartDemo = Callable[..., Demo]


@pytest.fixture(scope="module")
def start_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartDemo]:
    """Starts demos, with quick accounts unless in a given folder; stops those that still run at the end."""
    demos: list[Demo] = []

    def start(data_dir: Path | None = None, *, forked: bool = True) -> Demo:
        folder = tmp_path_factory.mktemp("demo")
        if data_dir is None:
            data_dir = folder / "data"
            make_quick_users(data_dir)
        demos.append(open_demo(folder, data_dir, forked=forked))
        return demos[-1]

    yield start
    for demo in demos:
        if demo.process.returncode is None:
            demo.stop()


@pytest.fixture(scope="module")
def demo(start_demo: StartDemo) -> Demo:
    """One running demo for all tests of a module."""
    return start_demo()


@pytest.fixture
async def browser() -> AsyncIterator[Callable[[Demo], Caller]]:
    """Makes visitors of a demo, each with a cookie jar of its own."""
    sessions: list[ClientSession] = []

    def make(demo: Demo) -> Caller:
        sessions.append(ClientSession(cookie_jar=CookieJar(unsafe=True)))
        return Caller(demo.api, sessions[-1])

    yield make
    for session in sessions:
        await session.close()


SignIn = Callable[[Demo, str], Awaitable[Caller]]


@pytest.fixture
def sign_in(browser: Callable[[Demo], Caller]) -> SignIn:
    """Signs somebody in with their own password, which must work."""

    async def signed_in(demo: Demo, name: str) -> Caller:
        caller = browser(demo)
        form = {"username": name, "password": PASSWORDS[name]}
        answer = await caller.request("POST", f"{demo.address}/login", data=form, allow_redirects=False)
        assert (answer.status, answer.headers["Location"]) == (303, "/")
        return caller

    return signed_in
