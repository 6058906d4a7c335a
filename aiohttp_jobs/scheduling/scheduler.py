"""Scheduler: the task that fires schedules. It finds what is due, claims it, submits it, and records it.

Each moment is fired exactly once: it is claimed durably, with the id of its job, before that job is
submitted, and a claim left by a dead process is completed with the same id. The `Submitter` submits,
``timetable`` computes moments, `FiredMoments` stores claims.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Protocol

from ..engine.base import FiredMoment, FiredMoments, RecordStore
from ..errors import (
    InsufficientStorageError,
    InvalidFieldsError,
    JobsError,
    NotFoundError,
    RightsUnavailableError,
    ShuttingDownError,
    StorageUnavailableError,
)
from ..model.job import new_job_id, utc_now
from ..model.schedule import MisfirePolicy, OverlapPolicy, Schedule
from ..system.owned_tasks import OwnedTasks, end_tasks
from ..system.storage_state import StorageState
from .timetable import Timetable

MAX_INTERVAL = 30.0
_BEFORE_ALL = datetime(1970, 1, 1, tzinfo=UTC)
_AT_ONCE = 8
_SUBMIT_SECONDS = 60.0
_CLOSE_SECONDS = 30.0
_PASSING = (ShuttingDownError, RightsUnavailableError, InsufficientStorageError, StorageUnavailableError)
"""Refusals that say nothing about the schedule: its moment is fired when they are over."""
_logger = logging.getLogger(__name__)

Clock = Callable[[], datetime]
"""The time now, aware, in UTC."""
Wait = Callable[[asyncio.Event, float], Awaitable[None]]
"""Returns when the event is set, or after so many seconds."""


class Submitter(Protocol):
    """How the scheduler submits jobs and asks about them."""

    async def submit(self, schedule: Schedule, job_id: str, scheduled_for: datetime) -> None:
        """Submit ``schedule.submission()`` as `job_id`, with its owner's current rights.

        Raises `JobsError` when it is refused. After `ShuttingDownError` or any other exception it must be
        retried.
        """
        ...

    async def is_known(self, job_id: str) -> bool:
        """Whether this job was ever accepted, even if its result was deleted since."""
        ...

    async def is_active(self, job_id: str) -> bool:
        """Whether the job waits or runs, in any process."""
        ...

    async def cancel(self, job_id: str) -> None:
        """Cancel the job. Does nothing when it has ended."""
        ...


async def wait_for_event(event: asyncio.Event, seconds: float) -> None:
    """The `Wait` that is used outside tests."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What `schedule` needs, as seen at `made_at`: to be fired now, or looked at later, or nothing more."""

    schedule: Schedule
    made_at: datetime
    due: tuple[Timetable, datetime] | None = None
    look_at: datetime | None = None

    def holds(self, schedule: Schedule, now: datetime) -> bool:
        is_early = self.look_at is None or now < self.look_at
        return self.schedule is schedule and self.made_at <= now and is_early


class Scheduler:
    """Fires the schedules in `store`; several processes may share it.

    Looks at least every `interval` seconds (at most 30, to notice changes of the clock), and at once when
    woken. Moments for which `leaves` is true, given how many seconds ago they were due, are left to another
    process.
    """

    def __init__(
        self,
        store: RecordStore[Schedule],
        claims: FiredMoments[Any],
        submitter: Submitter,
        *,
        storage: StorageState,
        interval: float = 2.0,
        clock: Clock = utc_now,
        wait: Wait = wait_for_event,
        leaves: Callable[[Schedule, float], bool] = lambda schedule, late: False,
    ) -> None:
        self._store = store
        self._claims = claims
        self._submitter = submitter
        self._storage = storage
        self._interval = min(interval, MAX_INTERVAL)
        self._clock = clock
        self._wait = wait
        self._leaves = leaves
        self._wake = asyncio.Event()
        self._closing = False
        self._has_failed = False
        self._loop_task: asyncio.Task[None] | None = None
        self._tasks = OwnedTasks("the scheduler")
        self._releasing = OwnedTasks("the scheduler")
        self._busy: set[str] = set()
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._plans: dict[str, _Plan] = {}
        self._handled: dict[str, tuple[datetime, datetime]] = {}

    async def open(self) -> None:
        await self._claims.in_thread(self._claims.open)
        self._loop_task = asyncio.create_task(self._run(), name="aiohttp-jobs-scheduler")

    def wake(self) -> None:
        """Look at once, because something changed."""
        self._wake.set()

    look_soon = wake

    def has_news(self) -> bool:
        """Whether a look would find unplanned changes. Blocks."""
        return self._has_failed or self._store.has_changed() or self._claims.any_unfinished()

    def begin_closing(self) -> None:
        """Fire nothing more."""
        self._closing = True
        self._wake.set()

    async def close(self) -> None:
        """Fire nothing more, and finish what is being fired, within 30 s."""
        self.begin_closing()
        if self._loop_task is not None:
            await end_tasks({self._loop_task}, _CLOSE_SECONDS)
        await self._tasks.close(_CLOSE_SECONDS)
        await self._releasing.close(_CLOSE_SECONDS)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being fired and nothing changed since the last look."""
        return not self._tasks and not self._wake.is_set()

    async def _run(self) -> None:
        while not self._closing:
            pause = self._interval
            try:
                self._has_failed = False
                pause = await self._look()
            except Exception as error:
                self._has_failed = True
                self._storage.report(error, _logger, "Cannot look at the schedules; trying again soon")
            await self._wait(self._wake, pause)
            self._wake.clear()

    async def _look(self) -> float:
        """Start firing whatever is due; the seconds until the next look."""
        for claim in await self._claims.in_thread(self._claims.take_over):
            self._start(claim.schedule_id, partial(self._complete, claim, is_new=False))
        now = self._clock()
        due, next_look = await self._claims.in_thread(self._survey, now, frozenset(self._busy))
        for timetable, moment in due:
            self._start(timetable.schedule.schedule_id, partial(self._fire, timetable, moment, now))
        if next_look is None:
            return self._interval
        return max(0.0, min(self._interval, (next_look - self._clock()).total_seconds()))

    def _start(self, schedule_id: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._busy.add(schedule_id)
        self._tasks.start(self._guarded(schedule_id, work))

    async def _guarded(self, schedule_id: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            async with self._at_once:
                await work()
            self._wake.set()
        except ShuttingDownError:
            _logger.info("Schedule %s is fired by another process, or after the restart", schedule_id)
        except (InsufficientStorageError, StorageUnavailableError):
            self._has_failed = True  # said in the log by whoever found out
        except Exception as error:
            self._has_failed = True
            message = "Schedule %s could not be fired; it is tried again"
            self._storage.report(error, _logger, message, schedule_id)
        finally:
            self._busy.discard(schedule_id)

    # --- what is due

    def _survey(
        self, now: datetime, busy: Collection[str]
    ) -> tuple[list[tuple[Timetable, datetime]], datetime | None]:
        """The due moments, at most one of each schedule, and when to look next. Blocks."""
        enabled = {each.schedule_id: each for each in self._store.all() if each.enabled}
        for gone in set(self._handled) - set(enabled):
            self._handled.pop(gone, None)
        schedules = [schedule for schedule_id, schedule in enabled.items() if schedule_id not in busy]
        plans: dict[str, _Plan] = {}
        due: list[tuple[Timetable, datetime]] = []
        for schedule in schedules:
            plan = self._plans.get(schedule.schedule_id)
            if plan is None or not plan.holds(schedule, now):
                plan = self._make_plan(schedule, now)
            if plan.due is None:
                plans[schedule.schedule_id] = plan
            else:
                due.append(plan.due)
        self._plans = plans
        return due, min((plan.look_at for plan in plans.values() if plan.look_at is not None), default=None)

    def _make_plan(self, schedule: Schedule, now: datetime) -> _Plan:
        try:
            timetable = Timetable.of(schedule)
        except InvalidFieldsError as error:
            # It was right when it was made: this machine has other zone files.
            _logger.error("Schedule %s cannot be fired here: %s", schedule.schedule_id, error)
            return _Plan(schedule, now)
        handled = self._handled_until(schedule, now)
        moment = timetable.due(handled, now)
        if moment is not None and self._leaves(schedule, (now - timetable.fire_at(moment)).total_seconds()):
            return _Plan(schedule, now, look_at=now + timedelta(seconds=self._interval))
        if moment is not None:
            return _Plan(schedule, now, due=(timetable, moment))
        following = timetable.after(handled)
        return _Plan(schedule, now, look_at=None if following is None else timetable.fire_at(following))

    def _handled_until(self, schedule: Schedule, now: datetime) -> datetime:
        """Nothing up to then needs a look; never later than `now`, however the clock was set."""
        active_since, handled = self._handled.get(schedule.schedule_id, (None, now))
        if active_since == schedule.active_since and handled <= now:
            return handled
        claimed = self._claims.handled_until(schedule.schedule_id, now)
        handled = max(min(schedule.active_since, now), claimed or _BEFORE_ALL)
        self._handled[schedule.schedule_id] = (schedule.active_since, handled)
        return handled

    # --- firing

    async def _fire(self, timetable: Timetable, moment: datetime, now: datetime) -> None:
        if self._closing:
            return
        schedule = timetable.schedule
        reason = await self._reason_to_skip(timetable, moment, now)
        job_id = new_job_id() if reason is None else None
        claim = await self._claims.in_thread(self._claims.take, schedule.schedule_id, moment, job_id, reason)
        self._handled[schedule.schedule_id] = (schedule.active_since, moment)
        if claim is not None:
            await self._complete(claim, is_new=True)

    async def _reason_to_skip(self, timetable: Timetable, moment: datetime, now: datetime) -> str | None:
        schedule = timetable.schedule
        late = (now - timetable.fire_at(moment)).total_seconds()
        if late > schedule.misfire_grace_seconds and schedule.misfire_policy is MisfirePolicy.SKIP:
            return f"The moment passed {late:.0f} s before it could be fired."
        previous = schedule.last_job_id
        if schedule.overlap_policy is not OverlapPolicy.SKIP or previous is None:
            return None
        is_active = await self._submitter.is_active(previous)
        return f"The job before, {previous}, had not ended." if is_active else None

    async def _complete(self, claim: FiredMoment, *, is_new: bool) -> None:
        """Do what the claim announces; if that fails, leave it to the next look or process."""
        try:
            changes = await self._carry_out(claim, is_new=is_new)
            if changes:
                await self._store.in_thread(self._note, claim.schedule_id, changes)
        except BaseException:
            # In a task of its own: this one may have been cancelled, and it blocks.
            self._releasing.start(self._release(claim))
            raise
        await self._claims.in_thread(self._claims.finish, claim)

    async def _release(self, claim: FiredMoment) -> None:
        try:
            await self._claims.in_thread(self._claims.release, claim)
        except OSError as error:
            message = "A moment of schedule %s cannot be left to others; it is, when this process ends"
            self._storage.report(error, _logger, message, claim.schedule_id)

    async def _carry_out(self, claim: FiredMoment, *, is_new: bool) -> dict[str, Any]:
        """Submit the job, unless it was; what is new about the schedule."""
        if claim.job_id is None:
            return {"last_skipped_at": claim.moment, "last_skip_reason": claim.skipped}
        try:
            schedule = await self._store.in_thread(self._store.get, claim.schedule_id)
        except NotFoundError:
            return {}
        async with asyncio.timeout(_SUBMIT_SECONDS):
            if is_new or not await self._submitter.is_known(claim.job_id):
                if not schedule.enabled:
                    return {}
                try:
                    await self._submitter.submit(schedule, claim.job_id, claim.moment)
                except _PASSING:
                    raise
                except JobsError as error:
                    return {"last_error": error.message, "last_error_at": self._clock()}
            await self._end_previous(schedule, claim.job_id)
        fired = {"last_fired_at": claim.moment, "last_job_id": claim.job_id}
        return {**fired, "last_error": None, "last_error_at": None}

    async def _end_previous(self, schedule: Schedule, job_id: str) -> None:
        """Make room for `job_id`. Only now: had it been refused, the job before should have gone on."""
        previous = schedule.last_job_id
        if schedule.overlap_policy is OverlapPolicy.REPLACE and previous not in (None, job_id):
            await self._submitter.cancel(previous)

    def _note(self, schedule_id: str, changes: dict[str, Any]) -> None:
        with contextlib.suppress(NotFoundError):
            self._store.change(schedule_id, lambda schedule: schedule.model_copy(update=changes))
