"""The schedules that functions declare in the host's code: created, updated and removed when the host starts.

What users may change in them is in ``schedules``; the scheduler fires them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from ..engine.base import FiredMoments, RecordStore
from ..errors import ConfigurationError, InvalidFieldsError
from ..functions.registry import Function, Functions
from ..model.field_faults import what_is_wrong
from ..model.functions import FROM_CODE
from ..model.job import utc_now
from ..model.schedule import Schedule, ScheduledFunction, ScheduleRequest, code_schedule_id
from ..scheduling.cron import check_cron
from ..scheduling.timetable import Timetable

_TIMES = ("cron", "timezone")
_FOLLOWED = ("name", "job", "user_id", *_TIMES)
"""What a schedule has from the code at each start. Whether it is paused is not among it."""


class CodeSchedules:
    """The schedules of `functions`, for the plugin mounted at `prefix`.

    `is_elsewhere` says whether another live process has a function, as one of another release or with other
    settings may. Raises `ConfigurationError` for an invalid cron line, time zone or value.
    """

    def __init__(
        self,
        functions: Functions,
        store: RecordStore[Schedule],
        claims: FiredMoments[Any],
        prefix: str,
        is_elsewhere: Callable[[str], bool],
    ) -> None:
        self._store = store
        self._claims = claims
        self._prefix = prefix
        self._is_elsewhere = is_elsewhere
        self._has_functions = len(functions) > 0
        self._wanted = [self._of(function) for function in functions if function.options.cron is not None]
        self._old_ids = {
            self._id(function.name): [self._id(name) for name in function.options.old_names]
            for function in functions
        }

    def write(self) -> None:
        """Update the stored schedules to what the code declares. Raises ``OSError``. Blocks."""
        kept = {each.schedule_id: each for each in self._store.all() if each.from_code}
        for wanted in self._wanted:
            current = kept.get(wanted.schedule_id)
            if current is None:
                self._store.add(self._as_before(wanted, kept))
            elif changed := {
                field: getattr(wanted, field)
                for field in _FOLLOWED
                if getattr(wanted, field) != getattr(current, field)
            }:
                self._store.change(wanted.schedule_id, _Change(changed))
        known = {wanted.schedule_id for wanted in self._wanted}
        for schedule_id, schedule in kept.items():
            if schedule_id not in known and self._is_over(schedule):
                self._store.remove(schedule_id)
                self._claims.forget(schedule_id)

    def _as_before(self, wanted: Schedule, kept: dict[str, Schedule]) -> Schedule:
        """Of a function that had another name, paused if it was."""
        for old_id in self._old_ids[wanted.schedule_id]:
            if (old := kept.get(old_id)) is not None:
                fields = ("enabled", "disabled_by")
                return wanted.model_copy(update={field: getattr(old, field) for field in fields})
        return wanted

    def _is_over(self, schedule: Schedule) -> bool:
        """Whether no code has it any more. A process without any functions cannot tell."""
        job = schedule.job
        if not isinstance(job, ScheduledFunction) or schedule.schedule_id != self._id(job.function):
            return False
        return self._has_functions and not self._is_elsewhere(job.function)

    def _id(self, function: str) -> str:
        return code_schedule_id(self._prefix, function)

    def _of(self, function: Function[..., Any]) -> Schedule:
        options, now = function.options, utc_now()
        try:
            request = ScheduleRequest.model_validate(
                {
                    "name": options.title,
                    "cron": options.cron,
                    "timezone": options.timezone,
                    "job": {"function": function.name, "values": _values(function)},
                }
            )
            check_cron(request.cron)
            schedule = Schedule.model_validate(
                {
                    **{field: getattr(request, field) for field in ScheduleRequest.model_fields},
                    "schedule_id": self._id(function.name),
                    "user_id": options.user,
                    "submitted_with": FROM_CODE,
                    "created_at": now,
                    "updated_at": now,
                    "updated_by": options.user,
                    "active_since": now,
                    "from_code": True,
                }
            )
            Timetable.of(schedule)
        except (InvalidFieldsError, TypeError) as error:
            raise _unusable(function, str(error)) from None
        except ValidationError as error:
            raise _unusable(function, what_is_wrong(error.errors()[0])) from None
        return schedule


class _Change:
    """What changes in a schedule that is kept. Moments up to now are no longer its, if its times change."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields

    def __call__(self, current: Schedule) -> Schedule:
        now = utc_now()
        since = {"active_since": now} if self._fields.keys() & set(_TIMES) else {}
        return current.model_copy(update={**self._fields, **since, "updated_at": now})


def _values(function: Function[..., Any]) -> dict[str, Any]:
    """Raises ``TypeError`` and `InvalidFieldsError`."""
    signature = function.signature
    checked = signature.validate(signature.to_json((), function.options.values))
    if checked.secret:
        raise TypeError(f"{', '.join(checked.secret)} is a secret, which no schedule keeps")
    return checked.plain


def _unusable(function: Function[..., Any], reason: str) -> ConfigurationError:
    return ConfigurationError(f"The schedule of the function {function.name} cannot be used: {reason}")
