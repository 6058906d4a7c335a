"""JobStore on plain files: the specification's three folders are the truth, everything else derived.

Reading a submission is left to ``files``, durable writing to ``durable``, telling which processes
are alive to ``instances``. Blocking calls run in this store's own threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import Any, TypeVar, TypeVarTuple
from uuid import UUID

from ..models import JobResult, Submission, new_job_id
from .base import ClaimedJob, LostJob, PendingJob
from .durable import make_folder, replace_file, sync_folder
from .files import ReadSubmission, SubmissionReader, is_visible, placeholder
from .index import ResultIndex
from .instances import Instance
from .names import safe_component, submission_stem
from .signing import Signer

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_THREADS = 8
_SETTLE_SECONDS = 2.0


class FileSystemStore:
    """Keeps jobs below `base`; several processes may share the folder.

    `max_submission_bytes` bounds the files read; `allow_unsigned` runs drops without a signature.
    """

    def __init__(self, base: Path, *, max_submission_bytes: int, allow_unsigned: bool) -> None:
        self._submissions = base / "JobSubmission"
        self._output = base / "JobOutput"
        self._results = base / "JobResults"
        self._signing_key = base / "Secrets" / "submission.key"
        self._max_bytes = max_submission_bytes
        self._allow_unsigned = allow_unsigned
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="aiohttp-jobs-store")
        self._index_thread = ThreadPoolExecutor(1, thread_name_prefix="aiohttp-jobs-index")
        self._index = ResultIndex(base / "results.index.sqlite3", self._results)
        self._instance = Instance(base / "Running")
        self._spent: set[str] = set()

    @property
    def instance_id(self) -> str:
        return self._instance.id

    async def open(self) -> None:
        await self._run(self._open)
        await self._indexed(self._index.open)

    async def close(self) -> None:
        await self._indexed(self._index.close)
        await self._run(self._instance.close)
        self._index_thread.shutdown()
        self._threads.shutdown()

    async def add(self, submission: Submission) -> PendingJob:
        return await self._run(self._add, submission)

    async def scan(self, known: Collection[str]) -> list[PendingJob]:
        return await self._run(self._scan, known)

    async def claim(self, pending: PendingJob) -> ClaimedJob | None:
        return await self._run(self._claim, pending)

    async def finish(self, claimed: ClaimedJob, result: JobResult) -> None:
        record = result.to_record()
        before = await self._run(self._write_result, record)
        await self._indexed(self._index.note, record, before)
        await self._run(_remove_tree, claimed.run_dir)

    async def lost(self) -> list[LostJob]:
        return await self._run(self._take_over)

    async def list_results(self, user_id: str, limit: int) -> list[dict[str, Any]]:
        job_ids = await self._indexed(self._index.newest, user_id, limit)
        return await self._run(self._read_results, job_ids, user_id)

    async def get_result(self, job_id: str) -> dict[str, Any] | None:
        return await self._run(self._read_result, job_id)

    async def delete_result(self, job_id: str) -> bool:
        deleted = await self._run(self._delete_result, job_id)
        await self._indexed(self._index.remove, job_id)
        return deleted

    # --- below here everything runs in a thread

    async def _run(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)

    async def _indexed(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        def call() -> T:
            try:
                return function(*args)
            except sqlite3.DatabaseError:
                self._index.reset()
                return function(*args)

        return await asyncio.get_running_loop().run_in_executor(self._index_thread, call)

    def _open(self) -> None:
        for folder in (self._submissions, self._output, self._results):
            make_folder(folder)
        self._signer = Signer.from_file(self._signing_key)
        self._reader = SubmissionReader(self._max_bytes, self._signer, allow_unsigned=self._allow_unsigned)
        with contextlib.suppress(FileNotFoundError):
            self._spent.update(self._spent_file.read_text().split())
        self._instance.open()

    @property
    def _spent_file(self) -> Path:
        # Ids of deleted jobs: a signed file that somebody kept aside must not run a second time.
        return self._output / ".deleted"

    def _result_file(self, job_id: str) -> Path:
        return self._results / f"{job_id}.json"

    def _add(self, submission: Submission) -> PendingJob:
        folder = self._submissions / safe_component(submission.user_id)
        make_folder(folder)
        stem = submission_stem(submission.session_id, submission.job_name, submission.job_id)
        target = folder / f"{stem}.json"
        record = self._signer.sign(submission.to_record())
        replace_file(target, _to_bytes(record), self._instance.scratch)
        return _pending(target, ReadSubmission(submission, None))

    def _scan(self, known: Collection[str]) -> list[PendingJob]:
        found = [job for path in self._dropped(known) if (job := self._look_at(path)) is not None]
        return sorted(found, key=lambda job: job.submitted_at)

    def _dropped(self, known: Collection[str]) -> Iterator[Path]:
        with os.scandir(self._submissions) as users:
            folders = [user.path for user in users if user.is_dir(follow_symlinks=False)]
        for folder in folders:
            with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
                for entry in entries:
                    if entry.path in known or not is_visible(entry.name):
                        continue
                    if not entry.is_dir(follow_symlinks=False):
                        yield Path(entry.path)

    def _look_at(self, path: Path) -> PendingJob | None:
        try:
            read = self._reader.read(path, path.parent.name)
            age = time() - path.lstat().st_mtime
        except FileNotFoundError:
            return None
        if read.problem is not None and 0 <= age < _SETTLE_SECONDS:
            return None  # a program that does not write atomically may still be writing it
        return _pending(path, read)

    def _claim(self, pending: PendingJob) -> ClaimedJob | None:
        source = Path(pending.key)
        job_id, fault = pending.job_id, pending.problem
        if fault is None and self._was_used(pending):
            job_id = new_job_id()
            fault = f"The job {pending.job_id} was picked up before; it does not run a second time."
        stem = submission_stem(pending.session_id, pending.job_name, job_id)
        run_dir = self._instance.begin(stem, source.parent.name)
        target = self._output / f"{stem}.json"
        try:
            source.rename(target)
        except OSError as error:
            _remove_tree(run_dir)
            if isinstance(error, FileNotFoundError):
                return None
            raise
        sync_folder(self._output)
        sync_folder(source.parent)
        submission, problem = self._read_claimed(target, source.parent.name)
        if problem is None and (submission.job_id, submission.execution_mode) != (
            pending.job_id,
            pending.mode,
        ):
            problem = "The submission file was exchanged for another while it waited."
        owned = submission.model_copy(update={"job_id": job_id, "user_id": pending.user_id})
        return ClaimedJob(job_id, owned, run_dir, fault or problem)

    def _read_claimed(self, path: Path, user_folder: str) -> ReadSubmission:
        try:
            return self._reader.read(path, user_folder)
        except FileNotFoundError:
            return ReadSubmission(
                placeholder(path, user_folder, {}),
                "The submission file was removed while it was picked up.",
            )

    def _was_used(self, pending: PendingJob) -> bool:
        stem = submission_stem(pending.session_id, pending.job_name, pending.job_id)
        return (
            pending.job_id in self._spent
            or self._result_file(pending.job_id).exists()
            or (self._output / f"{stem}.json").exists()
        )

    def _write_result(self, record: dict[str, Any]) -> int:
        before = self._results.stat().st_mtime_ns
        target = self._result_file(record["JobID"])
        replace_file(target, _to_bytes(record), self._instance.scratch)
        return before

    def _take_over(self) -> list[LostJob]:
        lost: list[LostJob] = []
        for dead in self._instance.take_over_dead():
            for folder in _subfolders(dead / "jobs"):
                lost.extend(self._adopt(folder, dead.name))
            _remove_tree(dead)
        return lost

    def _adopt(self, folder: Path, instance_id: str) -> Iterable[LostJob]:
        """Move a dead process's job into this one's care, unless it had ended or not begun."""
        job_id = folder.name.rpartition("_")[2]
        submission_file = self._output / f"{folder.name}.json"
        if self._result_file(job_id).exists():
            return
        try:
            started = submission_file.stat().st_ctime
            owner = (folder / "owner").read_text(encoding="ascii")
        except FileNotFoundError:
            return  # it was never claimed: it is still pending
        submission, problem = self._read_claimed(submission_file, owner)
        times = [entry.stat().st_mtime for entry in folder.iterdir() if entry.is_file()]
        run_dir = self._instance.adopt(folder)
        owned = submission.model_copy(update={"job_id": job_id})
        claimed = ClaimedJob(job_id, owned, run_dir, problem)
        yield LostJob(claimed, instance_id, _utc(started), _utc(max([started, *times])))

    def _read_results(self, job_ids: list[str], user_id: str) -> list[dict[str, Any]]:
        records = (self._read_result(job_id) for job_id in job_ids)
        return [record for record in records if record and record.get("UserID") == user_id]

    def _read_result(self, job_id: str) -> dict[str, Any] | None:
        try:
            record = json.loads(self._result_file(str(UUID(job_id))).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return record if isinstance(record, dict) else None

    def _delete_result(self, job_id: str) -> bool:
        record = self._read_result(job_id)
        if record is None:
            return False
        stem = submission_stem(record.get("SessionID", ""), record.get("JobName", ""), job_id)
        self._spent.add(job_id)
        with self._spent_file.open("a", encoding="ascii") as file:
            file.write(f"{job_id}\n")
            file.flush()
            os.fsync(file.fileno())
        (self._output / f"{stem}.json").unlink(missing_ok=True)
        self._result_file(job_id).unlink(missing_ok=True)
        sync_folder(self._results)
        return True


def _to_bytes(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, indent=2).encode("utf-8", "replace")


def _pending(path: Path, read: ReadSubmission) -> PendingJob:
    job, problem = read
    return PendingJob(
        key=str(path),
        job_id=job.job_id,
        user_id=job.user_id,
        session_id=job.session_id,
        job_name=job.job_name,
        mode=job.execution_mode if problem is None else None,
        submitted_at=job.submitted_at,
        problem=problem,
    )


def _utc(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)


def _subfolders(folder: Path) -> list[Path]:
    try:
        return [entry for entry in folder.iterdir() if entry.is_dir()]
    except FileNotFoundError:
        return []


def _remove_tree(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
