"""Builds and submits jobs of the host's functions, for callers who were found to have the right.

That right is checked in ``functions`` and ``code_jobs``; `JobService` accepts the job.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any

from ..access.limits import LimitPolicy
from ..errors import ConfigurationError, InvalidFieldsError, JobsError
from ..functions.registry import Function, Functions
from ..model.functions import FUNCTIONS_KEY_OWNER, Checked, FunctionOrigin, FunctionRunRequest
from ..model.identity import Identity
from ..model.job import ExecutionMode, InterpreterName, Submission, SubmitRequest, new_job_id
from ..model.schedule import Schedule
from ..system.secret_box import Vault
from .jobs import JobService

_LONGEST_CALL = 2000


class FunctionJobs:
    """Submits jobs of `functions`. What a run leaves out is taken from the function's options."""

    def __init__(self, functions: Functions, limits: LimitPolicy, jobs: JobService, vault: Vault) -> None:
        """Raises `ConfigurationError` for a function that nobody could run with this configuration."""
        self._limits = limits
        self._jobs = jobs
        self._vault = vault
        self._as_registered: dict[tuple[str, ExecutionMode], SubmitRequest] = {}
        for function in functions:
            self._require_usable(function)

    def submit(
        self,
        identity: Identity,
        function: Function[..., Any],
        values: Checked,
        run: FunctionRunRequest,
        mode: ExecutionMode,
        *,
        job_id: str | None = None,
        schedule: Schedule | None = None,
    ) -> Coroutine[Any, Any, Submission]:
        """Submit a job of `function` with `values`, instead of those of `run`.

        `schedule` is the schedule that submits it, if any. Raises `InvalidFieldsError` for a mode that the
        function does not have, and whatever `JobService.submit` raises.
        """
        require_mode(function, mode)
        job_id = job_id or new_job_id()
        request = self._asked(function, values, run, mode, None if schedule is None else schedule.own_key)
        origin = FunctionOrigin(
            function=function.name,
            function_version=function.version,
            function_values=values.plain,
            sealed_values=None,
            # Runs of one function exclude each other, whoever runs it.
            concurrency_owner=FUNCTIONS_KEY_OWNER if function.options.concurrency_key else None,
            schedule_id=None if schedule is None else schedule.schedule_id,
        )
        if values.secret:
            return self._submit_sealed(identity, request, origin, job_id, values.secret)
        return self._jobs.submit_approved(identity, request, origin, job_id)

    async def _submit_sealed(
        self,
        identity: Identity,
        request: SubmitRequest,
        origin: FunctionOrigin,
        job_id: str,
        secret: Mapping[str, Any],
    ) -> Submission:
        origin["sealed_values"] = await asyncio.to_thread(self._vault.seal, job_id, secret)
        return await self._jobs.submit_approved(identity, request, origin, job_id)

    def require_within(
        self,
        function: Function[..., Any],
        values: Checked,
        run: FunctionRunRequest,
        mode: ExecutionMode,
        name_field: str = "jobName",
    ) -> None:
        """Raise what `submit` would raise about limits."""
        request = _request(function, values, run, mode)
        self._limits.require_within(request, request.job_name, request.notify, name_field=name_field)

    def _asked(
        self,
        function: Function[..., Any],
        values: Checked,
        run: FunctionRunRequest,
        mode: ExecutionMode,
        otherwise_key: str | None,
    ) -> SubmitRequest:
        """What is submitted. Of runs that ask for nothing of their own it is checked once, not each time."""
        if otherwise_key is not None or not run.model_fields_set <= {"values"}:
            return _request(function, values, run, mode, otherwise_key)
        key = function.name, mode
        known = self._as_registered.get(key)
        if known is None:
            known = self._as_registered[key] = _request(function, values, run, mode)
        return known.with_command(_call(function, values))

    def _require_usable(self, function: Function[..., Any]) -> None:
        try:
            mode = function.options.modes[0]
            self.require_within(function, Checked({}, {}), FunctionRunRequest(), mode, "title")
        except (JobsError, ValueError) as error:
            raise ConfigurationError(f"The function {function.name} cannot run here: {error}") from None


def require_mode(function: Function[..., Any], mode: ExecutionMode) -> None:
    """Raise `InvalidFieldsError` for a mode that `function` does not have."""
    if mode not in function.options.modes:
        known = ", ".join(function.options.modes)
        raise InvalidFieldsError.of_one("executionMode", f"must be one of this function's: {known}")


def _request(
    function: Function[..., Any],
    values: Checked,
    run: FunctionRunRequest,
    mode: ExecutionMode,
    otherwise_key: str | None = None,
) -> SubmitRequest:
    options, given = function.options, run.model_fields_set
    labels = () if mode is ExecutionMode.MAIN_LOOP else options.labels
    return SubmitRequest(
        job_name=run.job_name or options.title,
        command=_call(function, values),
        execution_mode=mode,
        description=run.description,
        interpreter=InterpreterName.PYTHON,
        timeout_seconds=run.timeout_seconds or options.timeout,
        priority=options.priority if run.priority is None else run.priority,
        concurrency_key=options.concurrency_key or otherwise_key,
        labels=run.labels if "labels" in given else labels,
        run_at=run.run_at,
        delay_seconds=run.delay_seconds,
        retry=run.retry if "retry" in given else options.retry,
        notify=run.notify if "notify" in given else options.notify,
    )


def _call(function: Function[..., Any], values: Checked) -> str:
    """The call as text, for people: secret values are not in it, and it is never run."""
    if not values.plain and not values.secret:
        return f"{function.name}()"
    shown = {name: repr(value) for name, value in values.plain.items()} | dict.fromkeys(values.secret, "…")
    names = [each.name for each in function.signature.parameters if each.name in shown]
    text = f"{function.name}({', '.join(f'{name}={shown[name]}' for name in names)})"
    return text if len(text) <= _LONGEST_CALL else f"{text[:_LONGEST_CALL]}…)"
