"""FunctionService: the one door to the host's functions. Who may do what is decided here.

Submitting is left to `JobService`, checking values to the function's signature.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..access.functions import FunctionRights
from ..access.limits import LimitPolicy
from ..access.policy import AccessPolicy
from ..engine.base import JobQueue, cancelled_by
from ..errors import (
    ConfigurationError,
    ForbiddenError,
    InvalidFieldsError,
    JobsError,
    NotFoundError,
    ShuttingDownError,
)
from ..functions.registry import BoundFunction, Function, Functions
from ..functions.signature import Checked
from ..model.functions import FUNCTIONS_KEY_OWNER, FunctionOrigin, FunctionRunRequest, HostCode
from ..model.identity import Identity
from ..model.job import ExecutionMode, InterpreterName, Submission, SubmitRequest, new_job_id
from ..system.secret_box import Vault
from .jobs import JobService

_LONGEST_CALL = 2000
_WAIT_SECONDS = 10.0
"""After that long it is looked whether the job is still there, or its result was deleted."""


class FunctionService:
    """What a user can do with the host's functions. Every method takes the `Identity` of whoever asks.

    A function that somebody may not run does not exist for them.
    """

    def __init__(
        self,
        policy: AccessPolicy,
        limits: LimitPolicy,
        functions: Functions,
        rights: FunctionRights,
        jobs: JobService,
        queue: JobQueue,
        vault: Vault,
    ) -> None:
        """Raises `ConfigurationError` for a function that nobody could run, as the configuration is."""
        self._policy = policy
        self._limits = limits
        self._functions = functions
        self._rights = rights
        self._jobs = jobs
        self._queue = queue
        self._is_open = False
        self._vault = vault
        for function in functions:
            self._require_within(function)

    def list_functions(self, identity: Identity) -> list[dict[str, Any]]:
        """Those that the caller may run, in the order in which they were registered."""
        found = [(each, self._rights.modes(each, identity.roles)) for each in self._functions]
        return [_view(function, modes) for function, modes in found if modes]

    def has_any(self, identity: Identity) -> bool:
        """Whether there is one that the caller may run."""
        return any(self._rights.modes(each, identity.roles) for each in self._functions)

    def get(self, identity: Identity, name: str) -> dict[str, Any]:
        """A function, by its name or an old one, as it is shown. Raises `NotFoundError`."""
        return _view(*self._runnable(identity, name))

    def require_runner(self, identity: Identity, name: str) -> None:
        """Raise `NotFoundError` unless the caller may run this function."""
        self._runnable(identity, name)

    async def run(self, identity: Identity, name: str, request: FunctionRunRequest) -> Submission:
        """Submit a job of the function, as the caller's.

        Raises `NotFoundError`, `ForbiddenError`, and whatever `JobService.submit` raises.
        """
        function, modes = self._runnable(identity, name)
        mode = request.execution_mode or modes[0]
        _require_mode(function, mode)
        if mode not in modes:
            raise ForbiddenError(f"Your roles do not allow you to run {function.name} in {mode}.")
        self._policy.require_priority(identity.roles, request.priority)
        checked = await asyncio.to_thread(function.signature.validate, request.values)
        return await self._submit(identity, function, checked, _request(function, checked, request, mode))

    def has(self, function: Function[..., Any]) -> bool:
        """Whether it is one of these."""
        return self._functions.get(function.name) is function

    async def submit(
        self, code: HostCode, bound: BoundFunction[Any], request: FunctionRunRequest
    ) -> Submission:
        """Submit a job for the host's own code, which needs no role. `request` has no values of its own.

        Raises `ConfigurationError` while the plugin is not open, and whatever `JobService.submit` raises.
        """
        if not self._is_open:
            raise ConfigurationError(
                "Jobs can be submitted once the application has started, and until it shuts down: by "
                "handlers, for example, or in on_startup after aiohttp_jobs.setup."
            )
        function = bound.function
        mode = request.execution_mode or function.options.modes[0]
        _require_mode(function, mode)
        return await self._submit(
            code, function, bound.values, _request(function, bound.values, request, mode)
        )

    async def result_of(self, job_id: str) -> dict[str, Any]:
        """The result of a job that the host's code has submitted, once it has ended.

        Raises `NotFoundError` when it is deleted before, and `ShuttingDownError` when this process stops.
        """
        while True:
            is_over = await self._queue.get(job_id) is None
            record = await self._queue.end_of(job_id, 0.0 if is_over else _WAIT_SECONDS)
            if record is not None:
                return record
            if self._queue.is_closing:
                raise ShuttingDownError
            if is_over:
                raise NotFoundError(f"There is no job {job_id} any more.")

    async def cancel(self, job_id: str, user_id: str) -> None:
        """Have a job that the host's code has submitted for this user stopped; nothing if it has ended."""
        if await self._queue.get(job_id) is not None:
            await self._queue.cancel(job_id, cancelled_by(user_id))

    @contextmanager
    def opened(self) -> Iterator[None]:
        """The host's code may submit while the block runs."""
        self._is_open = True
        try:
            yield
        finally:
            self._is_open = False

    async def _submit(
        self, identity: Identity, function: Function[..., Any], values: Checked, request: SubmitRequest
    ) -> Submission:
        job_id = new_job_id()
        sealed = await asyncio.to_thread(self._vault.seal, job_id, values.secret) if values.secret else None
        # Runs of one function exclude each other, whoever runs it.
        owner = FUNCTIONS_KEY_OWNER if request.concurrency_key else None
        origin = FunctionOrigin(function.name, values.plain, sealed, owner)
        return await self._jobs.submit_approved(identity, request, origin, job_id)

    def _runnable(self, identity: Identity, name: str) -> tuple[Function[..., Any], list[ExecutionMode]]:
        function = self._functions.get(name)
        modes = [] if function is None else self._rights.modes(function, identity.roles)
        if function is None or not modes:
            raise NotFoundError(f"There is no function {name[:64]}.")
        return function, modes

    def _require_within(self, function: Function[..., Any]) -> None:
        options = function.options
        try:
            request = _request(function, Checked({}, {}), FunctionRunRequest(), options.modes[0])
            self._limits.require_within(request, request.job_name, request.notify, name_field="title")
        except (JobsError, ValueError) as error:
            raise ConfigurationError(f"The function {function.name} cannot run here: {error}") from None


def _require_mode(function: Function[..., Any], mode: ExecutionMode) -> None:
    if mode not in function.options.modes:
        known = ", ".join(function.options.modes)
        raise InvalidFieldsError.of_one("executionMode", f"must be one of this function's: {known}")


def _request(
    function: Function[..., Any], values: Checked, run: FunctionRunRequest, mode: ExecutionMode
) -> SubmitRequest:
    """The job to submit for `run`: what that does not say, the function does."""
    options, given = function.options, run.model_fields_set
    return SubmitRequest(
        job_name=run.job_name or options.title,
        command=_call(function, values),
        execution_mode=mode,
        description=run.description,
        interpreter=InterpreterName.PYTHON,
        timeout_seconds=run.timeout_seconds or options.timeout,
        priority=options.priority if run.priority is None else run.priority,
        concurrency_key=options.concurrency_key,
        run_at=run.run_at,
        delay_seconds=run.delay_seconds,
        retry=run.retry if "retry" in given else options.retry,
        notify=run.notify if "notify" in given else options.notify,
    )


def _call(function: Function[..., Any], values: Checked) -> str:
    """The call as text, for people: secret values are not in it, and it is never run."""
    shown = {name: repr(value) for name, value in values.plain.items()} | dict.fromkeys(values.secret, "…")
    names = [each.name for each in function.signature.parameters if each.name in shown]
    text = f"{function.name}({', '.join(f'{name}={shown[name]}' for name in names)})"
    return text if len(text) <= _LONGEST_CALL else f"{text[:_LONGEST_CALL]}…)"


def _view(function: Function[..., Any], modes: list[ExecutionMode]) -> dict[str, Any]:
    options, signature = function.options, function.signature
    return {
        "Name": function.name,
        "Title": options.title,
        "Description": function.description,
        "Modes": [mode.value for mode in modes],
        "Roles": sorted(options.roles),
        "TimeoutSeconds": options.timeout,
        "ConcurrencyKey": options.concurrency_key,
        "Priority": options.priority,
        "OldNames": list(options.old_names),
        "Parameters": [parameter.to_json() for parameter in signature.parameters],
        "Schema": signature.json_schema,
        "Schedule": None,
    }
