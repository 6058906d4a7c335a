"""An output that somebody watches: written before it is shown, once for all, and read from memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from aiohttp_jobs.engine.base import JobSummary
from aiohttp_jobs.engine.running.active import ActiveJob
from aiohttp_jobs.engine.running.outputs import LiveOutput
from aiohttp_jobs.model.job import ExecutionMode, utc_now
from aiohttp_jobs.worker.output.log import LogWriter, OutputLog
from aiohttp_jobs.worker.output.segments import SEGMENT, read_segments

from ...gate import PATIENCE_SECONDS


class CountedLog(OutputLog):
    """Counts how often it was written to its files, which may be held up."""

    flushes = 0
    may_write: threading.Event | None = None

    def flush(self, *, and_close: bool = True, is_watched: bool = False) -> None:
        self.flushes += 1
        if self.may_write is not None:
            assert self.may_write.wait(PATIENCE_SECONDS)
        super().flush(and_close=and_close, is_watched=is_watched)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[CountedLog]:
    log = CountedLog(tmp_path / "log", 1 << 20)
    log.file_writer = LogWriter()
    yield log
    if log.may_write is not None:
        log.may_write.set()
    await asyncio.to_thread(log.file_writer.close)


def active_job() -> ActiveJob[Any]:
    summary = JobSummary(
        job_id="job", user_id="alice", job_name="job", mode=ExecutionMode.RUNSPACE, submitted_at=utc_now()
    )
    return ActiveJob(summary)


async def written(log: OutputLog) -> None:
    is_written = asyncio.Event()
    log.once_written(is_written.set)
    await asyncio.wait_for(is_written.wait(), PATIENCE_SECONDS)


async def start(active: ActiveJob[Any], log: OutputLog) -> None:
    task = asyncio.create_task(asyncio.sleep(0))
    active.started(None, task, log, utc_now())  # type: ignore[arg-type] - not looked at here
    await task


async def test_who_watches_hears_of_a_line_once_it_is_written(log: CountedLog, tmp_path: Path) -> None:
    active = active_job()
    await start(active, log)
    log.may_write = threading.Event()
    change = active.next_change()
    log.append(b"a line\n")
    await asyncio.sleep(0.01)
    assert not change.done()
    log.may_write.set()
    await asyncio.wait_for(change, PATIENCE_SECONDS)
    assert read_segments(tmp_path / "log", 0).data == b"a line\n"


async def test_what_follows_while_a_line_is_written_is_told_too(log: CountedLog) -> None:
    active = active_job()
    await start(active, log)
    log.may_write = threading.Event()
    seen = b""
    for line in (b"one\n", b"two\n", b"three\n"):
        change = active.next_change()
        log.append(line)
        log.append(line)
        await asyncio.sleep(0)
        log.may_write.set()
        await asyncio.wait_for(change, PATIENCE_SECONDS)
        seen += (await LiveOutput(log).read(len(seen))).data
        assert not log.unwritten
    assert seen == b"one\none\ntwo\ntwo\nthree\nthree\n"


async def test_many_who_read_along_share_one_write_and_open_no_file(
    log: CountedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a file was read")

    monkeypatch.setattr(log, "read_files", refuse)
    log.may_write = threading.Event()
    log.append(b"a line\n")
    readers = [asyncio.create_task(LiveOutput(log).read(0)) for _ in range(50)]
    await asyncio.sleep(0)
    log.may_write.set()
    parts = await asyncio.gather(*readers, LiveOutput(log).read(2))
    assert {part.data for part in parts} == {b"a line\n", b"line\n"}
    assert (log.flushes, log.unwritten) == (1, 0)


async def test_what_is_written_does_not_wait_for_what_follows(log: CountedLog) -> None:
    log.append("größer".encode())
    await written(log)
    log.may_write = threading.Event()
    log.append(b"\n")
    for offset, expected in ((0, "größer"), (1, "rößer"), (4, "ßer")):
        part = await asyncio.wait_for(LiveOutput(log).read(offset), PATIENCE_SECONDS)
        assert part == (offset, expected.encode())
    rest = asyncio.create_task(LiveOutput(log).read(8))
    await asyncio.sleep(0.01)
    assert not rest.done()
    log.may_write.set()
    assert await asyncio.wait_for(rest, PATIENCE_SECONDS) == (8, b"\n")


async def test_who_is_behind_reads_from_the_files_on(log: CountedLog) -> None:
    read, watched = LiveOutput(log), b""
    for number in range(20):
        log.append(b"%d," % number)
        await written(log)
        if number % 3 == 0:
            while data := (await read.read(len(watched))).data:
                watched += data
    while data := (await read.read(len(watched))).data:
        watched += data
    assert watched == b"".join(b"%d," % number for number in range(20))


async def test_much_at_once_does_not_stay_in_memory(log: CountedLog) -> None:
    log.append(b"x" * SEGMENT)
    await written(log)
    assert log.read(0) is None
    log.append(b"y")
    await written(log)
    assert log.read(SEGMENT) == (SEGMENT, b"y")


async def test_a_disk_that_refuses_keeps_nothing_from_who_watches(log: CountedLog, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.write_text("not a folder")
    refused = OutputLog(full / "log", 1024)
    refused.file_writer = log.file_writer
    refused.append(b"a line\n")
    with pytest.raises(OSError, match="Not a directory"):
        await asyncio.to_thread(refused.flush)
    assert (await asyncio.wait_for(LiveOutput(refused).read(0), PATIENCE_SECONDS)).data == b"a line\n"
    assert refused.unwritten == 7
    assert refused.output().text == "a line\n"


@pytest.mark.parametrize("when", ["written", "appended", "being written"])
async def test_the_result_has_all_of_a_watched_output(log: CountedLog, when: str) -> None:
    log.append(b"one\n")
    await written(log)
    log.append(b"two\n")
    if when == "written":
        await written(log)
    elif when == "being written":
        log.once_written(lambda: None)
        assert log.output_blocks  # it would wait for the disk
    log.end()
    taken = await asyncio.to_thread(log.output)
    assert taken == ("one\ntwo\n", False)
    log.add_error("ended")
    assert log.output().text == "one\ntwo\n[ERROR] ended\n"
    read = b"one\n"
    while data := (await LiveOutput(log).read(len(read))).data:
        read += data
    assert read == b"one\ntwo\n[ERROR] ended\n"


async def test_a_segment_that_is_written_at_once_follows_what_was_read_along(tmp_path: Path) -> None:
    log = OutputLog(tmp_path / "log", 1024, 64 << 20)
    log.append(b"a" * SEGMENT)
    await asyncio.to_thread(log.flush)
    log.append(b"b" * 100)
    await asyncio.to_thread(log.flush, is_watched=True)
    log.append(b"b" * (SEGMENT - 100))
    await asyncio.to_thread(log.flush, is_watched=True)
    log.append(b"c" * SEGMENT)
    await asyncio.to_thread(log.flush)
    log.add_segment(bytearray(b"d" * SEGMENT))
    assert log.read(4 * SEGMENT) == (4 * SEGMENT, b"")
    for number, letter in enumerate(b"abcd"):
        assert log.read_files(number * SEGMENT, SEGMENT).data == bytes([letter]) * SEGMENT


async def test_a_writer_that_is_closed_holds_up_nobody(log: CountedLog) -> None:
    assert log.file_writer is not None
    await written(log)
    await asyncio.to_thread(log.file_writer.close)
    threads = threading.active_count()
    log.append(b"a line\n")
    assert (await asyncio.wait_for(LiveOutput(log).read(0), PATIENCE_SECONDS)).data == b"a line\n"
    assert threading.active_count() == threads


async def test_a_fault_while_one_log_is_written_does_not_keep_others_from_it(
    log: CountedLog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(**_: Any) -> None:
        raise ValueError("a fault of ours")

    broken: Any = OutputLog(tmp_path / "broken", 1024)
    broken.file_writer, broken.flush = log.file_writer, fail
    for each, tell in ((broken, "ours"), (log, None)):
        each.append(b"a line\n")
        is_told = asyncio.Event()
        then: Callable[[], None] = is_told.set
        each.once_written(then)
        await asyncio.wait_for(is_told.wait(), PATIENCE_SECONDS)
        assert tell is None or tell in caplog.text
