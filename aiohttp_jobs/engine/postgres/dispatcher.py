"""PostgresDispatcher: claims as many jobs as this process has room for, runs them, and stores their results.

The database decides which job is next; ``running.lifecycle`` runs one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from ...model.job import ExecutionMode, JobResult, JobStatus, Submission, utc_now
from ...model.notice import Notice
from ...system.owned_tasks import OwnedTasks
from ...system.storage_state import StorageState, retry_until_written
from ...worker.process.dead_mans_switch import boottime, started_before
from ...worker.process.process import INSTANCE_VARIABLE, kill_marked
from ..base import (
    SHUT_DOWN,
    ClaimedJob,
    JobObserver,
    JobSummary,
    Limits,
    Notifier,
    StopReason,
    slot_of,
)
from ..running.active import ActiveJob
from ..running.attempts import with_attempts
from ..running.lifecycle import JobRunner
from .database import DatabaseUnavailableError
from .each_job import EachJob
from .jobs import Claim, Claimed, HeldJob, JobTable, LostClaim, StaleClaimError
from .kept_logs import KeptLogs
from .output_chunks import OutputChunks, OutputCopy
from .presence import Presence
from .run_folders import VERDICT, RunFolders, RunningFolders
from .verdicts import KeptVerdicts, Verdicts

_LOOK_SECONDS = 5.0
_WATCH_SECONDS = 0.5
_CLOSE_SECONDS = 5.0
_TELL_SECONDS = 0.02
_FORGET_TURNS_SECONDS = 300.0
_CUT_OFF = StopReason(
    JobStatus.INTERRUPTED,
    "The job was stopped because its server could not reach the database, and others could start it.",
)
_KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
"""Exit codes of what was killed, and of a shell that says so."""
_GIVEN_UP = "Job %s was given up by this process, which was not heard of; what it did since then is not kept"
_logger = logging.getLogger(__name__)
T = TypeVar("T")


class PostgresDispatcher:
    """Runs jobs within `limits`; its process is `presence`.

    MainLoop commands run one at a time and hold up the start of all others in this process, as the
    specification has it.
    """

    def __init__(
        self,
        table: JobTable,
        each_job: EachJob,
        runner: JobRunner,
        verdicts: Verdicts,
        chunks: OutputChunks,
        presence: Presence,
        folders: RunningFolders,
        kept_verdicts: KeptVerdicts,
        kept_logs: KeptLogs,
        *,
        limits: Limits,
        starvation: float,
        storage: StorageState,
        notifier: Notifier | None = None,
        observer: JobObserver | None = None,
        on_change: Callable[[ActiveJob[JobSummary]], None] = lambda job: None,
        on_claimed: Callable[[float, Claimed], None] = lambda asked_at, claimed: None,
    ) -> None:
        """`on_claimed` is told what each claim brought, and when it was asked for, before its jobs begin."""
        self._table = table
        self._each_job = each_job
        self._runner = runner
        self._verdicts = verdicts
        self._chunks = chunks
        self._presence = presence
        self._folders = folders
        self._kept_verdicts = kept_verdicts
        self._kept_logs = kept_logs
        self.limits = limits
        self._starvation = starvation
        self._storage = storage
        self._notifier = notifier
        self._observer = observer
        self._on_change = on_change
        self._on_claimed = on_claimed
        self._rights_mark: int | None = None
        self._is_telling = False
        self._is_stocking = False
        self._active: dict[str, ActiveJob[JobSummary]] = {}
        self._claimed_in: dict[str, int] = {}
        self._copies: dict[str, OutputCopy] = {}
        self._only_ended: set[str] = set()
        """Jobs that this process has in order to end them, or whose result could not be kept."""
        self._known: set[str] = set()
        """All that this process had at its last look at its rows, and has had since then."""
        self._early_stops: dict[str, StopReason] = {}
        """Why jobs are to be stopped that were claimed for this process, which has not heard so yet."""
        self._looking = asyncio.Lock()
        self._claiming: uuid.UUID | None = None
        """The claim whose answer is waited for, or was lost."""
        self._used: Counter[str] = Counter()
        self._slots = frozenset(str(slot) for slot in limits.modes)
        self._unsure = set(self._slots)
        """The slots that a job may wait for which the last look could not take, for want of a place."""
        self._jobs = OwnedTasks("running jobs")
        self._has_jobs = asyncio.Event()
        """Whether there may be jobs to stop, should this process be cut off."""
        self._wake = asyncio.Event()
        self._closing = False
        self._forget_turns_at = float("-inf")
        self._loops: list[asyncio.Task[None]] = []

    def open(self) -> None:
        self._jobs.start(self._give_left_verdicts())
        self._stock_soon()
        loops = {
            "claiming": self._claim_jobs,
            "presence": self._watch_presence,
            "others": self._watch_others,
        }
        self._loops = [asyncio.create_task(run(), name=f"aiohttp-jobs-{name}") for name, run in loops.items()]

    def begin_closing(self) -> None:
        """Start nothing more, and release everybody who watches."""
        self._closing = True
        self._wake.set()
        for job in self._active.values():
            job.notify()

    async def close(self, grace: float, kill_grace: float) -> None:
        """Start nothing more, give running jobs `grace` seconds, then stop them and store their results."""
        self.begin_closing()
        # What is being claimed at this moment is given back: nobody else would know that it never began.
        if self._loops:
            await asyncio.wait(self._loops[:1], timeout=_CLOSE_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._jobs.wait()
        self.stop_jobs()
        await self._jobs.close(kill_grace + _CLOSE_SECONDS)
        for loop in self._loops:
            loop.cancel()
        if self._loops:
            await asyncio.wait(self._loops, timeout=_CLOSE_SECONDS)

    def stop_jobs(self) -> None:
        """Stop the running jobs, because this process ends."""
        for job in list(self._active.values()):
            job.stop(SHUT_DOWN)

    async def until_idle(self) -> None:
        """Return when no job runs in this process."""
        await self._jobs.wait()

    @property
    def is_closing(self) -> bool:
        return self._closing

    def accepted(self, submission: Submission) -> None:
        """A job was accepted in this process: publish it, and claim at once."""
        if self._observer is not None:
            self._observer.accepted(submission)
        self.wake_for(str(slot_of(submission.execution_mode, submission.function)))

    def wake(self) -> None:
        """Claim at once, because there may be something to start."""
        self._wake.set()

    def wake_for(self, slot: str) -> None:
        """The same, for a job that takes this slot; once there is a place for it, if there is none now."""
        if slot in self._free_places():
            self.wake()
        else:
            self._unsure.add(slot)

    def find(self, job_id: str) -> ActiveJob[JobSummary] | None:
        """A running job of this process; ``None`` if there is none with this id."""
        return self._active.get(job_id)

    def copied(self, job_id: str) -> int:
        """How many bytes of a running job's output have been copied to the database."""
        copy = self._copies.get(job_id)
        return 0 if copy is None else copy.copied

    def watch(self, job_id: str) -> bool:
        """Somebody watches the output of a job; returns whether it runs in this process."""
        copy = self._copies.get(job_id)
        if copy is not None:
            copy.watch()
        return copy is not None

    def active(self) -> Iterable[ActiveJob[JobSummary]]:
        return self._active.values()

    # --- cancelling

    async def cancel(self, job_id: str, reason: StopReason) -> None:
        """Stop a job, or have the process that runs it stop it; a waiting job is ended here."""
        active = self._active.get(job_id)
        if active is not None:
            active.stop(reason)
            return
        lapses = self._presence.lapses
        claim = await self._table.in_thread(self._table.claim_to_cancel, job_id, reason)
        if claim is not None:
            self._begin(claim, lapses, reason)
            return
        is_mine = await self._table.in_thread(self._table.ask_to_cancel, job_id, reason)
        active = self._active.get(job_id)
        if active is not None:
            active.stop(reason)
        elif is_mine:  # and the answer of its claim is on its way
            self._early_stops[job_id] = reason

    async def look_at_held(self) -> None:
        """Stop those of this process's jobs that others asked to cancel. Raises ``OSError``.

        One that this process has, and knows nothing of, was claimed when the answer was lost: it is begun.
        """
        async with self._looking:
            self._known = {*self._active, *self._only_ended}
            lapses = self._presence.lapses
            for job in await self._each_job.ask(self._table.to_see_held()):
                active = self._active.get(job.job_id)
                if active is not None and job.reason is not None:
                    active.stop(job.reason)
                elif job.job_id not in self._known and not self._closing:
                    await self._take_up(job, lapses)

    async def _take_up(self, job: HeldJob, lapses: int) -> None:
        """Deal with a job that this process has and does not know, unless it has heard of it by now."""
        lost = await self._table.in_thread(self._table.held_one, job.job_id)
        # Of a claim that is on its way the answer may still come.
        is_coming = job.claim_id is not None and job.claim_id == self._claiming
        if lost is None or is_coming or job.job_id in self._known:
            return
        _logger.warning("Job %s was given to this process, and the answer was lost", job.job_id)
        if job.claim_id is not None or job.reason is not None:
            self._begin(self._table.offered(lost.claim), lapses, job.reason)
        else:
            self._jobs.start(self._end_lost(lost))

    def stop_if_cut_off(self) -> None:
        """Stop the jobs of this process that others may have taken, or may take, and could start again.

        So it does when this process was stopped meanwhile, and was heard of again before anybody looked here.
        """
        for job_id, active in list(self._active.items()):
            if self._was_cut_off(job_id):
                active.stop(_CUT_OFF)

    def _was_cut_off(self, job_id: str) -> bool:
        """Whether others may have taken this job from this process, or may now."""
        lapses = self._presence.lapses if self._presence.is_certain else None
        return self._claimed_in.get(job_id) != lapses

    # --- claiming

    async def _claim_jobs(self) -> None:
        while not self._closing:
            self._wake.clear()
            pause = _LOOK_SECONDS
            try:
                lapses = self._presence.lapses
                if self._claiming is not None:
                    # Of whatever time that claim was: one that others have taken since then is not found.
                    found = await self._table.in_thread(self._table.claimed_before, self._claiming)
                    self._begin_all(lapses, found)
                    self._claiming = None
                free = self._free_places() if self._may_claim() else {}
                self._unsure = {*self._slots} - free.keys()
                if free:
                    self._claiming = uuid.uuid4()
                    asked_at = time.monotonic()
                    claimed = await self._each_job.ask(
                        self._table.to_claim(
                            free, self.limits, self._starvation, self._claiming, self._rights_mark
                        )
                    )
                    self._rights_mark = claimed.rights_mark
                    self._on_claimed(asked_at, claimed)
                    self._unsure |= _filled(free, claimed.claims)
                    self._begin_all(lapses, claimed.claims)
                    self._claiming = None
                    if claimed.claims:
                        self._tell_soon()
                    due = claimed.next_due
                    pause = _LOOK_SECONDS if due is None else max(0.0, min(due, _LOOK_SECONDS))
            except Exception as error:
                self._storage.report(error, _logger, "Cannot look for jobs; trying again")
                pause = 1.0
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                pass
        if self._claiming is not None:
            with contextlib.suppress(DatabaseUnavailableError):
                claims = await self._table.in_thread(self._table.claimed_before, self._claiming)
                self._begin_all(self._presence.lapses, claims)

    def _tell_soon(self) -> None:
        """Have others told that jobs were taken: together, and with those that have ended again by then."""
        if not self._is_telling:
            self._is_telling = True
            self._jobs.start(self._tell_taken())

    async def _tell_taken(self) -> None:
        # What has ended by now has taken its note along.
        while (since := self._table.teller.waiting_since()) is not None:
            if (left := since + _TELL_SECONDS - time.monotonic()) <= 0:
                break
            await asyncio.sleep(left)
        self._is_telling = False
        with contextlib.suppress(DatabaseUnavailableError):  # they look by themselves
            await self._table.in_thread(self._table.teller.tell)

    def _may_claim(self) -> bool:
        # What could not be held until its verdict is not begun.
        holds_up = self._used[ExecutionMode.MAIN_LOOP]
        return self._presence.is_certain and not self._storage.holds_jobs and not holds_up

    def _free_places(self) -> dict[str, int]:
        places = {str(slot): most - self._used[str(slot)] for slot, most in self.limits.modes.items()}
        return {slot: left for slot, left in places.items() if left > 0}

    def _begin_all(self, lapses: int, claims: Iterable[Claim]) -> None:
        for claim in claims:
            if claim.job_id not in self._active:
                self._begin(claim, lapses, None)

    def _begin(self, claim: Claim, lapses: int, reason: StopReason | None) -> None:
        """See a claimed job through, in a task of its own. With a `reason` it is only ended.

        `lapses` are those of this process from before it claimed the job.
        """
        submission = claim.submission
        if submission is None:
            _logger.error("Job %s in the database cannot be read; it is ended without a result", claim.job_id)
            self._jobs.start(self._end_unreadable(claim))
            return
        if reason is None and self._closing:
            self._jobs.start(self._give_back(claim))
            return
        active = ActiveJob(JobSummary.of(submission), self._on_change)
        if reason is not None:
            active.stop(reason)
        elif (early := self._early_stops.pop(claim.job_id, None)) is not None:
            active.stop(early)
        self._active[claim.job_id] = active
        self._has_jobs.set()
        self._known.add(claim.job_id)
        self._claimed_in[claim.job_id] = lapses
        active.announce()
        slot = None if reason is not None else str(slot_of(submission.execution_mode, submission.function))
        if slot is not None:
            self._used[slot] += 1
        self._jobs.start(self._see_through(claim, submission, active, slot))

    async def _give_back(self, claim: Claim) -> None:
        """Leave a job to others that was claimed while this process began to close."""
        try:
            await self._table.in_thread(self._table.give_back, claim)
        except DatabaseUnavailableError as error:
            # The others find it with the jobs of a process that has ended.
            self._storage.report(error, _logger, "A job that was claimed cannot be given back")

    async def _end_unreadable(self, claim: Claim) -> None:
        """There is no result to keep, as nobody knows whose it would be."""
        self._only_ended.add(claim.job_id)
        try:
            await self._table.in_thread(self._table.end_unreadable, claim)
        finally:
            self._only_ended.discard(claim.job_id)

    async def _see_through(
        self,
        claim: Claim,
        submission: Submission,
        active: ActiveJob[JobSummary],
        slot: str | None,
    ) -> None:
        is_given, folders = False, self._folders.spare()
        self._copies[claim.job_id] = copy = OutputCopy(self._chunks, claim, submission.attempt)
        try:
            try:
                if folders is None:
                    folders = await asyncio.to_thread(self._folders.take)
                async with copy.kept_up(active):
                    result = await self._run(claim, submission, active, folders)
            finally:
                # The command is over: another may start while the result is being written.
                if slot is not None:
                    self._used[slot] -= 1
                    # Else the last look found that nothing waits, and of what came since then it was told.
                    if slot in self._unsure or self.limits.overall is not None:
                        self._wake.set()
            keep = partial(self._keep_verdict, folders, claim, submission, result)
            await self._end(claim, submission, result, active, copy, folders, keep)
            is_given = True
        except StaleClaimError:
            # By another process, or by this one's own verdict, whose answer was lost.
            _logger.warning(_GIVEN_UP, claim.job_id)
            await self._kept_logs.forget((claim.job_id, submission.attempt))
            self._forget(active, None)
            is_given = True
        except Exception:
            _logger.exception("The result of job %s could not be kept", claim.job_id)
            self._only_ended.add(claim.job_id)  # it must not run again
            self._forget(active, None)
        finally:
            # Without a verdict, which may be kept in it, it is left to the next process.
            if folders is not None and is_given:
                self._folders.remove(self._kept_logs.without_kept(folders))
            self._stock_soon()

    def _stock_soon(self) -> None:
        """Have folders made for the next jobs, now that no job waits for its own."""
        if not self._is_stocking and not self._closing:
            self._is_stocking = True
            self._jobs.start(self._stock())

    async def _stock(self) -> None:
        try:
            with contextlib.suppress(OSError):  # it is met again when a job begins
                await asyncio.to_thread(self._folders.stock)
        finally:
            self._is_stocking = False

    async def _end(
        self,
        claim: Claim,
        submission: Submission,
        result: JobResult,
        active: ActiveJob[JobSummary] | None,
        copy: OutputCopy,
        folders: RunFolders,
        keep: Callable[[], None],
    ) -> None:
        if result.output_truncated:
            copying = partial(self._keep_output, claim, submission, result, copy, folders)
            await self._until_written(claim, copying, keep)
        await self._finish(claim, submission, result, active, keep)

    async def _keep_output(
        self,
        claim: Claim,
        submission: Submission,
        result: JobResult,
        copy: OutputCopy,
        folders: RunFolders,
    ) -> None:
        """Keep what the result has no room for: in the database, and what that leaves out here."""
        await copy.finish(folders.run_dir, result.output_size)
        if self._chunks.leaves_out(result.output_size):
            await self._kept_logs.keep(claim, submission.attempt, submission.user_id, folders)

    def _keep_verdict(
        self, folders: RunFolders, claim: Claim, submission: Submission, result: JobResult
    ) -> None:
        """Have the verdict outlive this process, which may end before the database is back. Blocks."""
        self._folders.keep_verdict(folders, self._kept_verdicts.record_of(claim, submission, result))

    async def _give_left_verdicts(self) -> None:
        """Give the verdicts that processes which were here before could not give any more."""
        for folders, record in await asyncio.to_thread(self._folders.left_verdicts):
            kept = self._kept_verdicts.read(record)
            if kept is None:
                _logger.error("%s/%s was not written by a host; it is not used", folders.run_dir, VERDICT)
            else:
                self._jobs.start(self._give_left(folders, *kept))

    async def _give_left(
        self, folders: RunFolders, claim: Claim, submission: Submission, result: JobResult
    ) -> None:
        copy = OutputCopy(self._chunks, claim, submission.attempt)
        self._only_ended.add(claim.job_id)
        try:
            await self._end(claim, submission, result, None, copy, folders, lambda: None)
            _logger.warning("Job %s has the verdict that was kept for it", claim.job_id)
        except StaleClaimError:
            _logger.warning(_GIVEN_UP, claim.job_id)
            await self._kept_logs.forget((claim.job_id, submission.attempt))
        finally:
            self._only_ended.discard(claim.job_id)
        self._folders.remove(self._kept_logs.without_kept(folders))

    async def _run(
        self, claim: Claim, submission: Submission, active: ActiveJob[JobSummary], folders: RunFolders
    ) -> JobResult:
        claimed = ClaimedJob(
            claim.job_id,
            submission,
            run_dir=folders.run_dir,
            job_dir=folders.job_dir,
            problem=claim.problem,
            lock=claim.lock,
            is_signed=claim.problem is None,
        )
        result = await self._runner.run(claimed, active)
        # The outcome may be known already when it is found out that this process was stopped.
        is_cut_off = active.reason is _CUT_OFF or (active.reason is None and self._was_cut_off(claim.job_id))
        return _cut_off(result) if is_cut_off and result.exit_code in _KILLED else result

    # --- ending

    async def _finish(
        self,
        claim: Claim,
        submission: Submission,
        result: JobResult,
        active: ActiveJob[JobSummary] | None,
        keep: Callable[[], None] = lambda: None,
    ) -> None:
        """Keep the result of the last attempt; or, of one that is followed by another, accept that.

        `keep` is called, in a thread, when the database does not take it at once.
        """
        policy = submission.retry
        is_cancelled = active is not None and active.is_cancelled
        if policy and not is_cancelled and policy.covers(result.status, submission.attempt):
            run_at = utc_now() + timedelta(seconds=policy.delay(submission.attempt))
            following = submission.model_copy(update={"attempt": submission.attempt + 1, "run_at": run_at})
            await self._until_written(claim, self._asking(self._table.again, claim, result, following), keep)
            if self._observer is not None:
                self._observer.ended(submission, result, again=True)
            if active is not None:
                self._active.pop(claim.job_id, None)
                self._claimed_in.pop(claim.job_id, None)
                self._copies.pop(claim.job_id, None)
                active.again()
            self._wake.set()
            return
        earlier: list[dict[str, Any]] = []
        if submission.attempt > 1:
            asked = self._asking(self._table.attempts, claim.job_id)
            earlier = await self._until_written(claim, asked, keep)
            result = with_attempts(result, earlier)
        notifier = self._notifier if submission.notify else None
        notices: Sequence[Notice] = ()
        if notifier is not None:
            notices = await self._until_written(claim, partial(notifier.notices_of, submission, result), keep)
        lets_start = self._lets_start(claim)
        give = partial(self._verdicts.give, claim, result, earlier, notices, lets_start=lets_start)
        record = await self._until_written(claim, give, keep)
        if self._observer is not None:
            self._observer.ended(submission, result, again=False)
        if active is not None:
            self._forget(active, record)
        if lets_start:
            self._wake.set()
        if notifier is not None and notices:
            notifier.stored()

    def _lets_start(self, claim: Claim) -> bool:
        """Whether a job that was held up by this one may start when it has ended, in whichever process."""
        limits = self.limits
        return claim.lock is not None or limits.per_user is not None or limits.overall is not None

    async def _until_written(
        self, claim: Claim, write: Callable[[], Awaitable[T]], keep: Callable[[], None]
    ) -> T:
        async def try_to_write() -> T:
            try:
                return await write()
            except OSError:
                await asyncio.to_thread(keep)
                raise

        message = "The result of job %s cannot be written"
        return await retry_until_written(try_to_write, self._storage, _logger, message, claim.job_id)

    def _asking(self, ask: Callable[..., T], *args: Any) -> Callable[[], Awaitable[T]]:
        """What asks the database, each time that it is called."""
        return lambda: self._table.in_thread(ask, *args)

    def _forget(self, active: ActiveJob[JobSummary], record: dict[str, Any] | None) -> None:
        if self._active.get(active.job.job_id) is active:
            del self._active[active.job.job_id]
            self._claimed_in.pop(active.job.job_id, None)
            self._copies.pop(active.job.job_id, None)
        active.ended(record)

    # --- watching over this process's jobs, and those of processes that died

    async def _watch_presence(self) -> None:
        """Look again and again whether jobs are to be stopped. Asks nobody, and so is never late.

        While there are none, nothing is looked at: a job that begins looks by itself.
        """
        while True:
            await self._has_jobs.wait()
            await asyncio.sleep(min(_WATCH_SECONDS, self._presence.stall_seconds / 20))
            self.stop_if_cut_off()
            if not self._active:
                self._has_jobs.clear()

    async def _watch_others(self) -> None:
        """Stop what others asked to cancel, and end the jobs of processes that died."""
        while True:
            await asyncio.sleep(min(self._presence.stall_seconds / 6, _LOOK_SECONDS))
            try:
                await self.look_at_held()
                if not self._closing and self._presence.is_certain and self._presence.may_judge:
                    await self._take_lost()
                if time.monotonic() > self._forget_turns_at:
                    self._forget_turns_at = time.monotonic() + _FORGET_TURNS_SECONDS
                    await self._table.in_thread(self._table.forget_old_turns)
            except DatabaseUnavailableError as error:
                self._storage.report(error, _logger, "Cannot look for the jobs of processes that died")
            except Exception:
                _logger.exception("Cannot look for the jobs of processes that died")

    async def _take_lost(self) -> None:
        began = boottime()
        lost = await self._each_job.ask(self._table.to_take_lost())
        for process_id in {each.process_id for each in lost}:
            # What it has left running, if on this machine; not what it begins should it come back.
            is_left = partial(started_before, moment=began)
            killed = await asyncio.to_thread(kill_marked, {INSTANCE_VARIABLE: process_id}, is_left)
            _logger.warning("A process died; %d processes of its jobs were ended here", killed)
        for each in lost:
            self._jobs.start(self._end_lost(each))

    async def _end_lost(self, lost: LostClaim) -> None:
        claim, submission = lost.claim, lost.claim.submission
        self._known.add(claim.job_id)
        self._only_ended.add(claim.job_id)
        if submission is None:
            await self._end_unreadable(claim)
            return
        _logger.warning("Job %s was lost, as its process died; it is recorded so", claim.job_id)
        folders = await asyncio.to_thread(self._folders.make)
        try:
            await self._table.in_thread(
                self._chunks.write_out, claim.job_id, submission.attempt, f"{folders.run_dir}/log"
            )
            claimed = ClaimedJob(claim.job_id, submission, run_dir=folders.run_dir, problem=claim.problem)
            result = await self._runner.lost(claimed, lost.started_at, lost.noticed_at)
            await self._finish(claim, submission, result, None)
        except StaleClaimError:
            _logger.warning(_GIVEN_UP, claim.job_id)
        except DatabaseUnavailableError as error:  # the next look at what this process has finds it
            self._storage.report(error, _logger, "Job %s cannot be recorded as lost yet", claim.job_id)
        finally:
            self._only_ended.discard(claim.job_id)
            self._folders.remove(folders)


def _filled(free: Mapping[str, int], claims: Sequence[Claim]) -> set[str]:
    """The slots of which a claim has taken all places that were free, so that more jobs may wait for them."""
    submissions = [claim.submission for claim in claims]
    taken = Counter(
        str(slot_of(each.execution_mode, each.function)) for each in submissions if each is not None
    )
    unknown = submissions.count(None)
    return {slot for slot, places in free.items() if taken[slot] + unknown >= places}


def _cut_off(result: JobResult) -> JobResult:
    """Of a command that was ended while this process was stopped, which heard of it only afterwards."""
    output = f"{result.output}[ERROR] {_CUT_OFF.message}\n"
    return result.model_copy(update={"status": _CUT_OFF.status, "output": output})
