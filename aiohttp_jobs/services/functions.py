"""FunctionService: lists and runs the host's functions for users, with their rights.

``function_jobs`` submits the jobs; the function's signature validates the values.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ..access.functions import FunctionRights
from ..access.policy import AccessPolicy
from ..engine.base import RecordStore
from ..errors import ForbiddenError, InvalidFieldsError, NotFoundError, field_error
from ..functions.registry import Function, Functions
from ..model.functions import FunctionRunRequest
from ..model.identity import Identity
from ..model.job import ExecutionMode, Submission
from ..model.schedule import Schedule, ScheduledFunction, code_schedule_id
from ..system.one_by_one import one_by_one
from .function_jobs import FunctionJobs, require_mode


class FunctionService:
    """What a user can do with the host's functions. Every method takes the caller's `Identity`.

    A function that the caller may not run does not exist for them. `schedules` includes those that the code
    of the plugin at `prefix` declares.
    """

    def __init__(
        self,
        policy: AccessPolicy,
        functions: Functions,
        rights: FunctionRights,
        jobs: FunctionJobs,
        schedules: RecordStore[Schedule],
        prefix: str,
    ) -> None:
        self._policy = policy
        self._functions = functions
        self._rights = rights
        self._jobs = jobs
        self._schedules = schedules
        self._prefix = prefix

    async def list_functions(self, identity: Identity) -> list[dict[str, Any]]:
        """The functions that the caller may run, in the order of their registration."""
        schedules = await self._code_schedules()
        found = [(each, self._rights.modes(each, identity.roles)) for each in self._functions]
        return await one_by_one(
            lambda each: self._view(*each, schedules), [(each, modes) for each, modes in found if modes]
        )

    def has_any(self, identity: Identity) -> bool:
        """Whether the caller may run any function."""
        return any(self._rights.modes(each, identity.roles) for each in self._functions)

    async def get(self, identity: Identity, name: str) -> dict[str, Any]:
        """A function by its current or a former name, as the API shows it. Raises `NotFoundError`."""
        function, modes = self._runnable(identity, name)
        return await asyncio.to_thread(self._view, function, modes, await self._code_schedules())

    def require_runner(self, identity: Identity, name: str) -> None:
        """Raise `NotFoundError` unless the caller may run this function."""
        self._runnable(identity, name)

    async def run(
        self,
        identity: Identity,
        name: str,
        run: FunctionRunRequest,
        *,
        job_id: str | None = None,
        schedule: Schedule | None = None,
    ) -> Submission:
        """Submit a job of the function as the caller's. `schedule` is the schedule that submits it, if any.

        Raises `NotFoundError`, `ForbiddenError`, and whatever `JobService.submit` raises.
        """
        function, mode = self._require_run(identity, name, run)
        values = await asyncio.to_thread(function.signature.validate, run.values)
        return await self._jobs.submit(
            identity, function, values, run, mode, job_id=job_id, schedule=schedule
        )

    def require_schedulable(self, identity: Identity, job: ScheduledFunction) -> None:
        """Raise what running `job` now would raise, with its fields below ``job``. Blocks.

        Raises `InvalidFieldsError` for secret values too: schedules do not store them.
        """
        try:
            function, mode = self._require_run(identity, job.function, job)
            values = function.signature.validate(job.values)
            self._jobs.require_within(function, values, job, mode)
        except InvalidFieldsError as error:
            faults = error.details or ()
            raise InvalidFieldsError.of(
                [{**each, "field": f"job.{each['field']}"} for each in faults]
            ) from None
        if values.secret:
            message = "is a secret, which no schedule keeps; run this function by hand or from code"
            raise InvalidFieldsError.of(
                [field_error(f"job.values.{name}", message) for name in values.secret]
            )

    def _require_run(
        self, identity: Identity, name: str, run: FunctionRunRequest
    ) -> tuple[Function[..., Any], ExecutionMode]:
        function, modes = self._runnable(identity, name)
        mode = run.execution_mode or modes[0]
        require_mode(function, mode)
        if mode not in modes:
            raise ForbiddenError(f"Your roles do not allow you to run {function.name} in {mode}.")
        self._policy.require_priority(identity.roles, run.priority)
        return function, mode

    def _runnable(self, identity: Identity, name: str) -> tuple[Function[..., Any], list[ExecutionMode]]:
        function = self._functions.get(name)
        modes = [] if function is None else self._rights.modes(function, identity.roles)
        if function is None or not modes:
            raise NotFoundError(f"There is no function {name[:64]}.")
        return function, modes

    async def _code_schedules(self) -> dict[str, Schedule]:
        """By id."""
        if not any(function.options.cron for function in self._functions):
            return {}
        every = await self._schedules.in_thread(self._schedules.all)
        return {each.schedule_id: each for each in every if each.from_code}

    def _view(
        self, function: Function[..., Any], modes: list[ExecutionMode], schedules: dict[str, Schedule]
    ) -> dict[str, Any]:
        """Blocks for a millisecond the first time: the JSON schema is made then."""
        options, signature = function.options, function.signature
        schedule = schedules.get(code_schedule_id(self._prefix, function.name))
        return {
            "Name": function.name,
            "Title": options.title,
            "Description": function.description,
            "Modes": [mode.value for mode in modes],
            "Roles": sorted(options.roles),
            "TimeoutSeconds": options.timeout,
            "ConcurrencyKey": options.concurrency_key,
            "Priority": options.priority,
            "Labels": list(options.labels),
            "OldNames": list(options.old_names),
            "Parameters": [parameter.to_json() for parameter in signature.parameters],
            "Schema": signature.json_schema,
            "Schedule": None if schedule is None else _schedule_view(schedule),
        }


def _schedule_view(schedule: Schedule) -> dict[str, Any]:
    return {
        "ScheduleID": schedule.schedule_id,
        "Cron": schedule.cron,
        "Timezone": schedule.timezone,
        "Enabled": schedule.enabled,
    }
