"""Who watches one process is told of what another does, in whichever order the two get to know of it."""

from __future__ import annotations

import asyncio
import errno
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aiohttp_jobs import JobsConfig
from aiohttp_jobs.engine.base import MISSED, JobChange
from aiohttp_jobs.engine.embedded.engine import EmbeddedEngine
from aiohttp_jobs.engine.embedded.findings import Found
from aiohttp_jobs.model.job import JobPhase
from aiohttp_jobs.system.secret_box import Vault
from aiohttp_jobs.system.storage_state import StorageState
from aiohttp_jobs.worker.modes import ExecutionModes
from tests.contract.conftest import ONE_AT_A_TIME, started
from tests.contract.jobs import submit
from tests.gate import PATIENCE_SECONDS, until

StartEngine = Callable[[AsyncExitStack], Awaitable[EmbeddedEngine]]


@pytest.fixture
def start(tmp_path: Path) -> StartEngine:
    """Starts what is, as far as it can tell, one more process on the folder."""
    config = JobsConfig(data_dir=tmp_path, **ONE_AT_A_TIME)

    async def begin(stack: AsyncExitStack) -> EmbeddedEngine:
        modes = ExecutionModes(config, lambda: None)
        engine = EmbeddedEngine(config, modes, StorageState(config.base_dir), Vault(config.keys))
        await started(engine, modes, stack)
        return engine

    return begin


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


class Told:
    """What a watcher was told of each job last."""

    def __init__(self) -> None:
        self._last: dict[str, JobChange] = {}
        self.waited = Counter[str]()
        self.missed = 0

    def note(self, change: JobChange) -> None:
        self._last[change.job_id] = change
        self.waited[change.job_id] += change.state is not None and change.state.phase is JobPhase.QUEUED
        self.missed += change is MISSED

    def last(self, job_id: str) -> str | None:
        change = self._last.get(job_id)
        if change is None:
            return None
        if change.record is not None:
            return str(change.record["Status"])
        return "deleted" if change.state is None else change.state.phase.value


class Spy:
    """Counts the answers of a function of the store, which are `held` until `open`: those that it is told to
    hold, or all."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, store: object, name: str, held: Callable[[Any], bool]
    ) -> None:
        self.calls = 0
        self.holds, self._opened = asyncio.Event(), asyncio.Event()
        self._held = held
        monkeypatch.setattr(store, name, partial(self._call, getattr(store, name)))

    async def _call(self, function: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        answer = await function(*args, **kwargs)
        if self._held(answer):
            self.holds.set()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._opened.wait()
        self.calls += 1
        return answer

    def open(self) -> None:
        self._opened.set()


async def _nothing(_known: Collection[str]) -> Found:
    return Found([])


@pytest.mark.parametrize("what", ["Succeeded", "deleted"])
async def test_a_job_that_was_found_waiting_too_late_is_told_of_to_its_end(
    start: StartEngine, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The other process has run it since this one read its file, and the news of its end came before that."""
    one, other = await start(stack), await start(stack)
    looks = Spy(monkeypatch, other.store, "look_at_others", lambda _: False)
    reading = Spy(monkeypatch, other.store, "look", lambda look: bool(look.found.jobs))
    # A look at the other process finds new files too, and what it does comes one after the other.
    monkeypatch.setattr(other.store, "scan", _nothing)
    told = Told()
    async with other.queue.watch(told.note):
        await one.queue.set_paused(True)
        job_id = await submit(one.queue)
        other.queue.look_soon()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await reading.holds.wait()
        await one.queue.set_paused(False)
        assert await one.queue.end_of(job_id, PATIENCE_SECONDS) is not None
        if what == "deleted":
            await one.results.delete([job_id])
        before = looks.calls
        await until(lambda: looks.calls >= before + 2, "a look at the other process")
        reading.open()
        await until(lambda: told.waited[job_id], "that it was taken for a waiting one")
        await until(lambda: told.last(job_id) == what, f"that it was told as {what}")


@pytest.mark.parametrize("fails", ["news", "look_at_others", "get_result"])
@pytest.mark.slow
async def test_what_a_sick_disk_kept_from_being_told_is_told_afterwards(
    start: StartEngine, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    one, other = await start(stack), await start(stack)
    told, failures = Told(), 0

    async def fail(*_args: Any, **_kwargs: Any) -> None:
        nonlocal failures
        failures += 1
        raise OSError(errno.EIO, "Input/output error")

    async with other.queue.watch(told.note):
        with monkeypatch.context() as sick:
            sick.setattr(other.store, fails, fail)
            job_ids = [await submit(one.queue) for _ in range(2)]
            for job_id in job_ids:
                assert await one.queue.end_of(job_id, PATIENCE_SECONDS) is not None
            await one.results.delete(job_ids[1:])
            before = failures
            await until(lambda: failures >= before + 2, "two looks that fail")
        await until(lambda: list(map(told.last, job_ids)) == ["Succeeded", "deleted"], "that it was told")


async def test_who_watches_is_told_to_look_anew_when_a_process_has_left(start: StartEngine) -> None:
    """What it told last is gone with its folder."""
    told = Told()
    async with AsyncExitStack() as staying:
        one = await start(staying)
        async with AsyncExitStack() as leaving:
            await start(leaving)
            await staying.enter_async_context(one.queue.watch(told.note))
        await until(lambda: told.missed, "that something may have been missed")
