"""A real host on a real socket for each test that asks for one, and callers that use it as people do."""

from __future__ import annotations

import asyncio
import asyncio.constants
import gc
import linecache
import os
import signal
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import aiohttp_session
import hypothesis
import pytest
from aiohttp import ClientSession, CookieJar, web
from aiohttp_session.cookie_storage import EncryptedCookieStorage
from cryptography.fernet import Fernet

import aiohttp_jobs
from aiohttp_jobs import Functions, JobsConfig
from aiohttp_jobs.engine.base import ApiKeyRecords
from aiohttp_jobs.engine.embedded.api_keys import ApiKeys
from aiohttp_jobs.engine.embedded.files import journal
from aiohttp_jobs.worker import modes
from aiohttp_jobs.worker.powershell import runspace
from aiohttp_jobs.worker.runspace import RunspaceExecutor

from . import prefork
from .engines import HostEngine, engine
from .gate import pauses
from .postgres import bare_postgres, databases, new_postgres, postgres, postgres_server
from .powershell import needs_pwsh, short_lived_pwsh
from .processes import end_what_was_left

# Fixtures, for pytest to find.
__all__ = ["bare_postgres", "databases", "engine", "new_postgres", "postgres", "postgres_server"]

API = "/apps/WebHostTaskManagement/api/v1"
RESULT_SECONDS = 120.0

# In debug mode each future and callback keeps the stack that made it, for messages about it: whole ones take
# up a third of the tests' time, one frame of each a twentieth. Raise it to see where what is named was made.
STACK_DEPTH = 0
asyncio.constants.DEBUG_STACK_DEPTH = STACK_DEPTH  # type: ignore[misc]
traceback.extract_stack.__defaults__ = (None, STACK_DEPTH)  # what asyncio calls without arguments
_UNCHANGED = (sys.base_prefix, sys.prefix, str(prefork.ROOT / "aiohttp_jobs"), str(prefork.ROOT / "tests"))
_look_whether_changed = linecache.checkcache


def _look_unless_ours(filename: str | None = None) -> None:
    """Each such frame has it asked whether its file has changed. These do not while tests run."""
    if filename is None or not filename.startswith(_UNCHANGED):
        _look_whether_changed(filename)


linecache.checkcache = _look_unless_ours

# A processor is busy with it for a second or two wherever a PowerShell process waits; its own test wants it.
runspace.PRACTICE_AFTER_JOBS = 1_000_000


class WorkersWhenAsked(RunspaceExecutor):
    """Starts no worker before the first job needs one: each is a Python, and most tests run nothing in it."""

    async def open(self) -> None:
        return


# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("few", hypothesis.settings.get_profile("untimed"), max_examples=25)
hypothesis.settings.load_profile("untimed")

SLOW = (
    "acceptance",
    "cli",
    "clients",
    "demo_app",
    "engine/postgres",
    "functions/test_importing.py",
    "functions/test_running.py",
    "functions/test_several_processes.py",
    "functions/test_submit.py",
    "functions/test_testing.py",
    "functions/test_workers.py",
    "http/auth/test_api_keys.py",
    "http/mcp/test_agents.py",
    "http/openapi/test_schemathesis.py",
    "http/test_traces.py",
    "notify/test_crashes.py",
    "portable",
    "scheduling/test_crashes.py",
    "security",
    "test_costs.py",
    "test_deployments.py",
    "test_docs.py",
    "test_extending.py",
    "test_host_middlewares.py",
    "test_in_production.py",
    "test_jobs_across_processes.py",
    "test_preload.py",
    "test_restart.py",
    "test_specification.py",
    "test_tutorial.py",
    "test_uvloop.py",
    "test_waiting_across_processes.py",
    "torture",
    "ui",
    "assembly/test_worker.py",
    "worker/process/test_dead_mans_switch.py",
    "worker/process/test_orphans.py",
    "worker/test_commands.py",
    "worker/test_modes.py",
    "worker/test_powershell.py",
    "worker/test_powershell_console.py",
    "worker/test_powershell_hosts.py",
    "worker/test_powershell_input.py",
    "worker/test_powershell_retirement.py",
    "worker/test_powershell_specification.py",
)
"""What starts browsers, servers or Pythons of its own, or tries attacks: ``make test-fast`` leaves it out.

It leaves out what runs over PostgreSQL or PowerShell, too, and single tests that are marked as slow: each
takes half a second of a processor or more, and is not the only one of what it tries."""

LONGEST = (
    "acceptance/test_pester.py",
    "http/openapi/test_schemathesis.py",
    "test_in_production.py",
    "worker/test_powershell_console.py",
    "worker/test_powershell_input.py",
    "worker/test_powershell_retirement.py",
)
"""Whose tests take longest: each of xdist's processes begins with some, or one has them left in the end."""

BROWSER = ("ui",)
COMMANDS = (
    "cli",
    "demo_app",
    "http/auth/test_api_keys.py",
    "http/test_traces.py",
    "test_docs.py",
    "test_tutorial.py",
    "worker/test_commands.py",
)
HOSTS = (
    "acceptance/test_full_disk.py",
    "acceptance/test_kills.py",
    "portable",
    "security/test_data_folder.py",
    "security/test_function_workers.py",
    "security/test_guarded_reads.py",
    "security/test_run_folder.py",
    "security/test_shutdown.py",
    "test_jobs_across_processes.py",
    "test_restart.py",
    "test_waiting_across_processes.py",
)
"""What needs a browser, the Python that commands and the demo are forked from, or that of hosts: each of
xdist's processes begins with one of these, or with PostgreSQL, so that few others start the same again."""

QUICK: dict[str, Any] = {
    "poll_interval": 0.2,
    "kill_grace": 0.5,
    "shutdown_grace": 0.2,
    "mainloop_timeout": 4.0,  # a busy machine may give a job of a tenth of a second nothing for two
    "max_parallel_runspace": 1,  # each warm worker is a process to start, and few tests need two
    "max_parallel_background": 4,
    "powershell_spares": 0,  # one that nobody takes costs a second of a processor
}


@cache
def _whole(names: tuple[str, ...]) -> list[str]:
    return [str(Path(__file__).parent / each) for each in names]


@cache
def is_in(path: Path, names: tuple[str, ...]) -> bool:
    """Whether `path` is or lies in one of `names`, below this folder: thousands of tests of few files ask."""
    below = str(path)
    return any(below == each or below.startswith(f"{each}/") for each in _whole(names))


def needs_postgres(item: pytest.Item) -> bool:
    """Whether `item` is run over PostgreSQL, which is a server to start and a database to make."""
    params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    named = [value for value in params.values() if isinstance(value, str)]
    return "postgres" in named or "postgres_server" in getattr(item, "fixturenames", ())


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Not even read what ``-m "not slow"`` would leave out."""
    return True if config.getoption("markexpr") == "not slow" and is_in(collection_path, SLOW) else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    failed_before = item.session.testsfailed
    ran = yield
    if item.session.testsfailed > failed_before:
        end_what_was_left()
    return ran


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop() -> Generator[None, object, object]:
    with short_lived_pwsh():
        return (yield)


def pytest_configure(config: pytest.Config) -> None:
    # What costs most of starting and ending a host: its workers, and two files of 4 MiB filled with zeros.
    # Hosts in processes of their own have both, as this is for pytest's alone.
    modes.RunspaceExecutor = WorkersWhenAsked  # type: ignore[misc]
    journal.SIZE = 512 * 1024
    if config.getoption("markexpr") == "not slow":
        hypothesis.settings.load_profile("few")


def pytest_sessionstart() -> None:
    # What a shell starts in the background ignores Ctrl-C, and so would each program that a test starts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionfinish() -> None:
    prefork.end_all()


SHOWN_AT_THE_END = "shown at the end"
"""The property of a test whose value is a line to be printed below the tests, whichever way they were run."""


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for report in [each for kind in ("passed", "failed") for each in terminalreporter.stats.get(kind, [])]:
        for name, value in getattr(report, "user_properties", []):
            if name == SHOWN_AT_THE_END:
                terminalreporter.write_line(value)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None]:
    """What is collected stays: the garbage collector neither looks at it now nor between the tests."""
    gc.disable()
    import_own_share(session.config)
    yield
    gc.collect()
    gc.freeze()
    gc.enable()


def import_own_share(config: pytest.Config) -> None:
    """In each of xdist's processes, of a run of all tests, first import other modules than in the others.

    Pytest rewrites the asserts of a module as it is imported, which is the most of it, and keeps what it made
    for whoever imports it next. In a fresh clone all processes would do so with all modules at the same time.
    """
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if processes == 1 or sys.dont_write_bytecode or config.args != config.getini("testpaths"):
        return
    tests = Path(__file__).parent
    files = sorted(tests.rglob("test_*.py"), key=lambda path: path.stat().st_size)
    number = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
    for path in files[number::processes]:
        if not pytest_ignore_collect(path, config):
            with suppress(Exception, pytest.skip.Exception):  # it is said when it is collected
                import_module(".".join(path.relative_to(tests.parent).with_suffix("").parts))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if is_in(item.path, SLOW) or needs_postgres(item) or needs_pwsh.mark in item.iter_markers():
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(trylast=True, specname="pytest_collection_modifyitems")
def pytest_put_longest_first(items: list[pytest.Item]) -> None:
    """Once those are left out that are not to run."""
    items[:] = longest_first(items, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def longest_first(items: list[pytest.Item], processes: int) -> list[pytest.Item]:
    """In as many equal parts as there are processes; each begins with its share of `LONGEST`, and then with
    what needs the same."""
    longest = [item for item in items if is_in(item.path, LONGEST)]
    groups: dict[int | None, list[pytest.Item]] = {}
    for item in items:
        if not is_in(item.path, LONGEST):
            groups.setdefault(process_for(item, processes), []).append(item)
    others = groups.pop(None, [])
    ordered: list[pytest.Item] = []
    for number in range(processes):
        ordered += longest[number::processes] + groups.get(number, [])
        rest = max(0, len(items) // processes * (number + 1) - len(ordered))
        ordered += others[:rest]
        del others[:rest]
    return ordered + others


def process_for(item: pytest.Item, processes: int) -> int | None:
    """The number of the process that begins with what needs the same; ``None``: it needs nothing of that."""
    needs = (
        is_in(item.path, BROWSER),
        needs_postgres(item),
        *(is_in(item.path, each) for each in (COMMANDS, HOSTS)),
    )
    return needs.index(True) % processes if any(needs) else None


@dataclass
class Answer:
    """What a request came back with."""

    status: int
    body: Any
    headers: Any


@dataclass
class Caller:
    """Somebody who uses a host: with an API key, a session cookie, or nothing at all."""

    base: str
    session: ClientSession
    user_id: str = ""

    async def request(self, method: str, path: str, **kwargs: Any) -> Answer:
        """`path` below the API, or anywhere when it is a whole address."""
        url = path if path.startswith("http") else self.base + path
        async with self.session.request(method, url, **kwargs) as response:
            is_json = response.content_type == "application/json"
            body = await response.json() if is_json else await response.text()
            return Answer(response.status, body, response.headers)

    async def submit(self, command: str, mode: str = "BackgroundJob", **fields: Any) -> str:
        """Submit a job that must be accepted; its id."""
        body = {"jobName": "test", "command": command, "executionMode": mode, **fields}
        answer = await self.request("POST", "/jobs/submit", json=body)
        assert answer.status == 200, answer.body
        job_id: str = answer.body["jobId"]
        return job_id

    async def results(self, limit: int = 1000) -> list[dict[str, Any]]:
        answer = await self.request("GET", f"/jobs/results?maxResults={limit}")
        assert answer.status == 200, answer.body
        found: list[dict[str, Any]] = answer.body["results"]
        return found

    async def result(self, job_id: str) -> dict[str, Any]:
        """The job's result, once there is one."""
        deadline, pause = time.monotonic() + RESULT_SECONDS, pauses(0.02)
        while time.monotonic() < deadline:
            for record in await self.results():
                if record["JobID"] == job_id:
                    return record
            await asyncio.sleep(next(pause))
        raise AssertionError(f"no result of job {job_id} within {RESULT_SECONDS} s")

    async def run(self, command: str, mode: str = "BackgroundJob", **fields: Any) -> dict[str, Any]:
        """Submit and wait for the result."""
        body = {"jobName": "test", "command": command, "executionMode": mode, **fields}
        answer = await self.request("POST", "/jobs/submit?wait=60", json=body)
        assert answer.status == 200, answer.body
        return answer.body["result"] or await self.result(answer.body["jobId"])


@dataclass
class Host:
    """A running host application with the plugin mounted."""

    app: web.Application
    runner: web.AppRunner
    config: JobsConfig
    address: str
    sessions: list[ClientSession] = field(default_factory=list)
    keys: ApiKeyRecords | None = None
    """Those of its engine, if that is not the embedded one."""

    @property
    def base_dir(self) -> Path:
        return self.config.base_dir

    @property
    def api(self) -> str:
        return f"{self.address}{self.config.prefix}/api/v1"

    def caller(self, *roles: str, user_id: str = "alice", **key: Any) -> Caller:
        """A user with an API key that has `roles`."""
        keys = self.keys or ApiKeys.in_data_dir(self.config.data_dir)
        _, secret = keys.create(name="test", user_id=user_id, roles=roles, **key)
        return self.bearer(secret, user_id)

    def bearer(self, secret: str, user_id: str = "") -> Caller:
        return self._caller({"Authorization": f"Bearer {secret}"}, user_id)

    def stranger(self) -> Caller:
        return self._caller({}, "")

    async def signed_in(self, *roles: str, user_id: str = "alice") -> Caller:
        """A user with a session cookie from the host's own sign-in."""
        caller = self._caller({}, user_id)
        answer = await caller.request(
            "POST", f"{self.address}/login", json={"user_id": user_id, "roles": roles}
        )
        assert answer.status == 200
        return caller

    def _caller(self, headers: dict[str, str], user_id: str) -> Caller:
        session = ClientSession(headers=headers, cookie_jar=CookieJar(unsafe=True))
        self.sessions.append(session)
        return Caller(self.api, session, user_id)

    async def stop(self) -> None:
        """A normal shutdown."""
        for session in self.sessions:
            await session.close()
        self.sessions.clear()
        await self.runner.cleanup()


async def login(request: web.Request) -> web.Response:
    """The test host's sign-in: believes whatever it is told."""
    body = await request.json()
    await aiohttp_jobs.remember(request, body["user_id"], body["roles"])
    return web.json_response({})


async def logout(request: web.Request) -> web.Response:
    await aiohttp_jobs.forget(request)
    return web.json_response({})


async def serve(app: web.Application, config: JobsConfig, keys: ApiKeyRecords | None = None) -> Host:
    """Start `app`, in which the plugin is mounted with `config`, on a free port."""
    app.router.add_post("/login", login)
    app.router.add_post("/logout", logout)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return Host(app, runner, config, f"http://127.0.0.1:{runner.addresses[0][1]}", keys=keys)


def is_alive(pid: int) -> bool:
    """Whether there is such a process that has not ended; one that is not reaped yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # it may end while it is looked at
        return False


@pytest.fixture
def make_config(tmp_path: Path, engine: HostEngine) -> Callable[..., JobsConfig]:
    """Makes a configuration with short times and a data folder of the test's own."""

    def make(**settings: Any) -> JobsConfig:
        return JobsConfig(**{"data_dir": tmp_path / "data", **QUICK, **engine.settings, **settings})

    return make


@pytest.fixture
def warm_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts of this test start their workers when they start, as they do elsewhere."""
    monkeypatch.setattr(modes, "RunspaceExecutor", RunspaceExecutor)


@pytest.fixture
async def start_host(
    make_config: Callable[..., JobsConfig], engine: HostEngine
) -> AsyncIterator[Callable[..., Awaitable[Host]]]:
    """Starts hosts; stops those that still run when the test ends."""
    async with starting_hosts(make_config, engine.keys) as start:
        yield start


@asynccontextmanager
async def starting_hosts(
    make_config: Callable[..., JobsConfig], keys: ApiKeyRecords | None = None
) -> AsyncIterator[Callable[..., Awaitable[Host]]]:
    """What `start_host` is, for fixtures that live in another event loop."""
    hosts: list[Host] = []

    async def start(
        app: web.Application | None = None, functions: Functions | None = None, **settings: Any
    ) -> Host:
        config = make_config(**settings)
        app = web.Application() if app is None else app
        aiohttp_jobs.setup(app, config, functions=functions)
        host = await serve(app, config, keys)
        hosts.append(host)
        return host

    try:
        yield start
    finally:
        for host in hosts:
            await host.stop()


@asynccontextmanager
async def one_for_all(folder: Path, **settings: Any) -> AsyncIterator[Host]:
    """A host for the tests of a module that leave nothing others could see, in one event loop.

    That is ``pytest.mark.asyncio(loop_scope="module")`` on them, and a fixture of that scope around this.
    """

    def config(**given: Any) -> JobsConfig:
        return JobsConfig(**{"data_dir": folder / "data", **QUICK, **given})

    async with starting_hosts(config) as start:
        yield await start(**settings)


@pytest.fixture
async def host(start_host: Callable[..., Awaitable[Host]]) -> Host:
    """One host with short times."""
    return await start_host()


@pytest.fixture(params=["host", "plugin"])
async def host_with_own_sessions(
    request: pytest.FixtureRequest, make_config: Callable[..., JobsConfig]
) -> AsyncIterator[Host]:
    """A host whose sessions are its own, in the cookie ``HOST``; set up before the plugin, or after it."""
    app, config = web.Application(), make_config()
    storage = EncryptedCookieStorage(Fernet(Fernet.generate_key()), cookie_name="HOST")
    if request.param == "host":
        aiohttp_session.setup(app, storage)
    aiohttp_jobs.setup(app, config)
    if request.param == "plugin":
        aiohttp_session.setup(app, storage)
    host = await serve(app, config)
    yield host
    await host.stop()
