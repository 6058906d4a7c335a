"""What the rooms above ask of an engine, whichever keeps the jobs. The first file to read.

An `Engine` is what one process has of it. `JobQueue` has the jobs that have not ended, `JobHistory` what each
has left, `ResultRepository` many results at a time, `OutputStore` what jobs print, `Records` what users make;
`EventBus` tells of changes. What only one process may do is claimed where it is kept: a moment of a schedule
in `FiredMoments`, sending in `NoticeRecords`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Protocol, TypeVar, Unpack

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


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSummary:
    """What the queue goes by: whose job it is, and when it may start. `mode` is ``None`` if it cannot run."""

    job_id: str
    user_id: str
    job_name: str
    mode: ExecutionMode | None
    submitted_at: datetime
    priority: int = DEFAULT_PRIORITY
    run_at: datetime | None = None
    concurrency_key: str | None = None
    attempt: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState(JobSummary):
    """A job that has not ended, whichever process has it.

    `position` is its place in the queue, the first is 1, and ``None`` where it has none. `runtime` is in
    seconds, `worker` a process id and `output_size` in bytes; `submission` may be ``None`` in lists.
    `waiting_for` is a sentence, where no worker that lives can run it.
    """

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
    """A job: how it stands or, once it has ended, its `record`."""

    state: JobState | None = None
    record: dict[str, Any] | None = None

    @property
    def known(self) -> JobState:
        """How it stands when it has not ended."""
        if self.state is None:
            raise LookupError("the job has ended")
        return self.state

    @property
    def owner(self) -> str:
        return str(self.record.get("UserID", "")) if self.record is not None else self.known.user_id

    @property
    def attempt(self) -> int:
        """The last attempt, or the one of this moment."""
        if self.record is None:
            return self.known.attempt
        attempt = self.record.get("Attempt")  # in a file that anybody may have written
        return attempt if isinstance(attempt, int) else 1


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Which jobs to find: of `user_id`, or everyone's; `limit` of them at most; ids that begin as told."""

    phases: frozenset[JobPhase]
    limit: int
    user_id: str | None = None
    id_prefix: str = ""

    def finds(self, state: JobState) -> bool:
        """Whether a job is one of these."""
        is_theirs = self.user_id is None or state.user_id == self.user_id
        return state.phase in self.phases and is_theirs and state.job_id.startswith(self.id_prefix)


class Capability(StrEnum):
    """What not every engine can do."""

    DROPPED_FILES = "droppedFiles"
    """Other programs submit jobs by files in the data folder."""
    LABELS = "labels"
    """Jobs may ask for labels of workers."""
    MANY_MACHINES = "manyMachines"
    """Hosts and workers on other machines share the work."""


MAIN_LOOP_FUNCTIONS: Literal["MainLoopFunctions"] = "MainLoopFunctions"
Slot = ExecutionMode | Literal["MainLoopFunctions"] | None
"""What jobs are counted by: their mode, but that the host's own functions in MainLoop are apart from
commands, of which one runs there at a time. ``None``: of a submission that is not valid, and only takes a
result."""


def slot_of(mode: ExecutionMode | None, function: str | None) -> Slot:
    """By what a job in `mode` is counted that runs this `function`, if any."""
    is_apart = mode is ExecutionMode.MAIN_LOOP and function is not None
    return MAIN_LOOP_FUNCTIONS if is_apart else mode


@dataclass(frozen=True, slots=True)
class Limits:
    """How many jobs one process runs at once: of each kind, of each user, in all. ``None``: no limit."""

    modes: Mapping[ExecutionMode | Literal["MainLoopFunctions"], int]
    per_user: int | None = None
    overall: int | None = None


@dataclass(frozen=True, slots=True)
class QueueSummary:
    """How many jobs wait and run in all processes; `pending` are not due yet. `limits` are this process's."""

    is_paused: bool
    queued: int
    pending: int
    running: int
    limits: Limits


@dataclass(frozen=True, slots=True)
class MostWaiting:
    """How many jobs of one user may wait, in all processes, and how many bytes their commands may have."""

    jobs: int
    size: int

    def require_turn(self, waiting: int, waiting_size: int, size: int) -> None:
        """Raise `TooManyPendingError` when no further job, of `size` bytes, may wait beside what does."""
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
    """`status` is what the result will say, `message` the sentence added to the output."""

    status: JobStatus
    message: str
    by: str = ""


SHUT_DOWN = StopReason(JobStatus.INTERRUPTED, "The job was stopped because the server shut down.")


def cancelled_by(user_id: str) -> StopReason:
    """The reason of a job that `user_id` cancelled."""
    return StopReason(JobStatus.CANCELLED, f"The job was cancelled by {user_id}.", by=user_id)


@dataclass(frozen=True, slots=True)
class JobChange:
    """A job is in another `state`, or has ended with the result `record`; neither: that was deleted."""

    user_id: str
    job_id: str
    state: JobState | None = None
    record: dict[str, Any] | None = None


MISSED = JobChange("", "")
"""Stands for changes that nobody can tell any more, or that are too many: whoever watches looks anew."""


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A process that is kept for Runspace jobs: whose it is, once it has served one, and the job it runs now.

    `memory` is in bytes, ``None`` when it cannot be told.
    """

    pid: int
    user_id: str | None
    job_id: str | None
    jobs_served: int
    memory: int | None
    started_at: datetime


@dataclass(frozen=True, slots=True)
class RunningThere:
    """A job that a process runs, and whose it is."""

    job_id: str
    user_id: str
    job_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerProcess:
    """A host or a worker that shares the work: `kind` says which. `places` are the jobs that it runs at once,
    by slot; `heard_at` is its last sign of life, and without one for a time it is not `is_alive`."""

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
    """The processes that share the work, on whichever machine. Raises ``OSError``."""

    async def all(self) -> list[WorkerProcess]:
        """Those that live, and those that died a short time ago."""
        ...

    async def kind_of(self, worker_id: str) -> str | None:
        """``host`` or ``worker``; ``None`` when none that lives has this id."""
        ...

    async def drain(self, worker_id: str) -> None:
        """Have a worker take no more jobs, and end when those that it runs have ended."""
        ...


class EventBus(Protocol):
    """Tells what changes, in whichever process."""

    def watch(self, listener: Callable[[JobChange], None]) -> AbstractAsyncContextManager[None]:
        """Inside the block `listener` is called for each change of a job, whichever process has it.

        Of this process's jobs at once, of the others' within some seconds. `MISSED` is one of them.
        """
        ...


class JobQueue(EventBus, Protocol):
    """The jobs that have not ended, of all processes and machines that share one engine's storage.

    To be asked from the event loop. Raises ``OSError`` when the storage fails.
    """

    @property
    def is_closing(self) -> bool:
        """Whether this process starts nothing more."""
        ...

    async def submit(self, submission: Submission, *, is_new: bool, most_waiting: MostWaiting) -> None:
        """Accept a job durably, and have it run. `is_new`: its id was made for it a moment ago.

        Raises `TooManyPendingError` when as many of its user's jobs wait, in all processes, as may.
        """
        ...

    async def get(self, job_id: str) -> JobState | None:
        """A job, with its submission where that can be read; ``None`` when it has ended, or never was."""
        ...

    async def look_up(self, job_id: str) -> FoundJob | None:
        """A job however it stands, its result included where it has ended; ``None`` when there is none."""
        ...

    async def end_of(self, job_id: str, seconds: float) -> dict[str, Any] | None:
        """The result of a job as soon as it has ended, if that is within `seconds`, in whichever process.

        Waits for nothing when this process is about to close.
        """
        ...

    async def find(self, query: JobQuery) -> list[JobState]:
        """Running jobs, then queued ones in the order in which they would start, then those not due yet."""
        ...

    async def summary(self) -> QueueSummary:
        """How much waits and runs."""
        ...

    async def cancel(self, job_id: str, reason: StopReason) -> None:
        """Have a job stopped, or never started, for `reason`; does nothing for one that has ended."""
        ...

    async def set_paused(self, paused: bool) -> None:
        """Start no more jobs, or go on, durably and in every process; running ones are not touched."""
        ...

    def look_soon(self) -> None:
        """Have what other programs have put into the storage looked for now, not at the next look."""
        ...

    async def workers(self) -> list[WorkerState]:
        """The processes that this process keeps for Runspace jobs."""
        ...


class JobOutput(Protocol):
    """What one attempt has printed; `size` is in bytes; `complete`: there will be no more."""

    @property
    def attempt(self) -> int: ...

    @property
    def size(self) -> int: ...

    @property
    def complete(self) -> bool: ...

    async def read(self, offset: int, most: int = CHUNK, *, whole: bool = True) -> OutputPart:
        """From `offset` on, ending with a whole character (`most` is then at least 4) or exactly.

        Nothing where it ends, and when it has been moved or deleted since it was asked for.
        """
        ...

    async def spans(self) -> list[Span]:
        """The stretches that are kept; some of what was printed last may be left out while the job runs."""
        ...


class OutputStore(Protocol):
    """What jobs print, whichever process runs them, and what is kept of it afterwards."""

    async def live(self, state: JobState) -> JobOutput:
        """Of a job that has not ended. There is nothing in it until the job has started."""
        ...

    def kept(self, record: dict[str, Any]) -> JobOutput:
        """Of an attempt that has ended, by its stored result."""
        ...

    def next_change(self, job_id: str) -> asyncio.Future[None]:
        """Is done when a job may have printed more or be in another state; now and then for nothing.

        Taken before one looks, it misses nothing. Others wait for it too: not to be cancelled.
        """
        ...


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """A job that this process, and no other, owns until it is finished.

    `problem` is set when what was claimed must not run. `run_dir` is a private folder for what the host
    keeps about the running job, `job_dir` the job's own, elsewhere, with the folder ``worker.base.WORK`` in
    it (empty for a lost job, which does not run again); both go when it is finished. `lock` is the
    `PendingJob.lock` that is held for it. `accepted_here`: it is, to the byte, what this process accepted.
    `is_signed`: at least this installation has accepted it, and nobody has changed it since.
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
    """What single jobs have left: submissions, results, and those of their attempts.

    Raises ``OSError`` when the storage fails.
    """

    async def attempts(self, submission: Submission) -> list[dict[str, Any]]:
        """The kept results of the attempts before that of `submission`, first to last."""
        ...

    async def attempts_of(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        """The same for a job that has ended, by its stored result."""
        ...

    async def submission_of(self, record: dict[str, Any]) -> Submission | None:
        """The submission of a job that has ended, by its stored result; ``None``: gone, or not valid."""
        ...

    async def was_used(self, job_id: str) -> bool:
        """Whether a job with this id has ended, its result kept or deleted."""
        ...

    async def list_results(
        self, user_id: str | None, limit: int, id_prefix: str = ""
    ) -> list[dict[str, Any]]:
        """The user's results without their outputs, or everyone's, most recently completed first.

        With `id_prefix`, only those of jobs whose ids have these digits first.
        """
        ...

    async def previous_status(self, user_id: str, job_name: str, before: datetime) -> JobStatus | None:
        """How the user's last job of that name that ended before `before` ended; not cancelled ones."""
        ...

    async def get_result(self, job_id: str) -> dict[str, Any] | None:
        """The result of a job, as it is stored."""
        ...

    async def current_submission(self, job_id: str) -> Submission | None:
        """That of a job that waits or runs, in whichever process. For what is known nowhere else."""
        ...


class BadCursorError(ValueError):
    """The cursor is not one of this engine's, or for other conditions or another order."""


class TooSlowError(Exception):
    """A question about results that cannot be answered in a reasonable time."""


class ResultRepository(Protocol):
    """The results that are kept, many at a time. What one job left is `JobHistory`'s to say."""

    async def page(
        self, wanted: ResultFilter, sort: Sort, cursor: str | None, limit: int, *, outputs: bool = False
    ) -> ResultPage:
        """`limit` results, from where `cursor` says; with a ``Snippet`` where words are looked for.

        Without `outputs` they come without theirs. Raises `BadCursorError` and `TooSlowError`.
        """
        ...

    async def statistics(self, wanted: StatsFilter) -> dict[str, Any]:
        """The ``stats`` of ``GET /results/stats``. Raises `TooSlowError`."""
        ...

    async def kept_bytes(self, user_id: str) -> int:
        """How much the user's results take, with the outputs kept beside them."""
        ...

    async def owners(self, job_ids: Sequence[str]) -> dict[str, str]:
        """Whose results those of `job_ids` are that there are."""
        ...

    async def delete(self, job_ids: Sequence[str]) -> int:
        """Delete results with all that belongs to them; how many of them there were."""
        ...

    async def delete_matching(self, wanted: ResultFilter, limit: int) -> tuple[int, bool]:
        """Delete `limit` of the results that are `wanted`: how many, and whether there may be more.

        Raises `TooSlowError`.
        """
        ...

    async def count(self) -> int:
        """How many there are, of all users."""
        ...

    async def delete_expired(self, rules: RetentionRules, limit: int) -> int:
        """Delete at most `limit` results that `rules` no longer keep, the oldest first; how many.

        Or more where that costs no more, such as all of a month. Nothing is left to delete when it was none.
        """
        ...

    async def catch_up(self) -> None:
        """Return when what other programs added and removed until now is known."""
        ...


# --- records; these calls block


class Record(Protocol):
    """What can be kept: an id (a UUID), whose it is, a date, and the JSON object it is stored as."""

    @property
    def record_id(self) -> str: ...
    @property
    def user_id(self) -> str: ...
    @property
    def created_at(self) -> datetime: ...
    def to_record(self) -> dict[str, Any]: ...


R = TypeVar("R", bound=Record)


class ChangingRecords(Protocol[R]):
    """What every kind of records can do; may be used from several threads. Every process sees each change."""

    def all(self) -> list[R]:
        """Every record, oldest first. Cheap when nothing changed."""
        ...

    def has_changed(self) -> bool:
        """Whether `all` would find anything new."""
        ...

    def get(self, record_id: str, /) -> R:
        """Raises `NotFoundError`."""
        ...

    def change(self, record_id: str, change: Callable[[R], R], /) -> R:
        """Replace a record durably by what `change` makes of it; nobody else changes it meanwhile.

        Raises `NotFoundError`, `BusyError`, and whatever `change` raises.
        """
        ...


class RecordStore(ChangingRecords[R], Protocol):
    """Records that users make: schedules, templates, triggers."""

    def add(self, record: R, most_per_user: int | None = None, most: int | None = None) -> None:
        """Keep a new record durably.

        Raises `TooManyKeptError` when its owner has `most_per_user` already, or all users together `most`.
        """
        ...

    def remove(self, record_id: str) -> None:
        """Raises `NotFoundError`."""
        ...


class Follower(Protocol):
    """A part that an engine tells of what other processes do with the records that the part reads."""

    def has_news(self) -> bool:
        """Whether a look would find anything. Blocks for a few system calls at most."""
        ...

    def look_soon(self) -> None:
        """Look at once."""
        ...


class NoticeRecords(ChangingRecords[Notice], Protocol):
    """Notices: prepared before their job's result is kept, to be sent from their release on."""

    def open(self) -> None: ...

    def prepare(self, notice: Notice) -> None:
        """Keep a notice durably that must not be sent yet. An earlier one with its id is replaced."""
        ...

    def withdraw(self, notice_ids: Collection[str]) -> None:
        """Forget prepared notices, if there are such."""
        ...

    def prepared(self, min_age: float) -> list[Notice]:
        """Those that have been prepared for `min_age` seconds; usually none."""
        ...

    def release(self, notice_id: str) -> None:
        """From now on a prepared notice is to be sent. Nothing happens if somebody released it already."""
        ...

    def add(self, notice: Notice) -> None:
        """Keep a notice durably that is to be sent, and was not prepared."""
        ...

    def remove(self, notice_ids: Collection[str]) -> None:
        """Those that are gone already do not matter."""
        ...

    def lead(self) -> bool:
        """Whether this process is the one that sends."""
        ...

    def step_down(self) -> None:
        """Leave sending to another process."""
        ...


@dataclass(frozen=True, slots=True)
class FiredMoment:
    """One moment of one schedule, to be handled by the holder and nobody else.

    `job_id` is the only one that may be submitted for it. ``None``: this moment is skipped, and
    `skipped` says why.
    """

    schedule_id: str
    moment: datetime
    job_id: str | None
    skipped: str | None


M = TypeVar("M", bound=FiredMoment)


class FiredMoments(Protocol[M]):
    """Who fires which moment: claims that only one process gets, and that outlive the process."""

    def open(self) -> None: ...

    def take(
        self, schedule_id: str, moment: datetime, job_id: str | None, skipped: str | None = None
    ) -> M | None:
        """Claim a moment durably; ``None`` when it is claimed already, by whomever.

        What it returns must be given to `finish` or `release`.
        """
        ...

    def take_over(self) -> list[M]:
        """Those that nobody holds and that were not finished; each is now held by the caller."""
        ...

    def any_unfinished(self) -> bool:
        """Whether there are any that were not finished, held by whomever."""
        ...

    def finish(self, claim: M, /) -> None:
        """What was announced is done, or will never be."""
        ...

    def release(self, claim: M, /) -> None:
        """Leave it to whoever finds it next."""
        ...

    def handled_until(self, schedule_id: str, now: datetime) -> datetime | None:
        """The newest claimed moment that is not after `now`; nothing up to it needs a look.

        `now` itself when all are later: then the clock was set back, and what lies before may have been
        fired and forgotten.
        """
        ...

    def forget(self, schedule_id: str) -> None:
        """Forget about a schedule that was deleted."""
        ...


class Records(Protocol):
    """What an engine keeps beside jobs and their results."""

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


class SessionRecords(Protocol):
    """The sessions that are open. All calls but `find` block."""

    async def find(self, user_id: str, session_id: str, secret: str) -> SessionRecord | None:
        """The session, if it has not ended and `secret` is its own; it counts as used then."""
        ...

    def add(self, user_id: str, *, address: str = "", user_agent: str = "") -> tuple[SessionRecord, str]:
        """A new session and its secret, which is kept nowhere else. Raises ``OSError``."""
        ...

    def all(self, user_id: str | None = None) -> list[OpenSession]:
        """The sessions of one user, or of all, that have not ended; the last to sign in first."""
        ...

    def owner_of(self, session_id: str) -> str:
        """Whose session that is. Raises `NotFoundError` when it is nobody's, or has ended."""
        ...

    def revoke(self, user_id: str, session_id: str) -> bool:
        """End a session durably, for every process; false when it had ended already."""
        ...

    def revoke_all(self, user_id: str, keep: str | None = None) -> int:
        """End every session of a user, but `keep`; how many those were."""
        ...


class ApiKeyRing(Protocol):
    """The API keys of one moment. Does no I/O."""

    def get(self, key_id: str) -> ApiKey | None:
        """The key with this id, if there is one."""
        ...

    def find(self, secret: str, remote: str | None) -> ApiKey | None:
        """The key that `secret` is, if it may be used now from the address `remote`."""
        ...

    def id_meant_by(self, secret: str) -> str | None:
        """The id of the key that `secret` is, or says that it is; ``None`` when there is no such key."""
        ...


class ApiKeyRecords(Protocol):
    """The API keys. All calls but `now` block."""

    async def now(self) -> ApiKeyRing:
        """The keys as they are now. Raises `RightsUnavailableError` when that cannot be told."""
        ...

    def all(self) -> list[ApiKey]:
        """Every key, oldest first."""
        ...

    def create(self, *, most: int | None = None, **fields: Unpack[ApiKeyFields]) -> tuple[ApiKey, str]:
        """A new key: its record, and the key itself, which is shown only here.

        Raises pydantic's ``ValidationError`` for a bad value, `TooManyKeptError` when its user has `most`
        keys already.
        """
        ...

    def change(
        self, key_id: str, make: Callable[[ApiKey], ApiKey], require: Callable[[ApiKey], None] = ...
    ) -> ApiKey:
        """The key as `make` returns it, which is kept. Raises `NotFoundError`, and what `require` raises."""
        ...

    def delete(self, key_id: str, require: Callable[[ApiKey], None] = ...) -> ApiKey:
        """The key, which is no more. Raises `NotFoundError`, and what `require` raises for it."""
        ...


# --- what is counted; this call blocks


@dataclass(frozen=True, slots=True)
class NumbersOfAll:
    """What all processes have `counted`, those that died too, and what each that lives says of itself."""

    counted: Mapping[str, float]
    present: Sequence[Mapping[str, float]]


class SharedNumbers(Protocol):
    """Numbers that all processes add to, kept beyond the death of each."""

    def exchange(self, turn: int, counted: Mapping[str, float], present: Mapping[str, float]) -> NumbersOfAll:
        """Add `counted` to what all have counted, and have `present` be what this process says of itself.

        A process's `turn` grows from call to call. The same once more, when it was not known what became of
        the first time, adds nothing. Raises what the storage raises.
        """
        ...


# --- one engine


Recheck = Callable[[ClaimedJob], Awaitable[None]]
"""Raises `JobsError` when the job may not run now."""

CloseInTime = Callable[[str, Callable[[], Awaitable[None]]], Awaitable[None]]
"""Awaits the closing of the part that is named, within a time. Raises nothing."""


class Notifier(Protocol):
    """Who is told of outcomes. Neither method raises."""

    async def prepare(self, submission: Submission, result: JobResult) -> Any:
        """Get ready durably to tell of `result`, which is about to be kept."""
        ...

    async def release(self, prepared: Any) -> None:
        """The result is kept: tell what `prepare` returned."""
        ...


class JobObserver(Protocol):
    """Who looks on at what this process does with jobs. No method waits or raises."""

    def accepted(self, submission: Submission) -> None:
        """A job was accepted durably."""
        ...

    def started(self, submission: Submission) -> Mapping[str, str]:
        """An attempt begins to run. What its environment is to have beside what it has anyway."""
        ...

    def ended(self, submission: Submission, result: JobResult, *, again: bool) -> None:
        """An attempt has ended, and its `result` is kept; `again`: another will follow."""
        ...


class Engine(Protocol):
    """One process's share of an engine. Makes no file, and starts nothing, before it is opened.

    What an engine is made of is said in ``plugin``. What it opens it has closed by the `stack` that it is
    given, each part by `close`.
    """

    @property
    def instance_id(self) -> str:
        """Names this process among those that share the storage, once it is open; jobs carry it in their
        environment."""
        ...

    @property
    def queue(self) -> JobQueue:
        """Is there once the engine is connected, as `outputs` is."""
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
    def sessions(self) -> SessionRecords: ...

    @property
    def numbers(self) -> SharedNumbers:
        """Is there once the engine is open."""
        ...

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Of those that not every engine has."""
        ...

    @property
    def interpreters(self) -> Collection[InterpreterName]:
        """Those that jobs may ask for now."""
        ...

    @property
    def workforce(self) -> Workforce | None:
        """``None`` where jobs are run by the hosts alone."""
        ...

    @property
    def seldom(self) -> float:
        """The seconds after which a `Follower` looks by itself, in case that it was told nothing."""
        ...

    def functions_elsewhere(self) -> Collection[str]:
        """The names of the host's functions that other processes have which live. Blocks.

        Is there once the engine is open.
        """
        ...

    async def require_reachable(self) -> None:
        """Return when what keeps the jobs answers. Raises `JobsError` when it does not.

        The disk of the data folder, which is looked at by whoever asks, is left out.
        """
        ...

    def connect(
        self, recheck: Recheck, notifier: Notifier | None, observer: JobObserver | None = None
    ) -> None:
        """Have `recheck` asked before each job runs, `notifier` told of its end, and `observer` of all.

        To be called once.
        """
        ...

    async def open(self, stack: AsyncExitStack, close: CloseInTime) -> None:
        """Open what is kept. Raises what the storage raises."""
        ...

    def start(self, stack: AsyncExitStack, close: CloseInTime) -> None:
        """Run jobs from now on."""
        ...

    def follow(self, followers: Sequence[Follower], stack: AsyncExitStack, close: CloseInTime) -> None:
        """Tell `followers` of what other processes do from now on."""
        ...

    def begin_closing(self) -> None:
        """Start nothing more, and let go whoever waits for a job."""
        ...
