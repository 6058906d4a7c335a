"""Changes that are asked for at once become durable together, one that fails fails alone, and the next are
made while earlier ones are written.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aiohttp_jobs.engine.embedded.files.group_commit import CommittedChange, GroupCommit
from aiohttp_jobs.engine.embedded.files.journal import LARGEST, Journal, JournalEntry, Kind
from aiohttp_jobs.system.atomic import put_file
from aiohttp_jobs.system.storage_state import StorageState

from ....gate import until
from ..held_journal import HeldJournal


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


COMMITTER, WRITER = "aiohttp-jobs-committer", "aiohttp-jobs-journal-writer"
REFUSED = OSError("the disk refuses")


class Busy:
    """A committer whose first change is durable, whose second, `first`, is being written, held up by
    `journal`, and whose next ones the test asks for.
    """

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = store.folder
        self._committer = GroupCommit(store.journal, lambda: self.seen("tidied"), StorageState(store.folder))
        self.journal = HeldJournal(store.journal, monkeypatch)
        self.happened: list[str] = []

    def seen(self, what: str) -> None:
        self.happened.append(what)

    async def open(self) -> None:
        self._committer.open()
        alone = self.ask("alone")
        await self.journal.begun(1)
        self.first = self.ask("first")
        self.journal.end(True)
        await alone
        await self.journal.begun(2)

    async def close(self) -> None:
        self.journal.end(*[True] * 9)
        await asyncio.to_thread(self._committer.close)

    def ask(self, name: str, data: bytes = b"x") -> asyncio.Future[None]:
        """Have the file `name` made; what is done about it is in `happened`."""
        target = self._folder / name

        def undo() -> bool:
            self.seen(f"{name} undone")
            target.unlink()
            return True

        def make() -> CommittedChange[None]:
            put_file(target, data)
            entry = JournalEntry(Kind.ENDED, name, "", data)
            rest = partial(self.seen, f"{name} let go")
            return CommittedChange(None, entry, (target,), (self._folder,), rest, undo)

        asked = self._committer.run(make)
        asked.add_done_callback(lambda done: self.seen(f"{name} {'refused' if done.exception() else 'told'}"))
        return asked

    async def made(self, name: str) -> None:
        await until((self._folder / name).exists, f"making {name}")


@pytest.fixture
async def busy(store: Store, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Busy]:
    made = Busy(store, monkeypatch)
    await made.open()
    yield made
    await made.close()


def in_order(happened: list[str], *wanted: str) -> bool:
    """Whether all that is `wanted` has happened, for the first time each, in this order."""
    return [each for each in dict.fromkeys(happened) if each in wanted] == list(wanted)


async def test_the_next_changes_are_made_while_earlier_ones_are_written(busy: Busy) -> None:
    second, third = busy.ask("second"), busy.ask("third")
    await busy.made("third")
    assert not any(each.done() for each in (busy.first, second, third))
    busy.journal.end(True, True)
    await asyncio.gather(busy.first, second, third)
    assert busy.journal.writers == [COMMITTER, WRITER, WRITER]
    assert busy.journal.written == [["alone"], ["first"], ["second", "third"]], "which wait for it together"
    assert in_order(busy.happened, "first told", "second told", "third told")


async def test_one_change_at_a_time_wakes_no_other_thread(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = HeldJournal(store.journal, monkeypatch)
    journal.end(*[True] * 20)
    for number in range(20):
        await store.committer.run(store.write(f"file{number}"))
    assert journal.writers == [COMMITTER] * 20


async def test_nothing_is_let_go_or_tidied_before_it_is_durable(busy: Busy) -> None:
    second = busy.ask("second")
    await busy.made("second")
    await asyncio.sleep(0.05)
    assert set(busy.happened) <= {"alone told", "alone let go"}
    busy.journal.end(True, True)
    await asyncio.gather(busy.first, second)
    await until(lambda: "tidied" in busy.happened, "tidying")
    assert in_order(busy.happened, "first let go", "second let go", "tidied")


async def test_what_the_journal_has_no_room_for_waits_for_what_it_is_written_before(
    busy: Busy, syncs: list[str]
) -> None:
    large = busy.ask("large", bytes(LARGEST + 1))
    after = busy.ask("after")
    await busy.made("large")
    await asyncio.sleep(0.05)
    assert "fsync" not in syncs
    busy.journal.end(True, True)
    await asyncio.gather(busy.first, large, after)
    assert syncs.count("fsync") == 2, "its file and the folder"
    assert in_order(busy.happened, "first told", "large told", "after told")


@pytest.mark.parametrize("end", [REFUSED, ValueError("a fault of ours"), False])
async def test_what_the_journal_refuses_is_synced_as_files_with_what_was_made_since(
    busy: Busy, syncs: list[str], end: Exception | bool
) -> None:
    second, third = busy.ask("second"), busy.ask("third")
    await busy.made("third")
    busy.journal.end(end)
    await asyncio.gather(busy.first, second, third)
    assert syncs.count("fsync") == 4, "each file, and the folder once"
    assert busy.journal.written == [["alone"]]
    assert in_order(busy.happened, "first told", "second told", "third told")
    busy.journal.end(True)
    await busy.ask("later")
    assert busy.journal.written[1:] == [["later"]], "the journal is used again"


async def test_what_the_disk_refuses_is_taken_back_newest_first(
    busy: Busy, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [busy.ask("second"), busy.ask("third")]
    await busy.made("third")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        busy.journal.end(REFUSED)
        answers = await asyncio.gather(busy.first, *others, return_exceptions=True)
    assert [str(answer) for answer in answers] == ["the disk refuses"] * 3
    assert in_order(busy.happened, "third undone", "second undone", "first undone", "first refused")
    assert not (store.folder / "first").exists()
    busy.journal.end(True)
    await busy.ask("later")
    assert not [each for each in busy.happened if each in ("first let go", "second let go")]


async def test_closing_finishes_what_is_written_and_what_was_made_since(busy: Busy) -> None:
    second = busy.ask("second")
    await busy.made("second")
    closing = asyncio.create_task(busy.close())
    await asyncio.gather(busy.first, second, closing)
    assert in_order(busy.happened, "first let go", "second let go", "tidied")


def refuse(*_: object) -> None:
    raise REFUSED
