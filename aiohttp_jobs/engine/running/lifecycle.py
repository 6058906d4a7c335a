"""JobRunner: takes one job from claimed to result: checks it again, runs it with a time limit, builds the
result.
"""

from __future__ import annotations

import asyncio
import logging
import math
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from itertools import count
from typing import Any

from ...config import JobsConfig
from ...errors import JobsError, RightsUnavailableError
from ...model.job import (
    InterpreterName,
    JobResult,
    JobStatus,
    Submission,
    utc_now,
)
from ...system.secret_box import Vault
from ...system.storage_faults import HOLDING, fault_of
from ...system.storage_state import StorageState
from ...worker.base import (
    NO_PARAMETERS,
    Execution,
    Executor,
    FunctionCall,
    NotStartedError,
    Outcome,
    Parameters,
)
from ...worker.interpreters import Command, InterpreterMissingError, read_command
from ...worker.modes import ExecutionModes
from ...worker.output.log import Output, OutputLog
from ...worker.output.masking import Masker
from ...worker.return_values import NOTHING, KeptValue, kept_value
from ...worker.workspace import job_environment
from ..base import ClaimedJob, JobObserver, Recheck, StopReason
from .active import ActiveJob

_CHECK_SECONDS = 30.0
_CHECK_PAUSE_SECONDS = 0.5
_ROOM_SECONDS = 30.0
_ROOM_PAUSE_SECONDS = 0.5
_MOST_ATTEMPTS = 5
_TOO_LONG = "The job was stopped: it ran longer than its limit of {:g} s."
_OUTPUT_SECONDS = 60.0
_OUTPUT_PAUSE_SECONDS = 2.0
_KEPT_NOTHING = KeptValue()
_logger = logging.getLogger(__name__)


class TimeLimits:
    """Stops jobs that run for too long. One timer is set for all that run, at the first moment that is due.

    It is left alone as jobs end, and set anew when it has come: each job ends before its limit, as a rule.
    """

    def __init__(self) -> None:
        self._running: dict[ActiveJob[Any], tuple[float, float]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._next = math.inf
        """When the timer comes, by the loop's clock."""

    def begin(self, active: ActiveJob[Any], seconds: float) -> None:
        """Stop it after that long, unless `end` is called before."""
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        self._running[active] = due, seconds
        if due < self._next:
            self._set_timer(loop, due)

    def end(self, active: ActiveJob[Any]) -> None:
        """It does not run any more."""
        del self._running[active]
        if not self._running and self._timer is not None:
            self._timer.cancel()
            self._timer, self._next = None, math.inf

    def _set_timer(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._next = loop.call_at(due, self._on_timer), due

    def _on_timer(self) -> None:
        self._timer, self._next = None, math.inf
        loop = asyncio.get_running_loop()
        now = loop.time()
        late = [(active, seconds) for active, (due, seconds) in self._running.items() if due <= now]
        for active, seconds in late:
            active.stop(StopReason(JobStatus.TIMED_OUT, _TOO_LONG.format(seconds)))
        following = [due for due, _ in self._running.values() if due > now]
        if following:
            self._set_timer(loop, min(following))


class JobRunner:
    """Runs claimed jobs in their `modes`.

    `recheck` is called before each job, `observer` throughout. `vault` decrypts the secret values of
    templates and functions. While `storage` refuses writes, jobs wait.
    """

    def __init__(
        self,
        config: JobsConfig,
        modes: ExecutionModes,
        recheck: Recheck,
        vault: Vault,
        storage: StorageState,
        observer: JobObserver | None = None,
    ) -> None:
        self._config = config
        self._observer = observer
        self._modes = modes
        self._recheck = recheck
        self._vault = vault
        self._storage = storage
        self._time_limits = TimeLimits()
        self._preparing: dict[str, asyncio.Handle] = {}

    def prepare(self, submission: Submission) -> Callable[[str], None] | None:
        """Have a job that is about to be claimed prepared, once the event loop has time: nothing of it runs.

        `run` or `withdraw` must follow. Returns what to tell of the job's own folder as soon as that is made,
        or ``None`` when nobody wants to know.
        """
        if not self._modes.can_prepare(submission):
            return None
        soon = asyncio.get_running_loop().call_soon(self._modes.prepare, submission)
        self._preparing[submission.job_id] = soon
        return partial(self._modes.place, submission.job_id)

    def withdraw(self, job_id: str) -> None:
        """Take back what `prepare` did for a job that was not claimed, or does not run."""
        soon = self._preparing.pop(job_id, None)
        if soon is not None:
            soon.cancel()
            self._modes.withdraw(job_id)

    async def run(self, claimed: ClaimedJob, active: ActiveJob[Any]) -> JobResult:
        """Run the job, or refuse it; return its result. Of an error of its own it is a rejection."""
        try:
            return await self._run(claimed, active)
        except Exception:
            _logger.exception("Job %s failed inside the server", claimed.job_id)
            return self.rejected(claimed, "The server met an error of its own with this job; see its log.")
        finally:
            if self._preparing:
                self.withdraw(claimed.job_id)

    async def _run(self, claimed: ClaimedJob, active: ActiveJob[Any]) -> JobResult:
        if active.reason is not None:
            return self.stopped(claimed, active.reason)
        problem = claimed.problem or await self._refusal(claimed, active)
        if active.reason is not None:  # stopped while it was checked
            return self.stopped(claimed, active.reason)
        if problem is not None:
            return self.rejected(claimed, problem)
        submission = self._with_interpreter(claimed.submission)
        try:
            command = self._read(submission)
        except InterpreterMissingError as error:
            return self.rejected(claimed, str(error))
        parameters = self._parameters(submission)
        # In how many forms secrets may be printed takes up to a quarter of a second to find out.
        masker = await asyncio.to_thread(Masker, parameters.secrets) if parameters.secrets else None
        if active.reason is not None:  # stopped meanwhile
            return self.stopped(claimed, active.reason)
        log = self._log(claimed.run_dir, is_new=True)
        log.masker = masker
        for attempt in count():
            started, clock = utc_now(), time.monotonic()
            call = self._call(submission, parameters, started)
            execution = self._execution(submission, command, parameters, claimed.job_dir, log, active, call)
            ended = await self._run_limited(execution, submission, active, started)
            if not isinstance(ended, NotStartedError) or not await self._may_start_later(
                ended, active, attempt
            ):
                break
        # Asked for here, as most functions return nothing and no command does.
        is_kept = isinstance(ended, Outcome) and ended.returned is not NOTHING
        kept = await _kept(ended, masker) if is_kept else _KEPT_NOTHING
        log.end()
        status, exit_code = _verdict(ended, active, submission, log)
        if kept.fault is not None:
            log.add_line(kept.fault)
        output = await self._output_of(log) if log.size and log.output_blocks else log.output()
        log.close()
        runtime = time.monotonic() - clock
        result = _result(submission, status, output, started, runtime, exit_code, active.reason, log.size)
        return result if kept.value is None else result.model_copy(update={"return_value": kept.value})

    async def _may_start_later(self, refused: NotStartedError, active: ActiveJob[Any], attempt: int) -> bool:
        """Wait until a job that the disk did not let start may be tried again; false when it may not.

        For room it waits as long as it takes, or until it is stopped; for a disk that fails, some seconds.
        """
        self._storage.explains(refused.cause)
        fault = fault_of(refused.cause)
        if fault is None or (fault.kind not in HOLDING and attempt >= _MOST_ATTEMPTS):
            return False
        while active.reason is None and self._storage.holds_jobs:
            futures = [active.next_change(), self._storage.next_end()]
            await asyncio.wait(futures, timeout=_ROOM_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if active.reason is None:
            await asyncio.sleep(_ROOM_PAUSE_SECONDS)
        return active.reason is None

    async def _output_of(self, log: OutputLog) -> Output:
        """The output for the result, waiting while there is no room. Of a disk that fails, what there is."""
        until = time.monotonic() + _OUTPUT_SECONDS
        while True:
            try:
                return await asyncio.to_thread(log.output)
            except OSError as error:
                self._refused(error)
                if not self._storage.holds_jobs and time.monotonic() >= until:
                    reason = error.strerror or str(error)
                    return await asyncio.to_thread(log.output_without_disk, reason)
            await self._storage.wait_for_end(_OUTPUT_PAUSE_SECONDS)

    def _refused(self, error: OSError) -> None:
        self._storage.report(error, _logger, "A job's output cannot be written; trying again")

    async def _run_limited(
        self, execution: Execution, submission: Submission, active: ActiveJob[Any], started: datetime
    ) -> Outcome | BaseException:
        """How it ended, in this very task; only stopping the job cancels it, and only in here."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("jobs run in tasks")
        limit = self._limit(submission)
        active.started(submission, task, execution.log, started)
        if self._observer is not None and (more := self._observer.started(submission)):
            execution = execution._replace(environment={**execution.environment, **more})
        self._time_limits.begin(active, limit)
        ended: Outcome | BaseException
        try:
            executor = self._executor_of(execution, submission)
            ended = executor if isinstance(executor, Outcome) else await executor.run(execution)
        except (Exception, asyncio.CancelledError) as error:
            ended = error
        finally:
            self._time_limits.end(active)
            active.left()
        if task.cancelling():
            raise asyncio.CancelledError  # not the job is to end, but this task
        return ended

    def stopped(self, claimed: ClaimedJob, reason: StopReason) -> JobResult:
        """The result of a job that was stopped before it started."""
        output = Output(f"[ERROR] {reason.message}\n", False)
        return _result(claimed.submission, reason.status, output, utc_now(), 0.0, None, reason)

    def rejected(self, claimed: ClaimedJob, problem: str) -> JobResult:
        output = Output(f"[ERROR] {problem}\n", False)
        return _result(claimed.submission, JobStatus.REJECTED, output, utc_now(), 0.0, None)

    async def lost(self, claimed: ClaimedJob, started_at: datetime, last_seen: datetime) -> JobResult:
        """The result of a job whose host died, with its output until then.

        `last_seen` is the time of the host's last sign of life.
        """
        if claimed.problem is not None:
            return self.rejected(claimed, claimed.problem)
        log = await asyncio.to_thread(self._log, claimed.run_dir)
        log.add_error("The server stopped while the job was running. It was not started again.")
        output = await asyncio.to_thread(log.output)
        runtime = (last_seen - started_at).total_seconds()
        submission = self._with_interpreter(claimed.submission)
        return _result(submission, JobStatus.INTERRUPTED, output, started_at, runtime, None, None, log.size)

    def _log(self, run_dir: str, *, is_new: bool = False) -> OutputLog:
        keep, limit = self._config.max_output_bytes, self._config.max_log_bytes
        log = OutputLog(f"{run_dir}/log", keep, limit, is_new=is_new)
        log.on_refused = self._refused
        return log

    async def _refusal(self, claimed: ClaimedJob, active: ActiveJob[Any]) -> str | None:
        """Why the job may not run; what cannot be told at once is asked again for half a minute."""
        until = time.monotonic() + _CHECK_SECONDS
        while True:
            try:
                await self._recheck(claimed)
            except RightsUnavailableError:
                if active.reason is not None or time.monotonic() >= until:
                    return "Whether this job may run could not be found out, so it was not run. Run it again."
                await asyncio.sleep(_CHECK_PAUSE_SECONDS)
            except JobsError as error:
                return error.message
            except Exception:
                _logger.exception("Cannot check whether job %s may run", claimed.job_id)
                return "Whether this job may run could not be checked; see the server's log."
            else:
                return None

    def _with_interpreter(self, submission: Submission) -> Submission:
        """A file that another program dropped need not name one."""
        if submission.interpreter is not None:
            return submission
        return submission.model_copy(update={"interpreter": self._config.default_interpreter})

    def _parameters(self, submission: Submission) -> Parameters:
        is_plain = submission.template_id is None and submission.function is None
        # Of others an empty text in place of their secrets is a fault: they were there, and are gone.
        has_none = not submission.sealed_values if is_plain else submission.sealed_values is None
        if has_none and not (submission.template_values or submission.function_values):
            return NO_PARAMETERS
        secrets = self._vault.unseal(submission.job_id, submission.sealed_values)
        plain = submission.template_values if submission.function is None else submission.function_values
        return Parameters({**(plain or {}), **secrets}, tuple(secrets.values()))

    def _limit(self, submission: Submission) -> float:
        return submission.timeout_seconds or self._config.default_timeout

    def _read(self, submission: Submission) -> Command:
        if submission.function is not None:
            return Command(submission.command)  # which shows the call, and is not run
        interpreter = submission.interpreter or self._config.default_interpreter
        allowed, path = self._config.shebang_interpreters, self._modes.environment.get("PATH", "")
        return read_command(submission.command, interpreter, allowed, path)

    def _execution(
        self,
        submission: Submission,
        command: Command,
        parameters: Parameters,
        job_dir: str,
        log: OutputLog,
        active: ActiveJob[Any],
        call: FunctionCall | None,
    ) -> Execution:
        return Execution(
            job_id=submission.job_id,
            user_id=submission.user_id,
            command=command.text,
            prefix=command.prefix,
            interpreter=submission.interpreter or self._config.default_interpreter,
            job_dir=job_dir,
            environment=job_environment(self._modes.environment, submission),
            log=log,
            on_start=active.set_worker,
            parameters=parameters,
            submission=submission,
            function=call,
        )

    def _call(self, submission: Submission, parameters: Parameters, started: datetime) -> FunctionCall | None:
        """``None`` for a command, and for a function that is not there any more."""
        function = None if submission.function is None else self._modes.functions.get(submission.function)
        if function is None:
            return None
        limit = self._limit(submission)
        return FunctionCall(function, parameters.values, submission.attempt, started, limit)

    def _executor_of(self, execution: Execution, submission: Submission) -> Executor | Outcome:
        """What runs it, or how a function ends that nothing here runs."""
        mode = submission.execution_mode
        if submission.function is None:
            return self._modes.executors[mode]
        if execution.function is None:
            return Outcome(1, f"This server has no function {submission.function}.")
        if mode not in self._modes.function_executors:
            return Outcome(1, f"This server runs no functions in {mode}.")
        return self._modes.function_executors[mode]


async def _kept(ended: Outcome | BaseException, masker: Masker | None) -> KeptValue:
    """What the result has of what a function returned; of one that did not succeed nothing."""
    if not isinstance(ended, Outcome) or ended.exit_code != 0:
        return _KEPT_NOTHING
    if masker is None:
        return kept_value(ended.returned, None)
    return await asyncio.to_thread(kept_value, ended.returned, masker)


def _verdict(
    ended: Outcome | BaseException, active: ActiveJob[Any], submission: Submission, log: OutputLog
) -> tuple[JobStatus, int | None]:
    """How the job ended; says in its output what the output alone would not show."""
    if isinstance(ended, asyncio.CancelledError):
        reason = active.reason or StopReason(JobStatus.FAILED, "The job cancelled itself.")
        log.add_error(reason.message)
        return reason.status, None
    if isinstance(ended, NotStartedError):
        never = active.reason or StopReason(JobStatus.FAILED, f"The job could not be run: {ended}.")
        log.add_error(never.message)
        return never.status, None
    if isinstance(ended, BaseException):
        _logger.error("Job %s could not be run", submission.job_id, exc_info=ended)
        log.add_error(f"The job could not be run: {ended}")
        return JobStatus.FAILED, None
    outcome = ended
    if outcome.exit_code == 0:
        return JobStatus.SUCCEEDED, 0
    if outcome.timed_out:
        return JobStatus.TIMED_OUT, outcome.exit_code
    described = submission.interpreter is InterpreterName.PYTHON and outcome.exit_code == 1
    if outcome.error or not described:
        what = "command" if submission.function is None else "function"
        log.add_error(outcome.error or _how_it_ended(what, outcome.exit_code))
    return JobStatus.FAILED, outcome.exit_code


def _how_it_ended(what: str, exit_code: int) -> str:
    if exit_code >= 0:
        return f"The {what} exited with code {exit_code}."
    name = f"signal {-exit_code}"
    with suppress(ValueError):
        name = signal.Signals(-exit_code).name
    return f"The {what} was ended by {name}."


def _result(
    submission: Submission,
    status: JobStatus,
    output: Output,
    started: datetime,
    runtime: float,
    exit_code: int | None,
    reason: StopReason | None = None,
    size: int = 0,
) -> JobResult:
    return JobResult.model_construct(
        job_id=submission.job_id,
        user_id=submission.user_id,
        session_id=submission.session_id,
        job_name=submission.job_name,
        command=submission.command,
        description=submission.description,
        execution_mode=submission.execution_mode,
        interpreter=submission.interpreter,
        date_started=started,
        date_completed=utc_now(),
        runtime=round(runtime, 6),
        output=output.text,
        success=status is JobStatus.SUCCEEDED,
        status=status,
        exit_code=exit_code,
        output_truncated=output.truncated,
        output_size=size or len(output.text.encode("utf-8", "replace")),
        cancelled_by=reason.by if reason and status is JobStatus.CANCELLED else None,
        submitted_at=submission.submitted_at,
        traceparent=submission.traceparent,
        tracestate=submission.tracestate,
        priority=submission.priority,
        attempt=submission.attempt,
        notify=submission.notify,
        template_id=submission.template_id,
        template_values=dict(submission.template_values) if submission.template_values else None,
        schedule_id=submission.schedule_id,
        trigger_id=submission.trigger_id,
        function=submission.function,
        function_values=submission.function_values,
    )
