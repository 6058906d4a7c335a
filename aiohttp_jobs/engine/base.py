"""The interface between the plugin and its storage engines, as protocols and the types they exchange.

Read this first. An `Engine` is one process's connection to the storage. It consists of `JobQueue` (jobs that
have not ended), `JobHistory` (results and submissions of single jobs), `ResultRepository` (lists and searches
of results), `OutputStore` (what jobs print), `Records` (schedules, templates, triggers, notices),
`ApiKeyRecords` and `SessionRecords`. `EventBus` publishes changes. Work that only one process may do is
claimed in the storage: a moment of a schedule through `FiredMoments`, the sending of notices through
`NoticeRecords.lead`. Implementations are in ``embedded`` and ``postgres``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, NamedTuple, ParamSpec, Protocol, TypeVar, Unpack

from ..errors import TooManyPendingError
from ..model.api_key import ApiKey, ApiKeyFields
from ..model.job import (
    DEFAULT_PRIORITY,
    ExecutionMode,
    InterpreterName,
    JobPhase,
    JobResult,
    JobStatus,
    Submission,
)
from ..model.notice import Notice
from ..model.output import CHUNK, OutputPart, Span
from ..model.progress import Progress
from ..model.results import ResultFilter, ResultPage, RetentionRules, Sort, StatsFilter
from ..model.schedule import Schedule
from ..model.session import OpenSession, SessionRecord
from ..model.template import Template
from ..model.template_trigger import TemplateTrigger


@dataclass(slots=True, kw_only=True)
class JobSummary:
    """What the queue needs to order and limit a job; nobody changes one.

    It is not frozen, which would take twice as long to make: there is one for each job.

    `mode` is ``None`` when the submission is not valid: such a job never runs, it only gets a result.
    """

    job_id: str
    user_id: str
    job_name: str
    mode: ExecutionMode | None
    submitted_at: datetime
    priority: int = DEFAULT_PRIORITY
    run_at: datetime | None = None
    concurrency_key: str | None = None
    attempt: int = 1

    @staticmethod
    def of(submission: Submission) -> JobSummary:
        """The summary of a valid submission."""
        return JobSummary(
            job_id=submission.job_id,
            user_id=submission.user_id,
            job_name=submission.job_name,
            mode=submission.execution_mode,
            submitted_at=submission.submitted_at,
            priority=submission.priority,
            run_at=submission.run_at,
            concurrency_key=submission.concurrency_key,
            attempt=submission.attempt,
        )


class JobState(NamedTuple):
    """The state of `job`, which has not ended, in whichever process.

    A tuple, as one is made for each job of a list and at each look of each watcher, which takes a frozen
    dataclass of so many fields eight times as long.

    `position` is its place in the queue, counted from 1; ``None`` unless it is queued. `runtime` is in
    seconds, `worker` a process id, `output_size` in bytes. `submission` may be ``None`` in lists.
    `waiting_for` is a sentence that says what is missing when no live worker can run the job.
    """

    job: JobSummary
    phase: JobPhase
    position: int | None = None
    is_cancelling: bool = False
    started_at: datetime | None = None
    runtime: float | None = None
    worker: int | None = None
    output_size: int = 0
    progress: Progress | None = None
    waiting_for: str | None = None
    submission: Submission | None = None


@dataclass(frozen=True, slots=True)
class FoundJob:
    """A job that was looked up: its `state` while it has not ended, afterwards its stored result,
    `record`.
    """

    state: JobState | None = None
    record: dict[str, Any] | None = None

    @property
    def known(self) -> JobState:
        """The job's state. Raises ``LookupError`` when it has ended."""
        if self.state is None:
            raise LookupError("the job has ended")
        return self.state

    @property
    def owner(self) -> str:
        return str(self.record.get("UserID", "")) if self.record is not None else self.known.job.user_id

    @property
    def attempt(self) -> int:
        """The number of the current or, once the job has ended, the last attempt; the first is 1."""
        if self.record is None:
            return self.known.job.attempt
        attempt = self.record.get("Attempt")  # in a file that anybody may have written
        return attempt if isinstance(attempt, int) else 1


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Which jobs to find: those in one of `phases` whose owner is `user_id` (``None``: any user) and whose id
    starts with `id_prefix`; `limit` of them at most.
    """

    phases: frozenset[JobPhase]
    limit: int
    user_id: str | None = None
    id_prefix: str = ""

    def finds(self, state: JobState) -> bool:
        """Whether `state` matches the query."""
        is_theirs = self.user_id is None or state.job.user_id == self.user_id
        return state.phase in self.phases and is_theirs and state.job.job_id.startswith(self.id_prefix)


class Capability(StrEnum):
    """An optional feature that an engine may have."""

    DROPPED_FILES = "droppedFiles"
    """Other programs can submit jobs as files in the data folder."""
    LABELS = "labels"
    """Jobs can require labels of workers."""
    MANY_MACHINES = "manyMachines"
    """Hosts and workers on several machines share the work."""


MAIN_LOOP_FUNCTIONS: Literal["MainLoopFunctions"] = "MainLoopFunctions"
Slot = ExecutionMode | Literal["MainLoopFunctions"] | None
"""What jobs are counted by: their mode, with the host's own functions in MainLoop counted apart from
commands, of which only one runs at a time. ``None``: an invalid submission, which only gets a result."""


def slot_of(mode: ExecutionMode | None, function: str | None) -> Slot:
    """The slot that counts a job in `mode` which runs the host's function `function`, or a command if that is
    ``None``.
    """
    is_apart = mode is ExecutionMode.MAIN_LOOP and function is not None
    return MAIN_LOOP_FUNCTIONS if is_apart else mode


@dataclass(frozen=True, slots=True)
class Limits:
    """How many jobs one process runs at once: by slot, by user, and in all. ``None`` means no limit."""

    modes: Mapping[ExecutionMode | Literal["MainLoopFunctions"], int]
    per_user: int | None = None
    overall: int | None = None


@dataclass(frozen=True, slots=True)
class QueueSummary:
    """The numbers of waiting and running jobs over all processes.

    `pending` jobs are not due yet. `limits` are those of this process.
    """

    is_paused: bool
    queued: int
    pending: int
    running: int
    limits: Limits


@dataclass(frozen=True, slots=True)
class MostWaiting:
    """How many jobs of one user may wait, over all processes, and how many bytes their commands may have
    together.
    """

    jobs: int
    size: int

    def require_turn(self, waiting: int, waiting_size: int, size: int) -> None:
        """Raise `TooManyPendingError` if a further job of `size` bytes may not wait, given those that do.

        `waiting` is the number of the user's waiting jobs, `waiting_size` the bytes of their commands.
        """
        if waiting >= self.jobs:
            raise TooManyPendingError(
                "max_pending_per_user",
                most=self.jobs,
                used=waiting,
                what="jobs waiting to run",
                advice="Try again when some have started.",
            )
        if waiting and waiting_size + size > self.size:
            raise TooManyPendingError(
                "max_pending_bytes_per_user",
                most=self.size,
                used=waiting_size,
                what="bytes of commands waiting to run",
                advice="Try again when some have started.",
            )


@dataclass(frozen=True, slots=True)
class StopReason:
    """Why a job is stopped: its result gets `status`, and `message` is appended to its output.

    `by` is the user who asked for it, if one did.
    """

    status: JobStatus
    message: str
    by: str = ""


SHUT_DOWN = StopReason(JobStatus.INTERRUPTED, "The job was stopped because the server shut down.")


def cancelled_by(user_id: str) -> StopReason:
    """The reason to stop a job that `user_id` has cancelled."""
    return StopReason(JobStatus.CANCELLED, f"The job was cancelled by {user_id}.", by=user_id)


@dataclass(frozen=True, slots=True)
class JobChange:
    """One change of a job: it has a new `state`, or it has ended with the result `record`.

    With neither, its result was deleted.
    """

    user_id: str
    job_id: str
    state: JobState | None = None
    record: dict[str, Any] | None = None


MISSED = JobChange("", "")
"""Published instead of changes that were lost or are too many: watchers must reload their lists."""


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A warm process for Runspace jobs.

    `user_id` is ``None`` until it has served a user, `job_id` while it is idle. `memory` is in bytes,
    ``None`` where the system does not report it.
    """

    pid: int
    user_id: str | None
    job_id: str | None
    jobs_served: int
    memory: int | None
    started_at: datetime


@dataclass(frozen=True, slots=True)
class RunningThere:
    """A job in the list of what a host or worker runs."""

    job_id: str
    user_id: str
    job_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerProcess:
    """A host or a worker that shares the work; `kind` is ``host`` or ``worker``.

    `places` is how many jobs it runs at once, by slot. `heard_at` is the time of its last heartbeat;
    `is_alive` becomes false when that is too long ago.
    """

    worker_id: str
    kind: str
    name: str
    machine: str
    pid: int | None
    version: str
    labels: tuple[str, ...]
    places: Mapping[str, int]
    is_draining: bool
    started_at: datetime
    heard_at: datetime
    is_alive: bool
    running: tuple[RunningThere, ...]


class Workforce(Protocol):
    """The hosts and workers that share the work, on all machines.

    Raises ``OSError`` when the storage fails.
    """

    async def all(self) -> list[WorkerProcess]:
        """The live processes, and those that died a short time ago."""
        ...

    async def kind_of(self, worker_id: str) -> str | None:
        """``host`` or ``worker``; ``None`` when no live process has this id."""
        ...

    async def drain(self, worker_id: str) -> None:
        """Ask a worker to take no more jobs, and to exit when its running jobs have ended."""
        ...


class EventBus(Protocol):
    """Publishes the changes of jobs in all processes."""

    def watch(self, listener: Callable[[JobChange], None]) -> AbstractAsyncContextManager[None]:
        """Call `listener` for each change of any job while the block runs.

        Changes in this process are published at once, those in others within some seconds. `MISSED` is
        published when changes may have been lost.
        """
        ...


class JobQueue(EventBus, Protocol):
    """The jobs that have not ended, of all processes that share one storage.

    To be called on the event loop. Every method may raise ``OSError`` when the storage fails.
    """

    @property
    def is_closing(self) -> bool:
        """Whether this process has stopped starting jobs, because it is about to close."""
        ...

    async def submit(self, submission: Submission, *, is_new: bool, most_waiting: MostWaiting) -> None:
        """Accept a job: once this returns, the job is durable and will run.

        `is_new` promises that its id was just generated, which saves looking it up. Raises
        `TooManyPendingError` when its user's waiting jobs have reached `most_waiting`.
        """
        ...

    async def get(self, job_id: str) -> JobState | None:
        """The state of a job, with its submission if that can be read; ``None`` when it has ended or never
        existed.
        """
        ...

    async def look_up(self, job_id: str) -> FoundJob | None:
        """A job in any state, ended ones included; ``None`` when there is none with this id."""
        ...

    async def end_of(self, job_id: str, seconds: float) -> dict[str, Any] | None:
        """Wait up to `seconds` for a job to end, in whichever process; its stored result, or ``None``.

        Returns ``None`` at once when this process is closing.
        """
        ...

    async def find(self, query: JobQuery) -> list[JobState]:
        """The jobs that match: running ones, then queued ones in the order in which they would start, then
        pending ones.
        """
        ...

    async def summary(self) -> QueueSummary:
        """How many jobs wait and run."""
        ...

    async def overview(self, query: JobQuery) -> tuple[list[JobState], QueueSummary]:
        """What `find` and `summary` say, as of one look at what other processes do."""
        ...

    async def cancel(self, job_id: str, reason: StopReason) -> None:
        """Stop a running job, or discard a waiting one, for `reason`. Does nothing when the job has ended."""
        ...

    async def set_paused(self, paused: bool) -> None:
        """Pause or resume starting jobs, durably and in every process. Running jobs go on."""
        ...

    def look_soon(self) -> None:
        """Look for jobs that other programs have dropped into the storage now, instead of at the next
        poll.
        """
        ...

    async def workers(self) -> list[WorkerState]:
        """The warm Runspace processes of this process."""
        ...


class JobOutput(Protocol):
    """The output of one attempt. `size` is in bytes; once it is `complete`, nothing more is added."""

    @property
    def attempt(self) -> int: ...

    @property
    def size(self) -> int: ...

    @property
    def complete(self) -> bool: ...

    @property
    def left_out_because(self) -> str:
        """Why bytes are missing in `spans` or were skipped by `read`, where there is more to say than that
        they are not stored; to be asked afterwards.
        """
        ...

    async def read(self, offset: int, most: int = CHUNK, *, whole: bool = True) -> OutputPart:
        """At most `most` bytes from `offset` on.

        With `whole`, they end with a whole UTF-8 character, and `most` must be at least 4. Returns an empty
        part at the end of the output, and when the output was moved or deleted meanwhile.
        """
        ...

    async def spans(self) -> list[Span]:
        """The byte ranges that are stored.

        While the job runs, the most recent output may be missing from them.
        """
        ...


class OutputStore(Protocol):
    """The output of running jobs, in whichever process, and of ended ones."""

    async def live(self, state: JobState) -> JobOutput:
        """The output of a job that has not ended; empty until it starts."""
        ...

    def kept(self, record: dict[str, Any]) -> JobOutput:
        """The output of an ended attempt, by its stored result."""
        ...

    def next_change(self, job_id: str) -> asyncio.Future[None]:
        """A future that is done when the job may have printed more or changed its state; it may also be done
        for nothing.

        To miss nothing, get it before you read. It is the caller's own, who may cancel it or set its result.
        """
        ...


class ClaimedJob(NamedTuple):
    """A job that this process owns exclusively until it is finished.

    If `problem` is set, the job must not run, only get a result. `run_dir` is the host's private folder for
    it; `job_dir`, elsewhere, is the job's own and contains the folder ``worker.base.WORK`` (empty for a job
    recovered from a dead process, which does not run again). Both are removed when the job is finished.
    `lock` is the `PendingJob.lock` held for it. `accepted_here`: the submission is byte for byte the one that
    this process accepted. `is_signed`: this installation accepted it, and it was not changed since.
    """

    job_id: str
    submission: Submission
    run_dir: str
    job_dir: str = ""
    problem: str | None = None
    lock: str | None = None
    accepted_here: bool = False
    is_signed: bool = False


class JobHistory(Protocol):
    """What single jobs have left: submissions, results, and the results of earlier attempts.

    Every method may raise ``OSError`` when the storage fails.
    """

    async def attempts(self, submission: Submission) -> list[dict[str, Any]]:
        """The stored results of the attempts before the one of `submission`, first to last."""
        ...

    async def attempts_of(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        """The stored results of the attempts before the last one of an ended job, first to last."""
        ...

    async def submission_of(self, record: dict[str, Any]) -> Submission | None:
        """The submission of an ended job, by its stored result; ``None`` when it is gone or not valid."""
        ...

    async def was_used(self, job_id: str) -> bool:
        """Whether a job with this id has ended, even if its result was deleted since."""
        ...

    async def list_results(
        self, user_id: str | None, limit: int, id_prefix: str = ""
    ) -> list[dict[str, Any]]:
        """Up to `limit` results without their outputs, most recently completed first.

        `user_id` ``None`` means those of all users. With `id_prefix`, only jobs whose ids start with it.
        """
        ...

    async def previous_status(self, user_id: str, job_name: str, before: datetime) -> JobStatus | None:
        """The status of the user's last job called `job_name` that ended before `before`; cancelled jobs are
        skipped.
        """
        ...

    async def get_result(self, job_id: str) -> dict[str, Any] | None:
        """The stored result of a job; ``None`` when there is none."""
        ...

    async def current_submission(self, job_id: str) -> Submission | None:
        """The submission of a job that waits or runs, in whichever process.

        Expensive: use it only when nothing else knows it.
        """
        ...


class BadCursorError(ValueError):
    """The cursor does not belong to this engine, this query or this order."""


class TooSlowError(Exception):
    """A query for results that would take unreasonably long."""


class ResultRepository(Protocol):
    """Lists, searches, counts and deletes results. Single jobs are in `JobHistory`."""

    async def page(
        self, wanted: ResultFilter, sort: Sort, cursor: str | None, limit: int, *, outputs: bool = False
    ) -> ResultPage:
        """One page of at most `limit` results after `cursor`. A text search adds a ``Snippet`` to each.

        The outputs are left out unless `outputs` is set. Raises `BadCursorError` and `TooSlowError`.
        """
        ...

    async def statistics(self, wanted: StatsFilter) -> dict[str, Any]:
        """The ``stats`` of ``GET /results/stats``. Raises `TooSlowError`."""
        ...

    async def kept_bytes(self, user_id: str) -> int:
        """How many bytes the user's results take, including outputs that are stored beside them."""
        ...

    async def owners(self, job_ids: Sequence[str]) -> dict[str, str]:
        """The owner of each of `job_ids` that has a result."""
        ...

    async def delete(self, job_ids: Sequence[str]) -> int:
        """Delete results with everything that belongs to them; return how many there were."""
        ...

    async def delete_matching(self, wanted: ResultFilter, limit: int) -> tuple[int, bool]:
        """Delete up to `limit` matching results; return how many, and whether there may be more.

        Raises `TooSlowError`.
        """
        ...

    async def count(self) -> int:
        """The number of results of all users."""
        ...

    async def delete_expired(self, rules: RetentionRules, limit: int) -> int:
        """Delete up to `limit` of the results that `rules` no longer keep, oldest first; return how many.

        It may delete more where that is cheaper, such as a whole month. Zero means that nothing is left to
        delete.
        """
        ...

    async def catch_up(self) -> None:
        """Return when all that other programs have added and removed so far is visible here."""
        ...


# --- records: these methods block


class Record(Protocol):
    """A record that can be stored: its id (a UUID), its owner, its creation time, and its JSON object."""

    @property
    def record_id(self) -> str: ...
    @property
    def user_id(self) -> str: ...
    @property
    def created_at(self) -> datetime: ...
    def to_record(self) -> dict[str, Any]: ...


P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R", bound=Record)


class AskedInThreads(Protocol):
    """What is asked by calls that block, and so in threads."""

    async def in_thread(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """What `function`, which asks this, returns; it is called in a thread.

        A storage that does not answer takes up no threads of others, and raises `StorageUnavailableError`
        in time: what was asked may then be done all the same.
        """
        ...


class ChangingRecords(AskedInThreads, Protocol[R]):
    """What every record store can do. Thread-safe; each change is visible to all processes."""

    def all(self) -> list[R]:
        """Every record, oldest first. Cheap when nothing changed."""
        ...

    def has_changed(self) -> bool:
        """Whether `all` would return anything new."""
        ...

    def get(self, record_id: str, /) -> R:
        """The record with this id. Raises `NotFoundError`."""
        ...

    def change(self, record_id: str, change: Callable[[R], R], /) -> R:
        """Durably replace a record by what `change` returns for it, atomically over all threads and
        processes.

        Returns the new record. Raises `NotFoundError`, `BusyError`, and whatever `change` raises.
        """
        ...


class RecordStore(ChangingRecords[R], Protocol):
    """A store of records that users create: schedules, templates or triggers."""

    def add(self, record: R, most_per_user: int | None = None, most: int | None = None) -> None:
        """Store a new record durably.

        Raises `TooManyKeptError` when its owner has `most_per_user` records already, or all users together
        have `most`.
        """
        ...

    def remove(self, record_id: str) -> None:
        """Delete a record. Raises `NotFoundError`."""
        ...


class Follower(Protocol):
    """A part of the plugin that reads shared records, and has to notice when other processes change them."""

    def has_news(self) -> bool:
        """Whether a look would find any change. Blocks for a few system calls at most."""
        ...

    def look_soon(self) -> None:
        """Look for changes at once."""
        ...


class NoticeRecords(ChangingRecords[Notice], Protocol):
    """Notices. Each is prepared before its job's result is stored, and released for sending afterwards."""

    def open(self) -> None: ...

    def prepare(self, notice: Notice) -> None:
        """Durably store a notice that must not be sent yet. It replaces an earlier one with the same id."""
        ...

    def withdraw(self, notice_ids: Collection[str]) -> None:
        """Delete prepared notices. Unknown ids are ignored."""
        ...

    def prepared(self, min_age: float) -> list[Notice]:
        """The notices that were prepared at least `min_age` seconds ago and not released; usually none."""
        ...

    def release(self, notice_id: str) -> None:
        """Let a prepared notice be sent. Does nothing if it was released already."""
        ...

    def add(self, notice: Notice) -> None:
        """Durably store a notice that may be sent at once."""
        ...

    def remove(self, notice_ids: Collection[str]) -> None:
        """Delete notices. Unknown ids are ignored."""
        ...

    def lead(self) -> bool:
        """Whether this process is the one that sends; becomes it if no other is."""
        ...

    def step_down(self) -> None:
        """Let another process send."""
        ...


@dataclass(frozen=True, slots=True)
class FiredMoment:
    """A claim on one moment of one schedule, exclusive to its holder.

    `job_id` is the only id under which a job may be submitted for it. It is ``None`` when the moment is
    skipped, for the reason `skipped`.
    """

    schedule_id: str
    moment: datetime
    job_id: str | None
    skipped: str | None


M = TypeVar("M", bound=FiredMoment)


class FiredMoments(AskedInThreads, Protocol[M]):
    """Claims on the moments of schedules: at most one process gets each, and claims outlive the process.

    `in_thread` waits until `function` has ended: of a claim that it gets later nobody would know.
    """

    def open(self) -> None: ...

    def take(
        self, schedule_id: str, moment: datetime, job_id: str | None, skipped: str | None = None
    ) -> M | None:
        """Durably claim a moment; ``None`` when it is claimed already.

        A claim must be passed to `finish` or `release`.
        """
        ...

    def take_over(self) -> list[M]:
        """Take over unfinished claims whose processes died; the caller now holds them."""
        ...

    def any_unfinished(self) -> bool:
        """Whether any claim is unfinished, whoever holds it."""
        ...

    def finish(self, claim: M, /) -> None:
        """Mark a claim as done: its job was submitted, or never will be."""
        ...

    def release(self, claim: M, /) -> None:
        """Give a claim up, to be taken over by another process."""
        ...

    def handled_until(self, schedule_id: str, now: datetime) -> datetime | None:
        """The newest claimed moment that is not after `now`: everything up to it has been handled.

        Returns `now` itself when all claims are later. The clock was set back then, and earlier moments may
        have been fired and forgotten.
        """
        ...

    def forget(self, schedule_id: str) -> None:
        """Delete the claims of a schedule that was deleted."""
        ...


class Records(Protocol):
    """The record stores of an engine."""

    @property
    def schedules(self) -> RecordStore[Schedule]: ...
    @property
    def templates(self) -> RecordStore[Template]: ...
    @property
    def triggers(self) -> RecordStore[TemplateTrigger]: ...
    @property
    def notices(self) -> NoticeRecords: ...
    @property
    def fired_moments(self) -> FiredMoments[Any]: ...


class SessionRecords(AskedInThreads, Protocol):
    """The open sessions. All methods but `find` block."""

    async def find(self, user_id: str, session_id: str, secret: str) -> SessionRecord | None:
        """The open session with this id, if `secret` is its secret. Records that it was used."""
        ...

    def add(self, user_id: str, *, address: str = "", user_agent: str = "") -> tuple[SessionRecord, str]:
        """Start a session; return its record and its secret, which is not stored. Raises ``OSError``."""
        ...

    def all(self, user_id: str | None = None) -> list[OpenSession]:
        """The open sessions of one user, or of all users; latest sign-in first."""
        ...

    def owner_of(self, session_id: str) -> str:
        """The user of an open session. Raises `NotFoundError`."""
        ...

    def revoke(self, user_id: str, session_id: str) -> bool:
        """End a session durably in every process; false when it had ended already."""
        ...

    def revoke_all(self, user_id: str, keep: str | None = None) -> int:
        """End all sessions of a user except `keep`; return how many were ended."""
        ...


class ApiKeyRing(Protocol):
    """A snapshot of the API keys. Does no I/O."""

    def get(self, key_id: str) -> ApiKey | None:
        """The key with this id, or ``None``."""
        ...

    def find(self, secret: str, remote: str | None) -> ApiKey | None:
        """The key whose secret is `secret`, if it may be used now from the address `remote`."""
        ...

    def id_meant_by(self, secret: str) -> str | None:
        """The id that `secret` names, even if the rest of it is wrong; ``None`` when no key has that id."""
        ...


class KeysNow(Protocol):
    """Where API keys are looked up."""

    async def now(self) -> ApiKeyRing:
        """The current keys. Raises `RightsUnavailableError` when they cannot be read."""
        ...


class ApiKeyRecords(KeysNow, AskedInThreads, Protocol):
    """The API keys. All methods but `now` block."""

    def all(self) -> list[ApiKey]:
        """Every key, oldest first."""
        ...

    def create(self, *, most: int | None = None, **fields: Unpack[ApiKeyFields]) -> tuple[ApiKey, str]:
        """Create a key; return its record and its secret, which is not stored.

        Raises pydantic's ``ValidationError`` for a bad value, and `TooManyKeptError` when its user has `most`
        keys already.
        """
        ...

    def change(
        self, key_id: str, make: Callable[[ApiKey], ApiKey], require: Callable[[ApiKey], None] = ...
    ) -> ApiKey:
        """Replace a key by what `make` returns for it, and return that.

        Raises `NotFoundError`, and what `require` raises for the old one.
        """
        ...

    def delete(self, key_id: str, require: Callable[[ApiKey], None] = ...) -> ApiKey:
        """Delete a key and return it. Raises `NotFoundError`, and what `require` raises for it."""
        ...


# --- counters: this method blocks


@dataclass(frozen=True, slots=True)
class NumbersOfAll:
    """The totals over all processes, dead ones included (`counted`), and the current values of each live
    process (`present`).
    """

    counted: Mapping[str, float]
    present: Sequence[Mapping[str, float]]


class SharedNumbers(Protocol):
    """Counters that all processes add to, and that survive each of them."""

    def exchange(self, turn: int, counted: Mapping[str, float], present: Mapping[str, float]) -> NumbersOfAll:
        """Add `counted` to the totals, publish `present` as this process's current values, and return
        everybody's.

        `turn` increases with each call of a process. Repeating a call with the same `turn`, after an error
        that left its outcome unknown, adds nothing. Raises what the storage raises.
        """
        ...


# --- the engine


Recheck = Callable[[ClaimedJob], Awaitable[None]]
"""Raises `JobsError` if the job may not run any more."""

CloseInTime = Callable[[str, Callable[[], Awaitable[None]]], Awaitable[None]]
"""Closes the named part, with a timeout. Raises nothing."""


class Notifier(Protocol):
    """Sends notices of outcomes. Only `notices_of` raises.

    An engine that stores a job's result and its notices by one transaction asks for `notices_of`, and calls
    `stored` afterwards. Any other calls `prepare` before it stores the result, and `release` afterwards.
    """

    async def notices_of(self, submission: Submission, result: JobResult) -> Sequence[Notice]:
        """The notices of `result`, which are not stored.

        Raises ``OSError`` while the storage is away, from which is read how the job before ended.
        """
        ...

    def stored(self) -> None:
        """Look for notices to send: some were stored together with a result."""
        ...

    async def prepare(self, submission: Submission, result: JobResult) -> Any:
        """Durably prepare the notices of `result`, which is about to be stored; return what `release`
        needs.
        """
        ...

    async def release(self, prepared: Any) -> None:
        """Send the prepared notices: their result is stored."""
        ...


class JobObserver(Protocol):
    """Observes the jobs of this process, for logs, metrics and traces. No method waits or raises."""

    def accepted(self, submission: Submission) -> None:
        """A job was accepted durably."""
        ...

    def started(self, submission: Submission) -> Mapping[str, str]:
        """An attempt starts. Returns environment variables to add to it."""
        ...

    def ended(self, submission: Submission, result: JobResult, *, again: bool) -> None:
        """An attempt has ended and its `result` is stored; `again` tells whether another attempt follows."""
        ...


class Engine(Protocol):
    """One process's part of an engine. It creates no file and starts nothing before `open`.

    ``assembly.plugin`` builds it. What it opens, it registers on the `stack` that it is given, each part to
    be closed through `close`.
    """

    @property
    def instance_id(self) -> str:
        """Identifies this process among those that share the storage, once it is open.

        Jobs see it in their environment.
        """
        ...

    @property
    def queue(self) -> JobQueue:
        """The job queue; available, as `outputs` is, once the engine is connected."""
        ...

    @property
    def outputs(self) -> OutputStore: ...
    @property
    def history(self) -> JobHistory: ...
    @property
    def results(self) -> ResultRepository: ...
    @property
    def records(self) -> Records: ...
    @property
    def api_keys(self) -> ApiKeyRecords: ...
    @property
    def keys_at_pick_up(self) -> KeysNow:
        """The API keys as they are for a job that this process has just claimed."""
        ...

    @property
    def sessions(self) -> SessionRecords: ...

    @property
    def numbers(self) -> SharedNumbers:
        """The shared counters; available once the engine is open."""
        ...

    @property
    def capabilities(self) -> frozenset[Capability]:
        """The optional features that this engine has."""
        ...

    @property
    def interpreters(self) -> Collection[InterpreterName]:
        """Those that jobs may ask for now."""
        ...

    @property
    def workforce(self) -> Workforce | None:
        """The hosts and workers; ``None`` when the hosts alone run jobs."""
        ...

    @property
    def seldom(self) -> float:
        """After how many seconds a `Follower` looks even if it was not woken."""
        ...

    def functions_elsewhere(self) -> Collection[str]:
        """The names of the host's functions that other processes have which live. Blocks.

        Is there once the engine is open.
        """
        ...

    async def require_reachable(self) -> None:
        """Return when the storage answers. Raises `JobsError` when it does not.

        The disk of the data folder is not included: the caller checks it.
        """
        ...

    def connect(
        self, recheck: Recheck, notifier: Notifier | None, observer: JobObserver | None = None
    ) -> None:
        """Set who is called for jobs: `recheck` before each one runs, `notifier` at its end, and `observer`
        throughout.

        To be called once, before `open`.
        """
        ...

    async def open(self, stack: AsyncExitStack, close: CloseInTime) -> None:
        """Open the storage. Raises what the storage raises."""
        ...

    def start(self, stack: AsyncExitStack, close: CloseInTime) -> None:
        """Start running jobs."""
        ...

    def follow(self, followers: Sequence[Follower], stack: AsyncExitStack, close: CloseInTime) -> None:
        """Start waking `followers` when other processes change something."""
        ...

    def begin_closing(self) -> None:
        """Start no more jobs, and release everybody who waits for one."""
        ...
