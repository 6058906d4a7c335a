"""ScheduleService: creates, lists, changes and deletes schedules, with the caller's rights."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, TypeVar
from uuid import uuid4

from pydantic import BaseModel, ValidationError

from ..access.limits import LimitPolicy
from ..access.policy import AccessPolicy
from ..engine.base import FiredMoments, RecordStore
from ..errors import ConflictError, ForbiddenError, InvalidFieldsError
from ..model.field_faults import details_of
from ..model.identity import Identity
from ..model.job import utc_now
from ..model.record import owned_by
from ..model.schedule import (
    Preview,
    Schedule,
    ScheduledFunction,
    ScheduledJob,
    ScheduleRequest,
)
from ..scheduling.cron import check_cron, read_cron
from ..scheduling.scheduler import Clock
from ..scheduling.timetable import Timetable, moments_between, shown_run
from ..system.one_by_one import one_by_one

T = TypeVar("T")

DEFAULT_MAX_PER_USER = 100

_EVERYBODYS = "manage_all_schedules"
_WHEN = frozenset({"cron", "timezone", "startAt", "endAt"})
_OF_COMMANDS = frozenset({"interpreter", "concurrencyKey"})
_RUNS_NOTHING = frozenset({"name", "enabled"})
"""Fields that change neither what runs nor when; whoever changes another field makes the schedule theirs."""


class ScheduleService:
    """What a user can do with schedules. Every method takes the caller's `Identity`.

    Owners see and change their own, administrators everybody's. Whoever changes what runs, or when, becomes
    the owner, so that nothing runs in the name of somebody who did not ask for it. `changed` is called after
    each change. `require_function` raises what running a function now would raise; it blocks.
    """

    def __init__(
        self,
        policy: AccessPolicy,
        limits: LimitPolicy,
        store: RecordStore[Schedule],
        claims: FiredMoments[Any],
        *,
        require_function: Callable[[Identity, ScheduledFunction], None],
        max_per_user: int = DEFAULT_MAX_PER_USER,
        changed: Callable[[], None] = lambda: None,
        clock: Clock = utc_now,
    ) -> None:
        self._policy = policy
        self._limits = limits
        self._store = store
        self._claims = claims
        self._require_function = require_function
        self._max_per_user = max_per_user
        self._changed = changed
        self._clock = clock

    async def create(self, identity: Identity, request: ScheduleRequest) -> dict[str, Any]:
        """Create a schedule for the caller; return it as the API shows it.

        Raises `ForbiddenError`, `InvalidFieldsError`, `TooLargeError`, `TooManyKeptError`, or `NotFoundError`
        for an unknown function.
        """
        await asyncio.to_thread(self._require_submittable, identity, request.job)
        self._limits.require_name(request.name)
        now = self._clock()
        schedule = _to_schedule(
            request,
            schedule_id=str(uuid4()),
            **owned_by(identity),
            created_at=now,
            updated_at=now,
            updated_by=identity.user_id,
            active_since=now,
            disabled_by=None if request.enabled else identity.user_id,
        )

        def keep() -> dict[str, Any]:
            check_cron(schedule.cron)
            _require_firing(schedule, now)
            self._store.add(schedule, self._max_per_user)
            return _view(schedule, now)

        return await self._do(keep)

    async def list_schedules(self, identity: Identity, *, everyone: bool) -> list[dict[str, Any]]:
        """The caller's schedules, or those of all users, oldest first. Raises `ForbiddenError`."""
        if everyone and not self._policy.allows(identity.roles, _EVERYBODYS):
            raise ForbiddenError("Only administrators may list everybody's schedules.")
        now = self._clock()
        every = await self._store.in_thread(self._store.all)
        wanted = [each for each in every if everyone or each.user_id == identity.user_id]
        return await one_by_one(partial(_view, now=now), wanted)

    async def get(self, identity: Identity, schedule_id: str) -> dict[str, Any]:
        """One schedule as the API shows it. Raises `NotFoundError` or `ForbiddenError`."""
        now = self._clock()
        return await self._store.in_thread(lambda: _view(self._mine(identity, schedule_id), now))

    async def next_runs(self, identity: Identity, schedule_id: str, count: int) -> list[dict[str, Any]]:
        """The next runs, at most `count`; empty for a schedule that is disabled or has ended.

        Raises `NotFoundError` or `ForbiddenError`.
        """
        now = self._clock()

        def runs() -> list[dict[str, Any]]:
            return Timetable.of(self._mine(identity, schedule_id)).next_runs(now, count)

        return await self._store.in_thread(runs)

    async def preview(self, query: Preview) -> list[dict[str, Any]]:
        """The runs of a schedule if it were created now, without jitter. Raises `InvalidFieldsError`."""
        now = self._clock()

        def runs() -> list[dict[str, Any]]:
            times = read_cron(query.cron, query.timezone)
            check_cron(query.cron)
            moments = moments_between(times, now, query.start_at, query.end_at)
            return [shown_run(times, moment, moment) for moment in islice(moments, query.count)]

        return await asyncio.to_thread(runs)

    async def update(self, identity: Identity, schedule_id: str, change: BaseModel) -> dict[str, Any]:
        """Apply `change`, a `ScheduleChange`; return the schedule as the API shows it.

        The caller becomes the owner, unless only its name or whether it is enabled has changed. Raises
        `NotFoundError`, whatever `create` raises, `ForbiddenError` for enabling what an administrator
        disabled, and `ConflictError` for fields that this kind of job does not have.
        """
        now = self._clock()
        given = change.model_dump(exclude_unset=True, by_alias=True)

        def merge(current: Schedule) -> Schedule:
            self._require_owner(identity, current)
            if current.from_code and given.keys() - {"enabled"}:
                raise ForbiddenError(
                    "This schedule comes from the application's code; it can only be disabled and enabled."
                )
            return self._merged(identity, current, given, now)

        return await self._do(lambda: _view(self._store.change(schedule_id, merge), now))

    async def delete(self, identity: Identity, schedule_id: str) -> None:
        """Delete a schedule; jobs that it has submitted stay. Raises `NotFoundError` or `ForbiddenError`."""

        def remove() -> None:
            if self._mine(identity, schedule_id).from_code:
                raise ForbiddenError(
                    "This schedule comes from the application's code and would be there again at its next "
                    "start. Disable it instead."
                )
            self._store.remove(schedule_id)
            self._claims.forget(schedule_id)

        await self._do(remove)

    async def _do(self, work: Callable[[], T]) -> T:
        done = await self._store.in_thread(work)
        self._changed()
        return done

    def _mine(self, identity: Identity, schedule_id: str) -> Schedule:
        schedule = self._store.get(schedule_id)
        self._require_owner(identity, schedule)
        return schedule

    def _require_owner(self, identity: Identity, schedule: Schedule) -> None:
        self._policy.require_own_or(_EVERYBODYS, identity, schedule.user_id, "schedule")

    def _require_submittable(self, identity: Identity, job: ScheduledJob | ScheduledFunction) -> None:
        """Raise what submitting `job` now would raise. Blocks."""
        if isinstance(job, ScheduledFunction):
            self._require_function(identity, job)
            return
        self._policy.require_run(identity.roles, job.execution_mode, job.concurrency_key, job.priority)
        self._limits.require_within(job, job.job_name, job.notify, field="job.{}")

    def _merged(
        self, identity: Identity, current: Schedule, given: dict[str, Any], now: datetime
    ) -> Schedule:
        fields = {**current.request(), **given}
        if "job" in given:
            fields["job"] = _merged_job(current.job, given["job"])
        try:
            request = ScheduleRequest.model_validate(fields)
        except ValidationError as error:
            raise InvalidFieldsError.of(details_of(error.errors(include_url=False))) from None
        changes: dict[str, Any] = {"updated_at": now, "updated_by": identity.user_id}
        changes["disabled_by"] = self._disabled_by(identity, current, given.get("enabled"))
        if "name" in given:
            self._limits.require_name(request.name)
        if "job" in given or _asks_for_other_runs(current, request):
            changes |= self._takeover(identity, current, request)
        is_retimed = bool(given.keys() & _WHEN) or (request.enabled and not current.enabled)
        if is_retimed:
            changes["active_since"] = now
        kept = {field: getattr(current, field) for field in Schedule.model_fields}
        merged = _to_schedule(request, **{**kept, **changes})
        if merged.cron != current.cron:
            check_cron(merged.cron)
        if is_retimed:
            _require_firing(merged, now)
        return merged

    def _takeover(self, identity: Identity, current: Schedule, request: ScheduleRequest) -> dict[str, Any]:
        """The fields of who asked for what runs from now on: the caller, with the proof of this request.

        Raises what submitting the job now would raise.
        """
        is_owner = identity.user_id == current.user_id
        if not is_owner and not _asks_for_other_runs(current, request):
            return {}
        try:
            self._require_submittable(identity, request.job)
        except ForbiddenError as error:
            if is_owner:
                raise
            raise ForbiddenError(
                f"This change would make the schedule yours, to run with your rights: {error.message}"
            ) from None
        return {**owned_by(identity)}

    def _disabled_by(self, identity: Identity, current: Schedule, enabled: bool | None) -> str | None:
        """Who has disabled the schedule once `enabled` is set (``None``: it stays as it is).

        Raises `ForbiddenError` for enabling what somebody else disabled, unless the caller is an
        administrator.
        """
        by, is_admin = current.disabled_by, self._policy.allows(identity.roles, _EVERYBODYS)
        if enabled is None:
            return by
        if not enabled:
            return identity.user_id if current.enabled or is_admin else by
        if not current.enabled and by not in (None, identity.user_id) and not is_admin:
            raise ForbiddenError(
                f"This schedule was disabled by {by}; only they or an administrator can enable it again."
            )
        return None


def _asks_for_other_runs(current: Schedule, request: ScheduleRequest) -> bool:
    """Whether `request` has other jobs run than `current` does, or at other times."""
    fields = ScheduleRequest.model_fields.keys() - _RUNS_NOTHING - {"job"}
    if any(getattr(request, field) != getattr(current, field) for field in fields):
        return True
    return request.job.model_dump() != current.job.model_dump()


def _merged_job(current: ScheduledJob | ScheduledFunction, given: dict[str, Any]) -> dict[str, Any]:
    """What is given in place of a command is a function, or the reverse; of the same kind it is a change.

    Raises `ConflictError` for what only the other kind has, where that is not meant.
    """
    is_function = isinstance(current, ScheduledFunction)
    if "function" in given:
        kept = current.body() if is_function else {}
        changes = {
            name: value for name, value in given.items() if value is not None or name not in _OF_COMMANDS
        }
        return {**kept, **changes}
    if "command" in given and is_function:
        return given
    if is_function and (wrong := sorted(given.keys() & _OF_COMMANDS)):
        raise ConflictError(f"This schedule's job is a function, which has no {wrong[0]}.")
    if not is_function and "values" in given:
        raise ConflictError("This schedule's job is a command, which has no values. Name the function, too.")
    return {**current.body(), **given}


def _require_firing(schedule: Schedule, now: datetime) -> None:
    """Raise `InvalidFieldsError` for a bad cron line or zone, or one without a moment from now on."""
    if Timetable.of(schedule).after(now) is None:
        raise InvalidFieldsError.of_one("endAt", "leaves no moment from now on at which to fire")


def _to_schedule(request: ScheduleRequest, **rest: Any) -> Schedule:
    asked = {field: getattr(request, field) for field in ScheduleRequest.model_fields}
    return Schedule.model_validate({**rest, **asked})


def _view(schedule: Schedule, now: datetime) -> dict[str, Any]:
    try:
        return Timetable.of(schedule).view(now)
    except InvalidFieldsError:
        # This machine does not know the time zone; the schedule must still be seen and mended.
        return {**schedule.to_record(), "NextRunAt": None}
