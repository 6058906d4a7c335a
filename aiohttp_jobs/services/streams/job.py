"""Follows one job: its output from any offset and its changes of state, while it runs and afterwards.

Each watcher reads at its own pace; a slow one delays nobody. One that lags behind at the end of an attempt
gets the rest of it before the next attempt.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from ...engine.base import FoundJob, JobOutput, JobState, OutputStore
from ...errors import NotFoundError, StorageUnavailableError
from ...model.job import JobPhase
from ...model.output import OutputPart
from ...model.progress import Progress
from .lookup import JobLookup
from .serializers import ended_view, job_view

_PROGRESS_SECONDS = 0.1
_AWAY_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event: ``output``, ``status``, ``progress``, ``end``, or ``heartbeat`` (nothing new).

    `position` is where to resume after it, ``<attempt>-<offset>``.
    """

    name: str
    position: str
    data: dict[str, Any]


CURRENT = (0, 0)
"""Where a watcher starts that has seen nothing: with the attempt of this moment."""


class JobStream:
    """One watcher of the job `job_id`, from `start` (attempt, offset) on."""

    def __init__(self, lookup: JobLookup, outputs: OutputStore, job_id: str, start: tuple[int, int]) -> None:
        self._lookup = lookup
        self._outputs = outputs
        self._job_id = job_id
        self._attempt, self._offset = start
        self._shown: tuple[Any, ...] | None = None
        self._progress: Progress | None = None
        self._progress_due = 0.0
        self._told_at = time.monotonic()
        self._has_all = False
        self._alarm = _Alarm()

    async def events(self, heartbeat: float, closing: Callable[[], bool]) -> AsyncIterator[StreamEvent]:
        """All events until the job ends or is deleted, or the server stops.

        A ``heartbeat`` follows `heartbeat` seconds without news, so that a disconnected watcher is noticed.
        """
        try:
            while not closing():
                try:
                    async for event in self._told(heartbeat, closing):
                        yield event
                except NotFoundError:
                    return
                except StorageUnavailableError:  # as while a database restarts: it goes on from where it is
                    yield self._event("heartbeat", {})
                    await asyncio.sleep(_AWAY_SECONDS)
                else:
                    return
        finally:
            self._alarm.off()

    async def _told(self, heartbeat: float, closing: Callable[[], bool]) -> AsyncIterator[StreamEvent]:
        """The same, until the storage fails. Raises `NotFoundError`."""
        while not closing():
            change = self._outputs.next_change(self._job_id)
            found = await self._lookup.find(self._job_id)
            if self._attempt != found.attempt:
                async for event in self._missed(found):
                    yield event
            if found.record is not None:
                async for event in self._end_of(found.record):
                    yield event
                return
            for event in self._news(found.known):
                yield event
            while (printed := await self._printed(found.known)) is not None:
                yield printed
                if change.done() or self._has_all:
                    break
            if not change.done() and await self._is_quiet(change, found.known, heartbeat):
                yield self._event("heartbeat", {})

    def _news(self, state: JobState) -> list[StreamEvent]:
        """What the watcher has not been told yet of the job's state, and now and then of its progress."""
        events = []
        before, self._shown = self._shown, (state.phase, state.is_cancelling, state.worker, state.job.attempt)
        if before != self._shown:
            events.append(self._event("status", job_view(state)))
        if state.progress != self._progress and time.monotonic() >= self._progress_due:
            self._progress, self._progress_due = state.progress, time.monotonic() + _PROGRESS_SECONDS
            shown = state.progress
            told = {} if shown is None else {"share": shown.share, "text": shown.text}
            events.append(self._event("progress", told))
        return events

    async def _is_quiet(self, change: asyncio.Future[None], state: JobState, heartbeat: float) -> bool:
        """Wait for a change; whether there has been nothing to tell for so long that this is to be told."""
        self._alarm.set(self._pause(state, heartbeat), change)
        await change  # not by `asyncio.wait`, which takes a turn of the loop more
        # A change need not be news: of another process's job it is only time to look again.
        return time.monotonic() >= self._told_at + heartbeat

    def _pause(self, state: JobState, heartbeat: float) -> float:
        """How many seconds to wait for a change: `heartbeat`, or until the progress can be told."""
        if state.progress == self._progress:
            return heartbeat
        return min(heartbeat, max(0.0, self._progress_due - time.monotonic()))

    async def _missed(self, found: FoundJob) -> AsyncIterator[StreamEvent]:
        """What is left to tell of the attempts before that of this moment, which is told from now on."""
        if CURRENT[0] < self._attempt < found.attempt:
            for record in await self._lookup.earlier_attempts(found):
                if self._outputs.kept(record).attempt >= self._attempt:
                    async for event in self._rest_of(record):
                        yield event
        self._attempt, self._offset = found.attempt, 0

    async def _rest_of(self, record: dict[str, Any]) -> AsyncIterator[StreamEvent]:
        """The output of the attempt with this result, from where the watcher is."""
        output = self._outputs.kept(record)
        if output.attempt != self._attempt:
            self._attempt, self._offset = output.attempt, 0
        while (part := await output.read(self._offset)).data:
            yield self._output(part, output)

    async def _end_of(self, record: dict[str, Any]) -> AsyncIterator[StreamEvent]:
        """The rest of the output of the job with this result, and its end."""
        async for event in self._rest_of(record):
            yield event
        yield self._event("end", ended_view(record))

    async def _printed(self, state: JobState) -> StreamEvent | None:
        """What the running job has printed since, ``None`` when there is nothing."""
        if state.phase is not JobPhase.RUNNING:
            return None
        output = await self._outputs.live(state)
        part = await output.read(self._offset)
        if output.attempt != self._attempt or not part.data:
            return None
        self._has_all = part.offset + len(part.data) >= output.size
        # Where some is missing it may be on its way to where it is kept.
        is_next = part.offset == self._offset or await self._still_runs()
        return self._output(part, output) if is_next else None

    async def _still_runs(self) -> bool:
        try:
            found = await self._lookup.find(self._job_id)
        except NotFoundError:
            return False
        is_running = found.state is not None and found.state.phase is JobPhase.RUNNING
        return is_running and found.attempt == self._attempt

    def _output(self, part: OutputPart, output: JobOutput) -> StreamEvent:
        data: dict[str, Any] = {"Offset": part.offset, "Text": part.data.decode("utf-8", "replace")}
        if part.offset > self._offset:
            data["LeftOut"] = part.offset - self._offset
            if output.left_out_because:
                data["LeftOutBecause"] = output.left_out_because
        self._offset = part.offset + len(part.data)
        return self._event("output", data)

    def _event(self, name: str, data: dict[str, Any]) -> StreamEvent:
        self._told_at = time.monotonic()
        return StreamEvent(name, f"{self._attempt}-{self._offset}", data)


class _Alarm:
    """Wakes a watcher to whom nothing happens: one timer for all its waits, as nearly all end before."""

    def __init__(self) -> None:
        self._due = 0.0
        self._change: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set(self, seconds: float, change: asyncio.Future[None]) -> None:
        """Have `change` done in so many seconds at the latest, in place of the one before."""
        loop = asyncio.get_running_loop()
        self._due, self._change = loop.time() + seconds, change
        if self._timer is None or self._timer.when() > self._due:
            self.off()
            self._timer = loop.call_at(self._due, self._ring)

    def off(self) -> None:
        """Wake nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        if self._change is None or self._change.done():
            return
        loop = asyncio.get_running_loop()
        if loop.time() < self._due:
            self._timer = loop.call_at(self._due, self._ring)
        else:
            self._change.set_result(None)
