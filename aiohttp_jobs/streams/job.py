"""Watching one job: its output from any offset and its changes of state, while it runs and afterwards.

Each watcher reads at its own pace, from memory or from the files; a slow one costs nobody anything.
One that lags when an attempt ends is told the rest of it before the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from ..engine.base import JobStore
from ..engine.embedded.active import ActiveJob
from ..model.job import JobPhase
from ..model.output import OutputPart
from ..worker.output.log import OutputLog
from .output import FilesOutput, LiveOutput, StoredOutput
from .serializers import ended_view, job_view, submission_view

_MOVING_SECONDS = 0.02
_ELSEWHERE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One thing to tell a watcher: ``output``, ``status``, ``end``, or ``heartbeat`` (nothing new).

    `position` is where to go on after it, ``<attempt>-<offset>``.
    """

    name: str
    position: str
    data: dict[str, Any]


CURRENT = (0, 0)
"""Where a watcher starts that has seen nothing: with the attempt of this moment."""


async def follow_active(
    active: ActiveJob, store: JobStore, start: tuple[int, int], heartbeat: float, closing: Callable[[], bool]
) -> AsyncIterator[StreamEvent]:
    """Everything from `start` (attempt, offset) to the job's end, or to the server's.

    `heartbeat` seconds without news are told too, so that a watcher that left is noticed.
    """
    attempt, offset = start
    shown: tuple[Any, ...] | None = None
    while not closing():
        if active.job.attempt != attempt:
            async for event in _missed(active, store, (attempt, offset)):
                yield event
            attempt, offset = active.job.attempt, 0
        state = _state(active)
        if state != shown and active.state is not JobPhase.ENDED:
            shown = state
            yield StreamEvent("status", f"{attempt}-{offset}", job_view(active.snapshot()))
        log = active.log
        part = await _printed(active, offset)
        if part is not None:
            event = _output(attempt, offset, part)
            offset = part.offset + len(part.data)
            yield event
        elif active.state is JobPhase.ENDED:
            break
        elif _is_moving(active, log, offset):
            await asyncio.sleep(_MOVING_SECONDS)
        elif _state(active) == shown and not await active.change(heartbeat):
            yield StreamEvent("heartbeat", f"{attempt}-{offset}", {})
    async for event in _rest_elsewhere(active, store, (attempt, offset), closing):
        yield event


async def follow_stored(
    store: JobStore, record: dict[str, Any], start: tuple[int, int]
) -> AsyncIterator[StreamEvent]:
    """What is left of an ended job's output from `start` on, and its end."""
    attempt = int(record.get("Attempt", 1))
    if not CURRENT[0] < start[0] <= attempt:
        start = (attempt, 0)
    earlier = await store.attempts_of(record) if start[0] < attempt else []
    position = f"{attempt}-{start[1] if start[0] == attempt else 0}"
    async for event in _rest_of(store, [*earlier, record], start):
        position = event.position
        yield event
    yield StreamEvent("end", position, ended_view(record))


async def follow_elsewhere(
    store: JobStore, job_id: str, start: tuple[int, int], closing: Callable[[], bool]
) -> AsyncIterator[StreamEvent]:
    """A job of another process on the same store, by looking at its files now and then."""
    (attempt, offset), shown = start, ""
    while not closing():
        record = await store.get_result(job_id)
        if record is not None:
            async for event in follow_stored(store, record, (attempt, offset)):
                yield event
            return
        located = await store.locate(job_id)
        if located is not None:
            if located.submission.attempt != attempt:
                earlier = await store.attempts(located.submission) if attempt != CURRENT[0] else []
                async for event in _rest_of(store, earlier, (attempt, offset)):
                    yield event
                attempt, offset = located.submission.attempt, 0
            state = located.state
            if state != shown:
                shown = state
                yield StreamEvent("status", f"{attempt}-{offset}", submission_view(located.submission, state))
            if located.log is not None:
                part = await FilesOutput(located.log).read(offset)
                if part.data:
                    yield _output(attempt, offset, part)
                    offset = part.offset + len(part.data)
                    continue
        await asyncio.sleep(_ELSEWHERE_SECONDS)
        yield StreamEvent("heartbeat", f"{attempt}-{offset}", {})


async def _rest_elsewhere(
    active: ActiveJob, store: JobStore, start: tuple[int, int], closing: Callable[[], bool]
) -> AsyncIterator[StreamEvent]:
    """What is left to tell of a job that has ended, or that another process has taken."""
    if active.state is JobPhase.ENDED and active.record is not None:
        async for event in follow_stored(store, active.record, start):
            yield event
    elif active.state is JobPhase.ENDED:
        async for event in follow_elsewhere(store, active.job.job_id, start, closing):
            yield event


def _is_moving(active: ActiveJob, log: OutputLog | None, offset: int) -> bool:
    """Whether there is more in files that are on their way to where they are kept."""
    return log is not None and log is active.log and log.size > offset


async def _printed(active: ActiveJob, offset: int) -> OutputPart | None:
    """What the running job has printed from `offset` on, ``None`` when there is nothing."""
    if active.log is None:
        return None
    part = await LiveOutput(active.log).read(offset)
    return part if part.data and active.state is JobPhase.RUNNING else None


async def _missed(active: ActiveJob, store: JobStore, start: tuple[int, int]) -> AsyncIterator[StreamEvent]:
    """What the attempts before this one printed from `start` on."""
    if start != CURRENT and active.submission is not None:
        current = active.submission.model_copy(update={"attempt": active.job.attempt})
        async for event in _rest_of(store, await store.attempts(current), start):
            yield event


async def _rest_of(
    store: JobStore, records: list[dict[str, Any]], start: tuple[int, int]
) -> AsyncIterator[StreamEvent]:
    """The output of the attempts with these results, from `start` on."""
    for record in records:
        attempt = int(record.get("Attempt", 1))
        offset = start[1] if attempt == start[0] else 0
        output = StoredOutput(store, record)
        while attempt >= start[0] and (part := await output.read(offset)).data:
            yield _output(attempt, offset, part)
            offset = part.offset + len(part.data)


def _state(active: ActiveJob) -> tuple[Any, ...]:
    return (active.shown_state, active.reason is not None, active.worker, active.job.attempt)


def _output(attempt: int, asked: int, part: OutputPart) -> StreamEvent:
    data: dict[str, Any] = {"Offset": part.offset, "Text": part.data.decode("utf-8", "replace")}
    if part.offset > asked:
        data["LeftOut"] = part.offset - asked
    return StreamEvent("output", f"{attempt}-{part.offset + len(part.data)}", data)
