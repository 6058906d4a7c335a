"""The engines that the contract suites run over: each test is run once for each of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import pytest

from aiohttp_jobs import JobsConfig
from aiohttp_jobs.engine.base import ClaimedJob, Engine, JobQueue
from aiohttp_jobs.engine.embedded.engine import EmbeddedEngine
from aiohttp_jobs.system.closing import Closing
from aiohttp_jobs.system.secret_box import Vault
from aiohttp_jobs.system.storage_state import StorageState
from aiohttp_jobs.worker.modes import ExecutionModes

from ..conftest import QUICK
from ..gate import Gate
from . import records, results
from .records import SECRET, KeptRecords, StartRecords
from .results import KeptResults, OpenResults

StartQueue = Callable[[], Awaitable[JobQueue]]


StartEngine = Callable[[], Awaitable[Engine]]
ONE_AT_A_TIME = {**QUICK, "max_parallel_background": 1}


async def _allow(_job: ClaimedJob) -> None:
    """Everybody may run everything."""


async def started(engine: Engine, modes: ExecutionModes, stack: AsyncExitStack) -> Engine:
    """The engine, running jobs."""
    closing = Closing()
    engine.connect(_allow, None)
    await engine.open(stack, closing.close)
    await modes.open(stack, closing, engine.instance_id)
    engine.start(stack, closing.close)
    engine.follow((), stack, closing.close)
    return engine


async def embedded(folder: Path, request: pytest.FixtureRequest, stack: AsyncExitStack) -> Engine:
    """That of one more process on `folder`, as far as it can tell."""
    config = JobsConfig(data_dir=folder, **ONE_AT_A_TIME)
    modes = ExecutionModes(config, lambda: None)
    engine = EmbeddedEngine(config, modes, StorageState(config.base_dir), Vault(config.keys))
    return await started(engine, modes, stack)


async def postgres(folder: Path, request: pytest.FixtureRequest, stack: AsyncExitStack) -> Engine:
    """That of one more process on the test's database, as far as it can tell."""
    dsn = request.getfixturevalue("postgres")
    from aiohttp_jobs.engine.postgres.engine import PostgresEngine  # noqa: PLC0415 - needs psycopg

    config = JobsConfig(data_dir=folder, engine="postgres", dsn=dsn, secret=SECRET, **ONE_AT_A_TIME)
    modes = ExecutionModes(config, lambda: None)
    storage, vault = StorageState(config.base_dir), Vault(config.keys)
    engine = PostgresEngine(config, modes, storage, vault)
    return await started(engine, modes, stack)


ENGINES = {"embedded": embedded, "postgres": postgres}


@pytest.fixture(params=ENGINES)
async def start_engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[StartEngine]:
    """Starts engines that share one storage, each of which runs one background job at a time."""
    if request.param == "postgres":
        request.getfixturevalue("postgres")
    async with AsyncExitStack() as stack:

        async def start() -> Engine:
            return await ENGINES[request.param](tmp_path / "data", request, stack)

        yield start


@pytest.fixture
async def start_queue(start_engine: StartEngine) -> StartQueue:
    """Starts engines of which a test needs nothing but the queue."""

    async def start() -> JobQueue:
        return (await start_engine()).queue

    return start


@pytest.fixture
async def queue(start_queue: StartQueue) -> JobQueue:
    """The only one on its storage."""
    return await start_queue()


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


@pytest.fixture(params=records.ENGINES)
def kept_in(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """An engine, and where it keeps records and results: a data folder, or a database."""
    name: str = request.param
    return name, request.getfixturevalue("postgres") if name == "postgres" else str(tmp_path)


@pytest.fixture
def start_records(kept_in: tuple[str, str]) -> Iterator[StartRecords]:
    """Gives what one more process would have of the records in one place, as far as it can tell."""
    name, place = kept_in
    with ExitStack() as stack:
        yield lambda: records.ENGINES[name](place, stack)


@pytest.fixture
def kept(start_records: StartRecords) -> KeptRecords:
    """What one process has."""
    return start_records()


@pytest.fixture
def other(start_records: StartRecords, kept: KeptRecords) -> KeptRecords:
    """What another has beside `kept`."""
    return start_records()


@pytest.fixture
async def open_results(kept_in: tuple[str, str]) -> AsyncIterator[OpenResults]:
    """Gives what one more process would have of the results in one place, as far as it can tell."""
    name, place = kept_in
    async with AsyncExitStack() as stack:

        async def open_results(search_bytes: int = 1000) -> KeptResults:
            return await stack.enter_async_context(results.ENGINES[name](place, search_bytes))

        yield open_results


@pytest.fixture(name="results")
async def _results(open_results: OpenResults) -> KeptResults:
    """What the only process has."""
    return await open_results()
