"""FileSystemStore: submissions and results as files. The specification's three folders are authoritative.

Accepting jobs is in ``files.submissions``, ending them in ``files.result_writer``, recovery in
``files.orphans``, lists of results in ``results``. Blocking calls run in this store's own threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

from ...functions.registry import Functions
from ...model.job import JobResult, JobStatus, Submission
from ...model.output import OutputPart, Span
from ...model.results import ResultFilter, Sort
from ...system.atomic import make_folder, mend_folder, replace_file
from ...system.derived_keys import InstallationKeys
from ...system.guarded_files import is_regular
from ...system.jsontext import indented, loads
from ...system.storage_state import StorageState
from ...system.threads import DaemonThreads
from ...worker.output.segments import kept_spans, read_segments
from ..base import ClaimedJob
from .files.attempt_folders import AttemptFolders, owner_in
from .files.cancel_requests import read_request, written_request
from .files.concurrency_keys import KeyLocks
from .files.deleted_ids import DeletedIds
from .files.dropped_files import SETTLE_SECONDS, DroppedFiles, Unfinished
from .files.group_commit import GroupCommit
from .files.inotify import DroppedFilesWatch
from .files.instances import Instance
from .files.journal import LARGEST, Journal
from .files.layout import Attempt, Layout, safe_component
from .files.left_undone import LeftUndone
from .files.news import NewsReader, NewsWriter
from .files.offered_functions import OfferedFunctions, Versions
from .files.orphans import Recovery
from .files.other_processes import OtherProcessesReader
from .files.result_writer import ResultWriter
from .files.results import ResultFiles, record_run
from .files.sealed_values import SealedValues
from .files.submission_reader import ReadSubmission, SubmissionReader
from .files.submissions import Accepting, Intake, pending_job
from .findings import Found, Located, Look, LostJob, News, NewsMark, OtherProcesses
from .queue import Allowance, PendingJob
from .results import IndexedResults

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_THREADS = 8
_PORTION = 250
_logger = logging.getLogger(__name__)


class FileSystemStore:
    """The jobs below `base`; several processes may share the folder. It is the `JobHistory` of them, too.

    Every method may be called on the event loop, unless it says that it blocks. Raises ``OSError`` when the
    disk fails: what was asked for was not done then, or will be completed by `lost`.

    `max_submission_bytes` limits the files that are read; `allow_unsigned` runs dropped files without a
    signature. Of each output, `search_output_bytes` are searchable; results of other programs are noticed
    within `index_interval` seconds. `keys` sign submissions; by default the keys in files below `base`.
    `functions` are published to the other processes.
    """

    def __init__(
        self,
        base: Path,
        *,
        max_submission_bytes: int,
        allow_unsigned: bool,
        search_output_bytes: int = 64 * 1024,
        index_interval: float = 2.0,
        storage: StorageState | None = None,
        keys: InstallationKeys | None = None,
        functions: Functions | None = None,
    ) -> None:
        self._at = Layout(base)
        self._keys = keys or InstallationKeys(base)
        self._storage = storage or StorageState(base)
        self._max_bytes = max_submission_bytes
        self._allow_unsigned = allow_unsigned
        self._threads = DaemonThreads(_THREADS, "aiohttp-jobs-store")
        self._key_locks = KeyLocks(self._at.keys)
        self._deleted_ids = DeletedIds(self._at.deleted_ids, self._at.deleted_ids_copy)
        self._files = ResultFiles(self._at, self._deleted_ids)
        self.results = IndexedResults(
            self._at,
            self._files,
            search_bytes=search_output_bytes,
            interval=index_interval,
            storage=self._storage,
        )
        self._drops = DroppedFiles(self._at.submissions)
        self._unfinished = Unfinished()
        self._watch = DroppedFilesWatch(self._at.submissions, self._announce)
        self._left_undone = LeftUndone()
        self._was_paused = False
        self._functions = Functions() if functions is None else functions
        self.on_drop: Callable[[], None] = lambda: None
        """Called when another program has put a submission there, so that a look finds it."""

    @property
    def instance_id(self) -> str:
        """The id of this process; available after `open`."""
        return self._instance.id

    async def open(self) -> None:
        await self._run(self._open)
        await self._watch.open()
        await self.results.open()

    async def close(self) -> None:
        await self.results.close()
        await self._watch.close()
        await self._run(self._close)
        self._threads.shutdown()

    def add(self, submission: Submission, allowance: Allowance | None = None) -> Awaitable[PendingJob]:
        """Accept a job durably.

        Raises `TooManyPendingError` when `allowance` is exceeded, counted over all processes.
        """
        return self._group_commit.run(self._intake.accept, submission, allowance)

    def start(
        self,
        submission: Submission,
        allowance: Allowance | None = None,
        placed: Callable[[str], None] | None = None,
    ) -> Awaitable[tuple[PendingJob, ClaimedJob]]:
        """`add` and `claim` in one durable step, for a job with a new id and without a concurrency key.

        `placed` is called in the event loop with the job's own folder before the step is durable, and before
        this returns; the step may fail after it. Raises `QueuePausedError` while another process has paused
        the queue.
        """
        tell = None if placed is None else partial(_tell, asyncio.get_running_loop(), placed)
        return self._group_commit.run(self._intake.start, submission, allowance, tell)

    async def look(self, known: Collection[str]) -> Look:
        """What others have done, in one call: the pause, `lost`, requests to cancel, and `scan`."""
        return await self._run(self._look, known)

    async def look_at_others(
        self, waiting: Callable[[], Collection[PendingJob]], known: Collection[str]
    ) -> OtherProcesses | None:
        """The state of the other processes; ``None`` when there are none.

        `waiting` returns the jobs that wait here; it is called in a thread.
        """
        return await self._run(self._others.look, lambda: self._intake.elsewhere(waiting()), known)

    async def news(self, since: NewsMark | None) -> News:
        """What other processes did to results after the mark `since`; only a mark when that is ``None``."""
        return await self._run(self._news.read, since)

    def functions_elsewhere(self) -> Versions:
        """The functions that other processes have which live. Blocks."""
        return self._offered.elsewhere()

    async def scan(self, known: Collection[str]) -> Found:
        """Waiting jobs whose keys are not in `known`: some hundreds, those that have waited longest."""
        return await self._run(self._scan, known)

    def has_news(self, known: Collection[str]) -> bool:
        """Whether a look may find anything. Blocks for a few system calls."""
        return (
            self._drops.has_news(known)
            or is_regular(self._at.paused) is not self._was_paused
            or not self._instance.is_alone()
            or bool(os.listdir(self._instance.jobs))
        )

    def claim(self, pending: PendingJob, *, unless_paused: bool = False) -> Awaitable[ClaimedJob | None]:
        """Claim a job durably; ``None`` when another process has it, or it is gone.

        Raises `KeyBusyError` while another process runs a job with its concurrency key, and, `unless_paused`,
        `QueuePausedError` while another process has paused the queue.
        """
        return self._group_commit.run(self._intake.claim, pending, unless_paused)

    async def finish(self, claimed: ClaimedJob, result: JobResult) -> dict[str, Any]:
        """Store the result durably and release the job; return the stored result."""
        record = result.to_record()
        self.results.expect(claimed.job_id)
        try:
            # Others need not wait until so much is on the disk.
            is_large = len(result.output) > LARGEST
            aside = await self._run(self._result_writer.write_aside, record) if is_large else None
            if await self._group_commit.run(self._result_writer.finish, claimed, record, aside):
                # Last, so that whoever sees the result in a list finds the job ended.
                self.results.note(record)
        finally:
            self.results.expect_no_more(claimed.job_id)
        return record

    async def retry(self, claimed: ClaimedJob, result: JobResult, run_at: datetime) -> PendingJob:
        """Store the result of this attempt and accept the next one, due at `run_at`, durably."""
        return await self._run(self._result_writer.retry, claimed, result, run_at)

    async def lost(self) -> list[LostJob]:
        """Take over the jobs of dead processes; each must then be passed to `finish`."""
        return await self._run(self._recovery.take_over)

    async def was_used(self, job_id: str) -> bool:
        return await self._run(self._intake.has_ended, job_id)

    async def locate(self, job_id: str) -> Located | None:
        """A waiting or running job of any process.

        Reads folders: use it only when nothing else knows the job.
        """
        return await self._run(self._locate, job_id)

    async def current_submission(self, job_id: str) -> Submission | None:
        located = await self.locate(job_id)
        return located.submission if located is not None else None

    async def request_cancel(self, job_id: str, by: str) -> bool:
        """Ask the process that runs the job to cancel it; false when none does."""
        return await self._run(self._request_cancel, job_id, by)

    async def set_paused(self, paused: bool) -> None:
        """Pause or resume, durably, for every process on this store."""
        await self._run(self._set_paused, paused)

    async def list_results(
        self, user_id: str | None, limit: int, id_prefix: str = ""
    ) -> list[dict[str, Any]]:
        wanted = ResultFilter(user_id, id_digits=id_prefix.replace("-", ""))
        page = await self.results.page(wanted, Sort.COMPLETED_DOWN, None, limit)
        return await self._run(lambda: [loads(text) for text in page.records])

    async def previous_status(self, user_id: str, job_name: str, before: datetime) -> JobStatus | None:
        return await self.results.previous_status(user_id, job_name, before)

    async def get_result(self, job_id: str) -> dict[str, Any] | None:
        return await self._run(self._files.read, job_id)

    async def with_result(self, job_ids: Collection[str]) -> list[str]:
        """Those of `job_ids` that have a stored result, from whichever process. Cheap: reads no result."""
        return await self._run(self._files.existing, job_ids)

    async def ended(self, job_ids: Collection[str]) -> list[str]:
        """Those of `job_ids` that have ended, in whichever process, even if their results were deleted.
        Cheap.
        """
        return await self._run(lambda: [job_id for job_id in job_ids if self._intake.has_ended(job_id)])

    async def delete_result(self, job_id: str) -> bool:
        """Delete a result and its submission; false when there is none."""
        return bool(await self.results.delete([job_id]))

    async def attempts(self, submission: Submission) -> list[dict[str, Any]]:
        return await self._run(self._files.attempts, Attempt.of(submission))

    async def attempts_of(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        return await self._run(self._files.attempts, record_run(record))

    async def submission_of(self, record: dict[str, Any]) -> Submission | None:
        return await self._run(self._submission_of, record)

    async def read_log(self, record: dict[str, Any], offset: int, most: int, *, whole: bool) -> OutputPart:
        """Read, from `offset` on, the stored output of an ended job whose result contains only part of it."""
        read = partial(read_segments, self._at.log(record_run(record)), whole=whole)
        return await self._run(read, offset, most)

    async def log_spans(self, record: dict[str, Any]) -> list[Span]:
        """The byte ranges that `read_log` can read, first to last."""
        return await self._run(kept_spans, self._at.log(record_run(record)))

    # --- below here everything runs in a thread

    async def _run(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)

    def _open(self) -> None:
        # Only now: the host may have forked since it made the store.
        self._instance = instance = Instance(self._at.running, self._at.work)
        self._run_folders = AttemptFolders(
            str(instance.jobs),
            str(instance.scratch),
            str(instance.work),
            instance.discard,
            self._left_undone,
        )
        self._journal = Journal(self._instance.folder, self._storage)
        self._group_commit = GroupCommit(self._journal, self._run_folders.sweep, self._storage)
        for folder in (self._at.submissions, self._at.output, self._at.results):
            make_folder(folder)
        self._signer = self._keys.signer(self._at.signing_key.name)
        self._reader = SubmissionReader(self._max_bytes, self._signer, allow_unsigned=self._allow_unsigned)
        self._others = OtherProcessesReader(self._at, instance, self._reader, self._drops)
        self._intake = Intake(
            self._at,
            self._instance,
            self._run_folders,
            self._signer,
            self._reader,
            self._key_locks,
            self._deleted_ids,
            self._left_undone,
            Accepting(self._at, self._instance),
            self._watch.expect,
        )
        sealed = SealedValues(self._signer, self._max_bytes, self._instance.scratch)
        self._news = NewsReader(instance)
        self._offered = OfferedFunctions(instance, self._functions)
        told = NewsWriter(instance)
        self._files.on_deleted = told.deleted
        self._result_writer = ResultWriter(
            self._at,
            self._instance,
            self._run_folders,
            self._key_locks,
            sealed,
            self._deleted_ids,
            self._left_undone,
            self._add_again,
            told.ended,
        )
        self._recovery = Recovery(
            self._at, self._instance, self._reader, self._add_again, self._deleted_ids, sealed
        )
        self._deleted_ids.open(self._submitted_before)
        self._instance.open()
        self._offered.open()
        self._recovery.undo_power_cut()
        self._journal.open()
        self._group_commit.open()

    def _close(self) -> None:
        self._group_commit.close()
        self._journal.close()
        self._instance.close()

    # --- submissions

    def _add(self, submission: Submission) -> PendingJob:
        target = self._at.submission(submission.user_id, Attempt.of(submission).stem)
        make_folder(target.parent)
        record = self._signer.sign(submission.to_record())
        self._watch.expect(str(target))
        replace_file(target, indented(record), self._instance.scratch)
        return pending_job(str(target), ReadSubmission(submission, None))

    def _add_again(self, submission: Submission) -> PendingJob:
        self._deleted_ids.keep_waiting(submission)
        return self._add(submission)

    def _submitted_before(self, moment: datetime) -> Iterator[Submission]:
        """The signed submissions of before `moment` that wait or run, in the order in which jobs move on."""
        waiting = [(path, path.parent.name) for path in self._at.submissions.glob("*/*.json")]
        running = [
            (self._at.claimed(Attempt.from_name(folder.name)), None)
            for folder in self._at.running.glob("*/jobs/*")
        ]
        for path, owner in (*waiting, *running):
            with contextlib.suppress(FileNotFoundError):
                read = self._reader.read(path, owner or self._reader.signed_owner(path))
                if read.problem is None and read.is_signed and read.submission.submitted_at < moment:
                    yield read.submission

    def _look(self, known: Collection[str]) -> Look:
        for folder in (self._at.submissions, self._at.output, self._at.results):
            mend_folder(folder)
        self._left_undone.try_again()
        paused, lost = is_regular(self._at.paused), self._recovery.take_over()
        self._was_paused = paused
        try:
            return Look(paused, lost, self._cancel_requests(), self._scan(known))
        except OSError as error:
            # The lost ones are in this process's hands by now, and must not be forgotten.
            message = "Cannot look for submissions; trying again at the next look"
            self._storage.report(error, _logger, message)
            return Look(paused, lost, [], Found([]))

    def _scan(self, known: Collection[str]) -> Found:
        paths, there_are_more = self._drops.take(known, _PORTION)
        jobs: list[PendingJob] = []
        unsettled: list[str] = []
        for path in paths:
            if str(path) in self._left_undone:
                continue  # refused, and still to be removed
            try:
                read = self._reader.read(path, path.parent.name)
                is_unfinished = read.problem is not None and self._unfinished.may_be(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                _logger.warning("%r cannot be read now, and is tried again: %s", str(path), error)
            else:
                if is_unfinished:
                    unsettled.append(str(path))
                else:
                    jobs.append(pending_job(str(path), read))
        jobs.sort(key=lambda job: job.submitted_at)
        if unsettled:
            self._drops.announce(unsettled)  # or else they would wait until all others have been read
        return Found(jobs, there_are_more, SETTLE_SECONDS if unsettled else None)

    def _announce(self, paths: Sequence[str]) -> None:
        self._drops.announce(paths)
        self.on_drop()

    # --- results

    def _submission_of(self, record: dict[str, Any]) -> Submission | None:
        owner = safe_component(str(record.get("UserID", "")))
        read = self._reader.read_claimed(self._at.claimed(record_run(record)), owner)
        return read.submission if read.problem is None else None

    # --- other processes

    def _locate(self, job_id: str) -> Located | None:
        # Twice, as a job also moves back to where has been looked: it waits for its next attempt, or another
        # process takes it over. A schedule would submit once more what it takes for lost.
        return self._seen(job_id) or self._seen(job_id)

    def _seen(self, job_id: str) -> Located | None:
        # In the order in which a job moves on, so that one on its way is seen in either place.
        for path in self._at.submissions.glob(f"*/*_{job_id}.json"):
            if str(path) in self._left_undone:
                continue
            with contextlib.suppress(FileNotFoundError):
                return Located(self._reader.read(path, path.parent.name).submission, None)
        for folder in self._at.running.glob(f"*/jobs/*_{job_id}*"):
            with contextlib.suppress(FileNotFoundError):
                claimed = self._at.claimed(Attempt.from_name(folder.name))
                owner = owner_in(folder) or self._reader.signed_owner(claimed)
                return Located(self._reader.read(claimed, owner).submission, folder)
        return None

    def _request_cancel(self, job_id: str, by: str) -> bool:
        return self._told(job_id, by) or self._told(job_id, by)  # twice, as in `_locate`

    def _told(self, job_id: str, by: str) -> bool:
        """Whether the process that runs the job was told that `by` wants it stopped."""
        for folder in self._at.running.glob(f"*/jobs/*_{job_id}*"):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                replace_file(folder / "cancel", written_request(self._signer, folder.name, by))
                return True
        return False

    def _cancel_requests(self) -> list[tuple[str, str]]:
        requests = []
        for name in os.listdir(self._instance.jobs):
            by = read_request(self._signer, self._instance.jobs / name)
            if by is not None:
                requests.append((Attempt.from_name(name).job_id, by))
        return requests

    def _set_paused(self, paused: bool) -> None:
        self._was_paused = paused
        if paused:
            replace_file(self._at.paused, b"", self._instance.scratch)
        elif is_regular(self._at.paused):
            self._at.paused.unlink(missing_ok=True)


def _tell(loop: asyncio.AbstractEventLoop, told: Callable[[str], None], what: str) -> None:
    """Have `loop` call `told` with `what`; from any thread."""
    with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
        loop.call_soon_threadsafe(told, what)
