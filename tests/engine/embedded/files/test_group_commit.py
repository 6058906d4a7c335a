"""Changes that are asked for at once become durable together, and one that fails fails alone."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from aiohttp_jobs.engine.embedded.files.group_commit import CommittedChange, GroupCommit
from aiohttp_jobs.engine.embedded.files.journal import LARGEST, Journal, JournalEntry, Kind
from aiohttp_jobs.system.atomic import put_file
from aiohttp_jobs.system.storage_state import StorageState


class Store:
    """A committer with its journal in `folder`, and a way to hold it up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = Journal(folder, StorageState(folder))
        self.committer = GroupCommit(self.journal, lambda: None, StorageState(folder))
        self.gate = threading.Event()

    def write(self, name: str, data: bytes = b"x") -> Callable[[], CommittedChange[str]]:
        def work() -> CommittedChange[str]:
            target = self.folder / name
            put_file(target, data)
            return CommittedChange(name, JournalEntry(Kind.ENDED, name, "", data), (target,), (self.folder,))

        return work

    def wait(self) -> CommittedChange[None]:
        self.gate.wait(30)
        return CommittedChange(None)

    async def at_once(self, *works: Callable[[], CommittedChange[Any]]) -> list[Any]:
        """Ask for all while the thread is busy, so that they are one batch."""
        held = self.committer.run(self.wait)
        await asyncio.sleep(0.05)
        asked = [self.committer.run(work) for work in works]
        await asyncio.sleep(0)
        self.gate.set()
        await held
        return await asyncio.gather(*asked, return_exceptions=True)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    made = Store(tmp_path)
    made.journal.open()
    deadline = time.monotonic() + 30
    while not made.journal.write([]) and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    made.committer.open()
    yield made
    made.gate.set()
    await asyncio.to_thread(made.committer.close)
    await asyncio.to_thread(made.journal.close)


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls that wait for the disk."""
    calls: list[str] = []

    def count(name: str) -> None:
        real = getattr(os, name)

        def counting(*args: Any) -> Any:
            calls.append(name)
            return real(*args)

        monkeypatch.setattr(os, name, counting)

    for name in ("fsync", "pwritev"):
        count(name)
    return calls


async def test_changes_at_once_wait_for_the_disk_once(store: Store, syncs: list[str]) -> None:
    await store.committer.run(store.write("first"))
    syncs.clear()
    names = [f"file{number}" for number in range(20)]
    assert await store.at_once(*map(store.write, names)) == names
    assert syncs == (["pwritev"] if hasattr(os, "RWF_DSYNC") else ["fsync"])
    assert all((store.folder / name).read_bytes() == b"x" for name in names)


async def test_it_is_tidied_at_rest_but_not_after_each_of_many_changes(tmp_path: Path) -> None:
    changed: list[float] = []
    tidied: list[float] = []

    def change() -> CommittedChange[None]:
        changed.append(time.monotonic())
        return CommittedChange(None)

    storage = StorageState(tmp_path)
    committer = GroupCommit(Journal(tmp_path, storage), lambda: tidied.append(time.monotonic()), storage)
    committer.open()
    for _ in range(30):
        await committer.run(change)
        await asyncio.sleep(0.01)
    deadline = time.monotonic() + 30
    while not (tidied and tidied[-1] > changed[-1]) and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    assert tidied[-1] > changed[-1], "what the last one has left is tidied too"
    count = len(tidied)
    assert all(after - before >= 0.049 for before, after in itertools.pairwise(tidied)), tidied
    await asyncio.to_thread(committer.close)
    assert len(tidied) > count, "and at the end"


async def test_one_that_fails_fails_alone(store: Store) -> None:
    done = await store.at_once(store.write("a"), store.write("nowhere/file"), store.write("b"))
    assert (done[0], done[2]) == ("a", "b")
    assert isinstance(done[1], OSError)


async def test_without_a_journal_each_is_synced_by_itself(store: Store, syncs: list[str]) -> None:
    await asyncio.to_thread(store.journal.close)
    syncs.clear()
    assert await store.at_once(store.write("a"), store.write("b")) == ["a", "b"]
    assert syncs == ["fsync"] * 3, "each file, and the folder once"


async def test_a_sync_that_fails_fails_alone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await asyncio.to_thread(store.journal.close)
    real = os.fsync
    calls: list[int] = []

    def failing_once(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 1:
            raise OSError("the disk refuses")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", failing_once)
    done = await store.at_once(store.write("a"), store.write("b"))
    assert isinstance(done[0], OSError)
    assert done[1] == "b"


async def test_a_journal_that_fails_costs_only_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bool:
        raise OSError("the disk refuses")

    monkeypatch.setattr(store.journal, "write", refuse)
    assert await store.at_once(store.write("a"), store.write("b")) == ["a", "b"]


async def test_what_is_large_is_synced_as_a_file(store: Store, syncs: list[str]) -> None:
    await store.committer.run(store.write("large", bytes(LARGEST + 1)))
    assert syncs == ["fsync", "fsync"]


async def test_after_closing_nothing_is_taken(store: Store) -> None:
    await asyncio.to_thread(store.committer.close)
    with pytest.raises(RuntimeError, match="not open"):
        await store.committer.run(store.write("a"))


async def test_tidying_waits_until_nobody_else_does(store: Store) -> None:
    tidied: list[int] = []
    done: list[str] = []
    committer = GroupCommit(store.journal, lambda: tidied.append(len(done)), StorageState(store.folder))
    committer.open()

    def work() -> CommittedChange[None]:
        done.append("x")
        return CommittedChange(None)

    gate = threading.Event()

    def hold() -> CommittedChange[None]:
        gate.wait(30)
        return CommittedChange(None)

    held = committer.run(hold)
    others = [committer.run(work) for _ in range(200)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(held, *others)
    await asyncio.to_thread(committer.close)
    assert tidied[0] == 200


async def test_what_is_asked_for_at_the_very_end_is_finished_too(store: Store) -> None:
    rest: list[str] = []
    committer = GroupCommit(store.journal, lambda: rest.append("tidied"), StorageState(store.folder))
    committer.open()
    gate = threading.Event()

    def hold() -> CommittedChange[None]:
        gate.wait(30)
        return CommittedChange(None)

    held = committer.run(hold)
    await asyncio.sleep(0.05)
    last = committer.run(lambda: CommittedChange(None, afterwards=lambda: rest.append("let go")))
    await asyncio.sleep(0)
    closing = asyncio.create_task(asyncio.to_thread(committer.close))
    await asyncio.sleep(0.1)
    gate.set()
    await asyncio.gather(held, last, closing)
    assert rest == ["let go", "tidied"]
