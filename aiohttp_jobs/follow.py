"""Watching one job: its output from any offset and its changes of state, while it runs and afterwards.

Each watcher reads at its own pace, from memory or from the files; a slow one costs nobody anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from .dispatch.live import LiveJob, LiveState
from .execution.segments import Part
from .models import JobResult
from .outputs import FilesOutput, LiveOutput, StoredOutput
from .store.base import JobStore
from .views import ended_view, live_view, submission_view

_MOVING_SECONDS = 0.02
_ELSEWHERE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Event:
    """One thing to tell a watcher: ``output``, ``status``, ``end``, or ``heartbeat`` (nothing new).

    `position` is where to go on after it, ``<attempt>-<offset>``.
    """

    name: str
    position: str
    data: dict[str, Any]


async def follow_live(
    live: LiveJob, store: JobStore, start: tuple[int, int], heartbeat: float, closing: Callable[[], bool]
) -> AsyncIterator[Event]:
    """Everything from `start` (attempt, offset) to the job's end, or to the server's.

    `heartbeat` seconds without news are told too, so that a watcher that left is noticed.
    """
    attempt, offset = start
    shown: tuple[Any, ...] | None = None
    while not closing():
        if live.job.attempt != attempt:
            attempt, offset = live.job.attempt, 0
        state = _state(live)
        if state != shown and live.state is not LiveState.ENDED:
            shown = state
            yield Event("status", f"{attempt}-{offset}", live_view(live, None))
        log = live.log
        part = await LiveOutput(log).read(offset) if log is not None else None
        if part is not None and part.data and live.state is LiveState.RUNNING:
            event = _output(attempt, offset, part)
            offset = part.offset + len(part.data)
            yield event
        elif live.state is LiveState.ENDED:
            break
        elif log is not None and log is live.log and log.size > offset:
            await asyncio.sleep(_MOVING_SECONDS)  # its files are on their way to where they are kept
        elif _state(live) == shown and not await live.change(heartbeat):
            yield Event("heartbeat", f"{attempt}-{offset}", {})
    if live.state is LiveState.ENDED and live.result is not None:
        async for event in follow_stored(store, live.result, (attempt, offset)):
            yield event


async def follow_stored(
    store: JobStore, result: JobResult | dict[str, Any], start: tuple[int, int]
) -> AsyncIterator[Event]:
    """What is left of an ended job's output from `start` on, and its end."""
    record = result.to_record() if isinstance(result, JobResult) else result
    attempt = int(record.get("Attempt", 1))
    offset = start[1] if start[0] == attempt else 0
    output = StoredOutput(store, record)
    while (part := await output.read(offset)).data:
        yield _output(attempt, offset, part)
        offset = part.offset + len(part.data)
    yield Event("end", f"{attempt}-{offset}", ended_view(record))


async def follow_elsewhere(
    store: JobStore, job_id: str, start: tuple[int, int], closing: Callable[[], bool]
) -> AsyncIterator[Event]:
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
                attempt, offset = located.submission.attempt, 0
            state = located.state
            if state != shown:
                shown = state
                yield Event("status", f"{attempt}-{offset}", submission_view(located.submission, state))
            if located.log is not None:
                part = await FilesOutput(located.log).read(offset)
                if part.data:
                    yield _output(attempt, offset, part)
                    offset = part.offset + len(part.data)
                    continue
        await asyncio.sleep(_ELSEWHERE_SECONDS)
        yield Event("heartbeat", f"{attempt}-{offset}", {})


def _state(live: LiveJob) -> tuple[Any, ...]:
    return (live.shown_state, live.reason is not None, live.worker, live.job.attempt)


def _output(attempt: int, asked: int, part: Part) -> Event:
    data: dict[str, Any] = {"Offset": part.offset, "Text": part.data.decode("utf-8", "replace")}
    if part.offset > asked:
        data["LeftOut"] = part.offset - asked
    return Event("output", f"{attempt}-{part.offset + len(part.data)}", data)
