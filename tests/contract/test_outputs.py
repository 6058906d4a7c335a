"""What every engine's OutputStore promises: outputs are read while jobs run and afterwards, from anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from aiohttp_jobs.engine.base import Engine, JobOutput, cancelled_by
from aiohttp_jobs.model.job import JobPhase, RetryPolicy
from aiohttp_jobs.model.output import Span

from ..gate import PATIENCE_SECONDS, Gate
from .conftest import StartEngine
from .jobs import submit


@pytest.fixture(params=["the one that runs it", "another"])
async def engines(request: pytest.FixtureRequest, start_engine: StartEngine) -> tuple[Engine, Engine]:
    """What jobs are submitted to, and what is asked for their outputs."""
    one = await start_engine()
    return one, one if request.param == "the one that runs it" else await start_engine()


async def live(engine: Engine, job_id: str) -> JobOutput | None:
    """The output of a job; ``None`` once it has ended."""
    state = await engine.queue.get(job_id)
    return None if state is None else await engine.outputs.live(state)


async def looks(engine: Engine, job_id: str) -> AsyncIterator[JobOutput | None]:
    """Its output, again after each change."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            change = engine.outputs.next_change(job_id)
            yield await live(engine, job_id)
            await asyncio.wait([change])


async def test_what_a_running_job_prints_is_read_from_any_offset(
    engines: tuple[Engine, Engine], gate: Gate
) -> None:
    runs, reads = engines
    # A process reads of another's job what that has flushed, which is more than a megabyte at a time.
    size = 3 * 1024 * 1024
    job_id = await submit(runs.queue, f"head -c {size} /dev/zero | tr '\\0' x; printf €; {gate.shell}")
    await gate.reached()
    async for output in looks(reads, job_id):
        assert output is not None
        if output.size > size // 2:
            break
    assert (output.attempt, output.complete) == (1, False)
    assert await output.read(5, 3) == (5, b"xxx")
    assert (await output.spans())[0].start == 0
    await runs.queue.cancel(job_id, cancelled_by("alice"))


async def test_who_waits_for_a_change_no_longer_takes_it_from_nobody(
    engines: tuple[Engine, Engine], gate: Gate
) -> None:
    runs, reads = engines
    job_id = await submit(runs.queue, f"{gate.shell}; sleep 600")
    await gate.reached()
    waiting = [reads.outputs.next_change(job_id) for _ in range(3)]
    waiting[0].cancel()
    waiting[1].set_result(None)
    gate.open()
    await runs.queue.cancel(job_id, cancelled_by("alice"))
    await asyncio.wait_for(waiting[2], PATIENCE_SECONDS)


async def test_a_job_that_waits_has_printed_nothing(engines: tuple[Engine, Engine]) -> None:
    runs, reads = engines
    await runs.queue.set_paused(True)
    job_id = await submit(runs.queue)
    output = await live(reads, job_id)
    assert output is not None
    assert (output.attempt, output.size, output.complete) == (1, 0, False)
    assert await output.read(0) == (0, b"")
    assert await output.spans() == []


async def test_the_end_is_told_of_and_then_all_is_kept(engines: tuple[Engine, Engine], gate: Gate) -> None:
    runs, reads = engines
    job_id = await submit(runs.queue, f"printf 'a€z'; {gate.shell}")
    await gate.reached()
    gate.open()
    async for output in looks(reads, job_id):
        if output is None:
            break
    record = await reads.queue.end_of(job_id, PATIENCE_SECONDS)
    assert record is not None
    kept = reads.outputs.kept(record)
    assert (kept.attempt, kept.size, kept.complete) == (1, 5, True)
    assert await kept.read(0) == (0, "a€z".encode())
    assert await kept.read(0, 4) == (0, "a€".encode())
    assert await kept.read(1, 2, whole=False) == (1, "€".encode()[:2])
    assert await kept.read(5) == (5, b"")
    assert await kept.spans() == [Span(0, 5)]


@pytest.mark.slow
async def test_more_than_a_result_has_room_for_is_kept_too(engines: tuple[Engine, Engine]) -> None:
    runs, reads = engines
    job_id = await submit(runs.queue, "seq 1 500000")
    record = await reads.queue.end_of(job_id, PATIENCE_SECONDS)
    assert record is not None
    assert record["OutputTruncated"]
    kept, expected = reads.outputs.kept(record), "".join(f"{n}\n" for n in range(1, 500001)).encode()
    assert kept.size == len(expected)
    text = b""
    while (part := await kept.read(len(text))).data:
        assert part.offset == len(text)
        text += part.data
    assert text == expected


async def test_each_attempt_has_an_output_of_its_own(engines: tuple[Engine, Engine]) -> None:
    runs, reads = engines
    again = RetryPolicy(count=1, backoff_seconds=3600)
    job_id = await submit(runs.queue, "echo first; false", retry=again)
    async for _ in looks(reads, job_id):
        state = await reads.queue.get(job_id)
        if state is not None and state.phase is JobPhase.PENDING:
            break
    output = await live(reads, job_id)
    assert output is not None
    assert (output.attempt, output.size) == (2, 0)


async def test_what_is_kept_goes_with_its_result(engines: tuple[Engine, Engine]) -> None:
    runs, reads = engines
    job_id = await submit(runs.queue, "seq 1 500000")
    record = await reads.queue.end_of(job_id, PATIENCE_SECONDS)
    assert record is not None
    kept = reads.outputs.kept(record)
    assert (await kept.read(0, 4)).data == b"1\n2\n"
    assert await reads.results.delete([job_id]) == 1
    assert (await kept.read(0, 4)).data == b""
    assert await kept.spans() == []
