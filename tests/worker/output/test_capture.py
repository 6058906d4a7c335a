"""Output: bounded, in order, whole characters, resumed after a crash."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import stat
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiohttp_jobs.engine.running.outputs import LiveOutput
from aiohttp_jobs.model.output import CHUNK
from aiohttp_jobs.worker.output.capture import OutputPipe
from aiohttp_jobs.worker.output.log import OutputLog
from aiohttp_jobs.worker.output.segments import SEGMENT, read_segments

from ...gate import PATIENCE_SECONDS


def test_a_short_output_is_kept_as_it_is(tmp_path: Path) -> None:
    log = OutputLog(tmp_path / "log", 1024)
    log.append(b"one\n")
    log.append("zwei €\n".encode())
    assert log.output() == ("one\nzwei €\n", False)
    assert not (tmp_path / "log").exists()


def test_of_a_long_output_both_ends_are_kept_and_the_gap_is_told(tmp_path: Path) -> None:
    log = OutputLog(tmp_path / "log", 1024)
    data = b"".join(b"%09d\n" % n for n in range(1000))
    log.append(data)
    text, truncated = log.output()
    assert truncated
    head, mark, tail = text.partition("\n[... 8976 bytes of output left out ...]\n")
    assert mark
    assert data.startswith(head.encode())
    assert data.endswith(tail.encode())
    assert len(head) + len(tail) == 1024


def test_an_output_that_was_taken_can_be_read_written_and_added_to_all_the_same(tmp_path: Path) -> None:
    log = OutputLog(tmp_path / "log", 1024)
    log.append(b"one\n")
    log.append("zwei €\n".encode())
    taken = log.output()
    for offset in range(13):
        part = log.read(offset, whole=False)
        assert part is not None
        assert part.data == "one\nzwei €\n".encode()[offset:]
    log.add_error("three")
    assert log.read(4) == (4, "zwei €\n[ERROR] three\n".encode())
    assert log.read(13) == (13, b"[ERROR] three\n")
    assert log.output().text == taken.text + "[ERROR] three\n"
    log.flush()
    assert (log.read(0), log.unwritten) == (None, 0)
    assert log.read_files(0).data.decode() == log.output().text == "one\nzwei €\n[ERROR] three\n"


async def test_who_reads_an_output_whose_job_has_just_ended_brings_no_folder_back(tmp_path: Path) -> None:
    log = OutputLog(tmp_path / "run" / "log", 1024)
    log.append(b"done\n")
    log.output()
    log.close()
    assert (await LiveOutput(log).read(0)).data == b"done\n"
    assert not (tmp_path / "run").exists()


def test_an_output_in_a_result_is_in_memory_once(tmp_path: Path) -> None:
    log = OutputLog(tmp_path / "log", 1 << 20)
    tracemalloc.start()
    try:
        log.append(b"x" * 1_000_000)
        kept = log.output()
        assert tracemalloc.get_traced_memory()[0] < 1_100_000
    finally:
        tracemalloc.stop()
    assert len(kept.text) == 1_000_000


def test_whether_taking_an_output_touches_the_disk_is_known_before(tmp_path: Path) -> None:
    log = OutputLog(tmp_path / "log", 1024)
    log.append(b"x" * 1024)
    assert not log.output_blocks
    log.output()
    assert not (tmp_path / "log").exists()
    log.append(b"x")
    assert log.output_blocks
    log.output()
    assert (tmp_path / "log").exists()
    again = OutputLog(tmp_path / "log", 4096)
    assert again.output_blocks


def test_the_disk_holds_the_beginning_and_the_end_of_an_endless_output(tmp_path: Path) -> None:
    log = OutputLog(tmp_path / "log", 1024, limit=4 << 20)
    block = b"x" * (1 << 20)
    for _ in range(40):
        log.append(block)
        log.flush()
    log.append(b"end")
    log.flush()
    assert sum(path.stat().st_size for path in (tmp_path / "log").iterdir()) < 9 << 20
    assert log.size == (40 << 20) + 3
    assert log.output().text.endswith("xend")
    behind_gap = read_segments(tmp_path / "log", 10 << 20)
    assert behind_gap.offset > 10 << 20
    assert behind_gap.data


@settings(max_examples=60)
@given(st.text(alphabet="aé€🙂\n", max_size=3000), st.lists(st.integers(1, 50), min_size=1))
def test_characters_are_never_cut_however_they_arrive(text: str, cuts: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = OutputLog(Path(folder) / "log", 1024)
        data, position, turn = text.encode(), 0, 0
        while position < len(data):
            size = cuts[turn % len(cuts)]
            log.append(data[position : position + size])
            position, turn = position + size, turn + 1
        log.end()
        kept, truncated = log.output()
        assert "�" not in kept
        assert truncated or kept == text


def test_what_was_printed_in_pieces_is_read_as_one(tmp_path: Path) -> None:
    log = OutputLog(tmp_path / "log", 1024)
    for piece in ("a line", "\n", "größer\n"):
        log.append(piece.encode())
    assert log.read(0) == (0, "a line\ngrößer\n".encode())
    assert log.read(6, 3) == (6, b"\ngr")
    assert log.read(6, 4) == (6, b"\ngr")  # half of a letter is left for the next
    assert log.read(17) == (17, b"")


def test_bytes_that_are_no_text_are_replaced_and_kept_apart(tmp_path: Path) -> None:
    log = OutputLog(tmp_path / "log", 1024)
    log.append(b"a\xff\xfeb\x00c\xe2\x82")
    log.end()
    assert log.output().text == "a��b\x00c�"


def test_a_log_goes_on_where_a_dead_process_left_it(tmp_path: Path) -> None:
    first = OutputLog(tmp_path / "log", 1024)
    first.append(b"so far")
    first.flush()
    second = OutputLog(tmp_path / "log", 1024)
    assert second.size == 6
    second.add_error("cut off")
    assert second.output().text == "so far\n[ERROR] cut off\n"


def test_a_watcher_reads_everything_from_memory_and_files(tmp_path: Path) -> None:
    log = OutputLog(tmp_path / "log", 1024)
    read = b""
    for n in range(100):
        log.append(b"%d," % n)
        if n % 7 == 0:
            log.flush()
        part = log.read(len(read)) or log.read_files(len(read))
        assert part.offset == len(read)
        read += part.data
    while (part := log.read(len(read)) or log.read_files(len(read))).data:
        read += part.data
    assert read == b"".join(b"%d," % n for n in range(100))


async def test_a_fast_writer_waits_and_memory_stays_bounded(tmp_path: Path) -> None:
    log = OutputLog(tmp_path / "log", 1024)
    pipe = OutputPipe(log)
    most = 0

    def note() -> None:
        nonlocal most
        most = max(most, log.unwritten)

    log.on_change = note
    process = await asyncio.create_subprocess_exec(
        "head", "-c", str(50 << 20), "/dev/zero", stdout=pipe.write_end
    )
    pipe.close_write_end()
    assert await process.wait() == 0
    await pipe.close()
    log.end()
    assert log.size == 50 << 20
    assert most <= SEGMENT + 2 * CHUNK


async def test_closing_does_not_wait_for_one_who_holds_the_pipe(tmp_path: Path) -> None:
    log = OutputLog(tmp_path / "log", 1024)
    pipe = OutputPipe(log)
    survivor = os.dup(pipe.write_end)
    os.write(survivor, b"before")
    await asyncio.wait_for(pipe.close(), PATIENCE_SECONDS)
    assert log.output().text == "before"
    os.close(survivor)


async def test_a_disk_that_refuses_delays_and_loses_nothing(tmp_path: Path) -> None:
    in_the_way = tmp_path / "run"
    in_the_way.write_text("not a folder")
    log = OutputLog(in_the_way / "log", 1 << 20)
    pipe = OutputPipe(log)
    os.write(pipe.write_end, b"kept")
    await asyncio.sleep(0.3)
    in_the_way.unlink()
    os.write(pipe.write_end, b" all the same")
    await pipe.close()
    assert log.output().text == "kept all the same"


@pytest.mark.parametrize("limit", [64 << 20, 0])
def test_characters_across_files_stop_no_reader_and_offsets_stay_true(tmp_path: Path, limit: int) -> None:
    log = OutputLog(tmp_path / "log", 1024, limit)
    data = ("x" + "€" * 2_000_000).encode()
    for start in range(0, len(data), 100_000):
        log.append(data[start : start + 100_000])
    log.flush()
    offset, gaps = 0, 0
    while (part := log.read_files(offset)).data:
        gaps += part.offset > offset
        assert part.data == data[part.offset : part.offset + len(part.data)]
        part.data.decode()
        offset = part.offset + len(part.data)
    assert offset == len(data)
    assert gaps == (0 if limit else 1)


def test_a_reader_never_sees_what_is_being_written_twice(tmp_path: Path) -> None:
    log = OutputLog(tmp_path / "log", 1024, 64 << 20)
    written = b"".join(b"%07d\n" % n for n in range(200_000))
    ended = threading.Event()

    def flush() -> None:
        while not ended.is_set():
            log.flush()

    flusher = threading.Thread(target=flush)
    flusher.start()
    read, position = bytearray(), 0
    try:
        while len(read) < len(written):
            log.append(written[position : position + 800])
            position += 800
            part = log.read(len(read)) or log.read_files(len(read))
            assert part.offset == len(read)
            read += part.data
    finally:
        ended.set()
        flusher.join()
    assert bytes(read) == written


_LINE = b"%07d: one of the lines of a long output\n"


def _lines(first: int, count: int) -> bytes:
    return b"".join(_LINE % number for number in range(first, first + count))


async def _flood(pipe: OutputPipe, lines: int) -> None:
    def write() -> None:
        with os.fdopen(os.dup(pipe.write_end), "wb", buffering=0) as file:
            for first in range(0, lines, 10_000):
                data = memoryview(_lines(first, min(10_000, lines - first)))
                while data:
                    data = data[file.write(data) :]

    await asyncio.to_thread(write)
    await pipe.close()


async def test_of_a_flood_files_are_used_again_and_no_reader_takes_one_for_another(tmp_path: Path) -> None:
    log, ended = OutputLog(tmp_path / "log", 1024, limit=4 << 20), threading.Event()
    lines, wrong, seen = 1_000_000, list[int](), set[int]()

    def look(offset: int, most: int) -> None:
        part = log.read_files(offset, most, whole=False)
        if part.data:
            number, skip = divmod(part.offset, len(_LINE % 0))
            expected = _lines(number, len(part.data) // len(_LINE % 0) + 2)[skip:]
            seen.add(part.offset)
            if not expected.startswith(part.data):
                wrong.append(part.offset)

    def read() -> None:
        while not ended.is_set():
            # What is about to be dropped, and what has just come.
            for offset in (log.size - (3 << 20) - 1000, log.size - 5000):
                look(max(0, offset), 4000)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        await asyncio.wait_for(_flood(OutputPipe(log), lines), PATIENCE_SECONDS)
    finally:
        ended.set()
        reader.join()
    log.flush()
    assert not wrong
    assert len(seen) > 10
    assert log.size == lines * len(_LINE % 0)
    files = sorted(path.name for path in (tmp_path / "log").iterdir())
    assert files == [
        f"output.{n:09d}" for n in (0, 1, 2, *range(log.size // SEGMENT - 3, log.size // SEGMENT + 1))
    ]
    assert log.output().text.endswith((_LINE % (lines - 1)).decode())


def test_a_segment_that_is_written_over_while_it_is_read_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = OutputLog(tmp_path / "log", 1024)
    log.append(b"0" * SEGMENT)
    log.flush()
    for number in b"12":
        log.add_segment(bytearray([number]) * SEGMENT)
    read = os.pread

    def read_late(descriptor: int, most: int, offset: int) -> bytes:
        if log.size < 4 * SEGMENT:
            log.add_segment(bytearray(b"3") * SEGMENT)
        return read(descriptor, most, offset)

    assert log.read_files(SEGMENT, 10) == (SEGMENT, b"1" * 10)
    monkeypatch.setattr(os, "pread", read_late)
    assert log.read_files(SEGMENT, 10) == (2 * SEGMENT, b"2" * 10)


async def test_a_flood_waits_for_a_disk_that_refuses_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, refused = OutputLog(tmp_path / "log", 1024, limit=64 << 20), 0

    def refusing(write: Callable[..., int]) -> Callable[..., int]:
        def refuse_first(descriptor: int, *rest: Any) -> int:
            nonlocal refused
            if refused < 2 and stat.S_ISREG(os.fstat(descriptor).st_mode):
                refused += 1
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return write(descriptor, *rest)

        return refuse_first

    # A whole file at once or piece by piece, as the machine is busy or not.
    monkeypatch.setattr(os, "pwrite", refusing(os.pwrite))
    monkeypatch.setattr(os, "write", refusing(os.write))
    await asyncio.wait_for(_flood(OutputPipe(log), 400_000), PATIENCE_SECONDS)
    assert refused
    log.flush()
    assert log.read_files(0, 1 << 30).data == _lines(0, 400_000)


@pytest.mark.parametrize(
    "printed",
    [
        pytest.param("naïve: 数字 🙂\n".encode() * 200_000, id="text"),
        pytest.param(b"x" * (3 << 20) + b"\xff" * 500_000 + b"y" * (5 << 20), id="no text, and then text"),
        pytest.param(
            b"x" * ((4 << 20) - 1) + b"\xe2\x82" + b"y" * (5 << 20), id="cut short at a segment's end"
        ),
    ],
)
async def test_a_flood_of_anything_is_kept_as_text(tmp_path: Path, printed: bytes) -> None:
    log = OutputLog(tmp_path / "log", 1024, limit=64 << 20)
    pipe = OutputPipe(log)
    (tmp_path / "printed").write_bytes(printed)
    process = await asyncio.create_subprocess_exec("cat", tmp_path / "printed", stdout=pipe.write_end)
    assert await process.wait() == 0
    await pipe.close()
    log.end()
    log.flush()
    expected = printed.decode("utf-8", "replace").encode()
    assert log.size == len(expected)
    assert log.read_files(0, 1 << 30).data == expected


async def test_a_flood_leaves_no_file_open(tmp_path: Path) -> None:
    log = OutputLog(tmp_path / "log", 1024)
    before = set(os.listdir("/proc/self/fd"))
    pipe = OutputPipe(log)

    def flood() -> None:
        with os.fdopen(os.dup(pipe.write_end), "wb", buffering=0) as file:
            for _ in range(300):
                file.write(b"a line that is printed again and again\n" * 1000)

    flooding = asyncio.create_task(asyncio.to_thread(flood))
    await asyncio.wait_for(flooding, PATIENCE_SECONDS)
    await pipe.close()
    assert log.size == 300 * 39_000
    left = {name for name in set(os.listdir("/proc/self/fd")) - before if "log" in _target(name)}
    assert not left


def _target(descriptor: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except FileNotFoundError:
        return ""


async def test_a_job_that_starts_to_print_late_is_seen_all_the_same(tmp_path: Path) -> None:
    log = OutputLog(tmp_path / "log", 1024)
    told = asyncio.Event()
    log.on_change = told.set
    pipe = OutputPipe(log)
    await asyncio.sleep(0.01)  # between the first and the second look
    os.write(pipe.write_end, b"late")
    await asyncio.wait_for(told.wait(), PATIENCE_SECONDS)
    assert log.read(0) == (0, b"late")
    await pipe.close()


async def test_one_pipe_serves_one_job_after_the_other(tmp_path: Path) -> None:
    pipe = OutputPipe()
    for name in ("one", "two"):
        os.write(pipe.write_end, b"by nobody")
        await asyncio.sleep(0.05)
        log = OutputLog(tmp_path / name, 1024)
        pipe.begin(log)
        os.write(pipe.write_end, name.encode())
        await pipe.end()
        assert log.output().text == name
    before = len(os.listdir("/proc/self/fd"))
    pipe.let_go()
    assert len(os.listdir("/proc/self/fd")) == before - 2


async def test_a_pipe_that_is_let_go_of_in_a_job_is_closed_after_it(tmp_path: Path) -> None:
    pipe, log = OutputPipe(), OutputLog(tmp_path / "log", 1024)
    pipe.begin(log)
    os.write(pipe.write_end, b"the last words")
    pipe.let_go()
    await pipe.end()
    assert log.output().text == "the last words"


async def test_after_a_disk_that_refused_the_next_job_is_seen_again(tmp_path: Path) -> None:
    in_the_way = tmp_path / "log"
    in_the_way.write_text("not a folder")
    pipe, first = OutputPipe(), OutputLog(in_the_way, 1 << 20)
    pipe.begin(first)
    os.write(pipe.write_end, b"first")
    await asyncio.sleep(0.4)
    await pipe.end()
    log, told = OutputLog(tmp_path / "next", 1024), asyncio.Event()
    log.on_change = told.set
    pipe.begin(log)
    os.write(pipe.write_end, b"next")
    await asyncio.wait_for(told.wait(), PATIENCE_SECONDS)
    await pipe.end()
    assert log.output().text == "next"
    pipe.let_go()


async def test_what_fills_a_pipe_to_the_brim_is_all_of_one_job(tmp_path: Path) -> None:
    pipe = OutputPipe()
    fcntl.fcntl(pipe.write_end, fcntl.F_SETPIPE_SZ, 1 << 20)
    for number in range(20):
        full, following = (OutputLog(tmp_path / f"{name}{number}", 1024) for name in ("full", "next"))
        pipe.begin(full)
        os.write(pipe.write_end, b"x" * (1 << 20))
        await pipe.end()
        pipe.begin(following)
        os.write(pipe.write_end, b"y" * 100_000)
        await asyncio.sleep(0)
        await pipe.end()
        assert (full.size, following.size) == (1 << 20, 100_000)
    pipe.let_go()


async def test_a_pipe_is_closed_once(tmp_path: Path) -> None:
    pipe = OutputPipe()
    pipe.let_go()
    other = os.open(tmp_path, os.O_RDONLY)  # has the number that became free
    pipe.let_go()
    await pipe.end()
    os.close(other)


async def test_a_pipe_that_was_read_empty_a_moment_ago_is_still_watched(tmp_path: Path) -> None:
    pipe = OutputPipe()
    pipe.begin(OutputLog(tmp_path / "first", 1024))
    os.write(pipe.write_end, b"first")
    await asyncio.sleep(0)  # the loop knows, but `end` comes before it
    await pipe.end()
    log, told = OutputLog(tmp_path / "next", 1024), asyncio.Event()
    log.on_change = told.set
    pipe.begin(log)
    await asyncio.sleep(0)
    os.write(pipe.write_end, b"next")
    await asyncio.wait_for(told.wait(), PATIENCE_SECONDS)
    await pipe.end()
    pipe.let_go()


async def test_whoever_gives_up_waiting_for_the_end_leaves_no_pipe_behind(tmp_path: Path) -> None:
    class SlowLog(OutputLog):
        has_begun = False

        def flush(self, *, and_close: bool = True) -> None:
            self.has_begun = True
            time.sleep(0.1)
            super().flush(and_close=and_close)

    def pipes() -> set[str]:
        return {target for name in os.listdir("/proc/self/fd") if "pipe:" in (target := _target(name))}

    before = pipes()
    log = SlowLog(tmp_path / "log", 1024)
    pipe = OutputPipe()
    pipe.begin(log)
    fcntl.fcntl(pipe.write_end, fcntl.F_SETPIPE_SZ, 1 << 20)
    os.write(pipe.write_end, b"x" * 600_000)
    while log.size < 600_000:
        await asyncio.sleep(0)
    os.write(pipe.write_end, b"x" * 600_000)
    while not log.has_begun:
        await asyncio.sleep(0)
    ending = asyncio.create_task(pipe.end())
    await asyncio.sleep(0.05)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    pipe.let_go()
    assert pipes() == before


async def test_all_that_is_printed_before_a_jobs_end_is_told_is_its_own(tmp_path: Path) -> None:
    """Told of by another descriptor, as workers do it: what was printed before is not looked for then."""
    loop, pipe = asyncio.get_running_loop(), OutputPipe()
    told, tell = os.pipe()
    try:
        for number in range(100):
            printed = b"x" * (number % 3) * (CHUNK if number % 10 == 9 else 1)
            log, ended = OutputLog(tmp_path / f"log-{number}", 1024 * 1024, is_new=True), loop.create_future()
            pipe.begin(log)
            loop.add_reader(told, lambda ended=ended: ended.done() or ended.set_result(os.read(told, 1)))
            thread = threading.Thread(target=_print_and_tell, args=(pipe.write_end, printed, tell))
            thread.start()
            await ended
            await pipe.end(is_told=True)
            thread.join()
            assert log.output().text.encode() == printed
    finally:
        loop.remove_reader(told)
        await pipe.close()
        os.close(told)
        os.close(tell)


def _print_and_tell(output: int, printed: bytes, tell: int) -> None:
    while printed:
        printed = printed[os.write(output, printed) :]
    os.write(tell, b"!")
