"""The file store: accept, claim once, keep, delete; dropped files of every kind; shared folders."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aiohttp_jobs.engine.base import ClaimedJob
from aiohttp_jobs.engine.embedded.files.dropped_files import SETTLE_SECONDS
from aiohttp_jobs.engine.embedded.files.results import ResultFiles
from aiohttp_jobs.engine.embedded.queue import PendingJob
from aiohttp_jobs.engine.embedded.store import FileSystemStore
from aiohttp_jobs.errors import MayStillRunError, PartlyDeletedError
from aiohttp_jobs.model.job import (
    ExecutionMode,
    JobResult,
    JobStatus,
    RetryPolicy,
    Submission,
    new_job_id,
    utc_now,
)
from aiohttp_jobs.system.derived_keys import InstallationKeys

from ...counting import before_listing
from ...gate import PATIENCE_SECONDS, until

OLD = time.time() - 60
MakeStore = Callable[..., Any]


def submission(**fields: Any) -> Submission:
    known: dict[str, Any] = {
        "job_id": new_job_id(),
        "user_id": "alice",
        "session_id": "s1",
        "job_name": "My Job",
        "command": "true",
        "execution_mode": ExecutionMode.BACKGROUND_JOB,
        "submitted_at": utc_now(),
    }
    return Submission(**{**known, **fields})


def result_of(claimed: ClaimedJob, **fields: Any) -> JobResult:
    job = claimed.submission
    known: dict[str, Any] = {
        "job_id": job.job_id,
        "user_id": job.user_id,
        "session_id": job.session_id,
        "job_name": job.job_name,
        "command": job.command,
        "description": "",
        "execution_mode": job.execution_mode,
        "date_started": utc_now(),
        "date_completed": utc_now(),
        "runtime": 0.1,
        "output": "out",
        "success": True,
        "status": JobStatus.SUCCEEDED,
    }
    return JobResult(**{**known, **fields})


@pytest.fixture
async def make_store(tmp_path: Path) -> AsyncIterator[MakeStore]:
    stores: list[FileSystemStore] = []

    async def make(**settings: Any) -> FileSystemStore:
        store = FileSystemStore(
            tmp_path,
            **{"max_submission_bytes": 10_000, "allow_unsigned": False, "index_interval": 0.05, **settings},
        )
        await store.open()
        stores.append(store)
        return store

    yield make
    for store in stores:
        await store.close()


@pytest.fixture
async def store(make_store: MakeStore) -> FileSystemStore:
    made: FileSystemStore = await make_store()
    return made


async def claimed(store: FileSystemStore, pending: PendingJob) -> ClaimedJob:
    found = await store.claim(pending)
    assert found is not None
    return found


async def done(store: FileSystemStore, **fields: Any) -> str:
    """A job that went all the way; its id."""
    job = await claimed(store, await store.add(submission(**fields)))
    await store.finish(job, result_of(job))
    return job.job_id


def drop(folder: Path, content: bytes | dict[str, Any], user: str = "alice", name: str = "drop.json") -> Path:
    """A file as another program leaves it, long enough ago to be complete."""
    path = folder / "JobSubmission" / user / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    os.utime(path, (OLD, OLD))
    return path


async def test_a_job_goes_from_folder_to_folder(store: FileSystemStore, tmp_path: Path) -> None:
    job = submission()
    pending = await store.add(job)
    name = f"s1_My%20Job_{job.job_id}.json"
    assert (tmp_path / "JobSubmission" / "alice" / name).is_file()
    taken = await claimed(store, pending)
    assert taken.problem is None
    assert taken.submission.command == "true"
    assert not list((tmp_path / "JobSubmission" / "alice").iterdir())
    assert (tmp_path / "JobOutput" / name).is_file()
    await store.finish(taken, result_of(taken))
    assert (tmp_path / "JobResults" / f"{job.job_id}.json").is_file()
    await until(lambda: not Path(taken.run_dir).exists(), "letting go of the job's folder")
    assert [record["JobID"] for record in await store.list_results("alice", 10)] == [job.job_id]
    assert await store.delete_result(job.job_id)
    assert not await store.delete_result(job.job_id)
    assert await store.list_results("alice", 10) == []
    assert not (tmp_path / "JobOutput" / name).exists()


async def test_scanning_finds_what_is_not_known_oldest_first(store: FileSystemStore) -> None:
    added = [await store.add(submission()) for _ in range(5)]
    assert (await store.scan(set())).jobs == added
    assert (await store.scan({job.key for job in added[:3]})).jobs == added[3:]


async def test_two_stores_on_one_folder_never_both_claim_a_job(make_store: MakeStore) -> None:
    one, other = await make_store(), await make_store()
    pending = [await one.add(submission()) for _ in range(30)]
    seen = (await other.scan(set())).jobs
    assert len(seen) == 30
    first = [await one.claim(job) if n % 2 else await other.claim(job) for n, job in enumerate(pending)]
    second = [await other.claim(job) if n % 2 else await one.claim(job) for n, job in enumerate(pending)]
    assert all(first)
    assert not any(second)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{", "not valid JSON"),
        (b"[1]", "JSON object"),
        (b"[" * 9000, "not valid JSON"),
        (b'{"JobID": "x"}', "not valid: JobID"),
        (
            json.dumps(
                {
                    "JobID": "11111111-1111-4111-8111-111111111111",
                    "UserID": "alice",
                    "JobName": "j",
                    "Command": "true",
                    "ExecutionMode": "Runspace",
                    "SubmittedAt": "9999-12-31T23:59:59-14:00",
                }
            ).encode(),
            "SubmittedAt",
        ),
        (b" " * 10_001, "larger than 10000 bytes"),
        (b"\xff\xfe\x00", "not valid JSON"),
    ],
)
async def test_a_bad_drop_is_moved_aside_with_its_reason(
    store: FileSystemStore, tmp_path: Path, content: bytes, problem: str
) -> None:
    path = drop(tmp_path, content)
    (pending,) = (await store.scan(set())).jobs
    assert pending.mode is None
    assert pending.user_id == "alice"
    job = await claimed(store, pending)
    assert problem in str(job.problem)
    assert not path.exists()
    assert [p for p in (tmp_path / "JobOutput").glob("*.json") if job.job_id in p.name]


async def test_links_pipes_and_folders_are_never_read(store: FileSystemStore, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(json.dumps(submission().to_record()))
    folder = tmp_path / "JobSubmission" / "alice"
    folder.mkdir(parents=True)
    (folder / "link.json").symlink_to(secret)
    os.mkfifo(folder / "pipe.json")
    (folder / "folder.json").mkdir()
    (folder / ".hidden.json").write_text("{}")
    for name in ("link.json", "pipe.json"):
        os.utime(folder / name, (OLD, OLD), follow_symlinks=False)
    found = (await store.scan(set())).jobs
    assert sorted(Path(job.key).name for job in found) == ["link.json", "pipe.json"]
    for job in found:
        assert (await claimed(store, job)).problem
    assert secret.exists()


async def test_a_drop_that_may_still_be_written_is_left_alone(store: FileSystemStore, tmp_path: Path) -> None:
    path = drop(tmp_path, b'{"JobID"')
    os.utime(path)
    assert (await store.scan(set())).jobs == []


async def test_unsigned_drops_run_only_where_that_is_allowed(make_store: MakeStore, tmp_path: Path) -> None:
    strict = await make_store()
    drop(tmp_path, submission().to_record())
    (pending,) = (await strict.scan(set())).jobs
    assert "not signed" in str(pending.problem)
    lenient = await make_store(allow_unsigned=True)
    (pending,) = (await lenient.scan(set())).jobs
    assert (await claimed(lenient, pending)).problem is None


async def test_a_drop_signed_with_the_folders_key_runs(store: FileSystemStore, tmp_path: Path) -> None:
    signer = InstallationKeys(tmp_path).signer("submission.key")
    drop(tmp_path, signer.sign(submission().to_record()))
    (pending,) = (await store.scan(set())).jobs
    assert (await claimed(store, pending)).problem is None


async def test_a_bad_file_from_the_future_may_still_be_being_written_and_is_not_waited_for_forever(
    store: FileSystemStore, tmp_path: Path
) -> None:
    path = drop(tmp_path, b"{")
    os.utime(path, (time.time() + 3600,) * 2)  # by the clock of the file system, or one that was put back
    assert (await store.scan(())).jobs == []
    await asyncio.sleep(SETTLE_SECONDS)
    (found,) = (await store.scan(())).jobs
    assert found.problem is not None


async def test_a_drop_in_somebody_elses_folder_is_refused(store: FileSystemStore, tmp_path: Path) -> None:
    signer = InstallationKeys(tmp_path).signer("submission.key")
    drop(tmp_path, signer.sign(submission(user_id="root").to_record()), user="mallory")
    (pending,) = (await store.scan(set())).jobs
    job = await claimed(store, pending)
    assert "UserID" in str(job.problem)
    assert job.submission.user_id == "mallory"


@pytest.mark.parametrize("change", [{"Command": "rm -rf /"}, {"Roles": ["debug"]}, {"UserID": "root"}])
async def test_a_file_edited_after_it_was_accepted_does_not_run(
    store: FileSystemStore, change: dict[str, Any]
) -> None:
    pending = await store.add(submission())
    path = Path(pending.key)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    job = await claimed(store, pending)
    assert job.problem
    assert job.submission.user_id == "alice"


async def test_a_file_exchanged_for_another_signed_one_does_not_run(store: FileSystemStore) -> None:
    one, other = await store.add(submission()), await store.add(submission(command="other"))
    Path(other.key).rename(one.key)
    assert "exchanged" in str((await claimed(store, one)).problem)


async def dropped_job(store: FileSystemStore) -> PendingJob:
    """The job of a file that was dropped. A look may find a late announcement of one that is gone instead."""
    for _ in range(100):
        if jobs := (await store.scan(set())).jobs:
            (job,) = jobs
            return job
    raise AssertionError("the file that was dropped is not found")


async def test_a_signed_file_kept_aside_never_runs_a_second_time(
    make_store: MakeStore, tmp_path: Path
) -> None:
    store = await make_store()
    pending = await store.add(submission())
    copy = Path(pending.key).read_bytes()
    job = await claimed(store, pending)
    drop(tmp_path, copy, name="while-it-runs.json")
    again = await dropped_job(store)
    assert "second time" in str((await claimed(store, again)).problem)
    await store.finish(job, result_of(job))
    drop(tmp_path, copy, name="afterwards.json")
    again = await dropped_job(store)
    assert "second time" in str((await claimed(store, again)).problem)
    await store.delete_result(job.job_id)
    drop(tmp_path, copy, name="deleted.json")
    restarted = await make_store()
    again = await dropped_job(restarted)
    assert "second time" in str((await claimed(restarted, again)).problem)


async def test_nor_where_another_process_deleted_its_result(make_store: MakeStore, tmp_path: Path) -> None:
    one, other = await make_store(), await make_store()
    pending = await one.add(submission())
    copy = Path(pending.key).read_bytes()
    job = await claimed(one, pending)
    await one.finish(job, result_of(job))
    assert await one.delete_result(job.job_id)
    drop(tmp_path, copy, name="again.json")
    again = await dropped_job(other)
    assert "second time" in str((await claimed(other, again)).problem)
    assert await other.was_used(job.job_id)


async def test_nor_where_another_process_came_to_run_it_and_has_left_since(
    make_store: MakeStore, tmp_path: Path
) -> None:
    one = await make_store()
    pending = await one.add(submission())
    copy = Path(pending.key).read_bytes()
    other = FileSystemStore(tmp_path, max_submission_bytes=10_000, allow_unsigned=False)
    await other.open()
    job = await claimed(other, pending)
    await other.finish(job, result_of(job))
    assert await other.delete_result(job.job_id)
    await other.close()
    Path(pending.key).write_bytes(copy)
    assert "second time" in str((await claimed(one, pending)).problem)


@pytest.mark.slow
async def test_the_jobs_of_a_dead_process_are_taken_over_once(make_store: MakeStore, tmp_path: Path) -> None:
    code = """
import asyncio, os, sys
from pathlib import Path
from tests.engine.embedded.test_store import FileSystemStore, submission
async def main():
    store = FileSystemStore(Path(sys.argv[1]), max_submission_bytes=10000, allow_unsigned=False)
    await store.open()
    running = await store.claim(await store.add(submission(job_name="ran")))
    Path(running.run_dir, "log").mkdir()
    Path(running.run_dir, "log", "output.000000000").write_text("so far")
    await store.add(submission(job_name="waited"))
    os.kill(os.getpid(), 9)
asyncio.run(main())
"""
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, timeout=PATIENCE_SECONDS)
    assert ended.returncode == -9
    one, other = await make_store(), await make_store()
    lost = [*await one.lost(), *await other.lost(), *await one.lost()]
    assert [job.claimed.submission.job_name for job in lost] == ["ran"]
    assert Path(lost[0].claimed.run_dir, "log", "output.000000000").read_text() == "so far"
    assert [job.job_name for job in (await other.scan(set())).jobs] == ["waited"]


async def test_a_job_is_found_while_another_process_takes_it_over(
    make_store: MakeStore, tmp_path: Path
) -> None:
    """Or a schedule, which submits what was not accepted yet, would submit it again."""
    for store in (await make_store(), await make_store()):
        await claimed(store, await store.add(submission()))
    first, last = [folder / "jobs" for folder in (tmp_path / "Running").iterdir() if folder.name[0] != "."]
    (run,) = last.iterdir()
    job_id = run.name.rpartition("_")[2]
    asking = await make_store()

    def take_over() -> None:
        run.rename(first / run.name)

    with before_listing(last, take_over):
        located = await asking.locate(job_id)
    assert located is not None
    assert located.submission.job_id == job_id

    (first / run.name).rename(run)
    with before_listing(last, take_over):
        assert await asking.request_cancel(job_id, "alice")
    assert (first / run.name / "cancel").is_file()


async def test_a_job_is_found_while_it_goes_back_to_wait_for_its_next_attempt(
    make_store: MakeStore, tmp_path: Path
) -> None:
    store, asking = await make_store(), await make_store()
    job = submission(retry=RetryPolicy(count=2))
    taken = await claimed(store, await store.add(job))
    loop = asyncio.get_running_loop()

    def go_back() -> None:
        retrying = store.retry(taken, result_of(taken, success=False, status=JobStatus.FAILED), utc_now())
        asyncio.run_coroutine_threadsafe(retrying, loop).result(30)

    with before_listing(tmp_path / "Running", go_back):
        located = await asking.locate(job.job_id)
    assert located is not None
    assert located.submission.attempt == 2


async def failed(store: FileSystemStore, job: ClaimedJob) -> PendingJob:
    """The next attempt of `job`, due at once."""
    return await store.retry(job, result_of(job, success=False, status=JobStatus.FAILED), utc_now())


async def test_a_next_attempt_is_not_taken_for_the_one_before_by_who_saw_that_waiting(
    make_store: MakeStore, tmp_path: Path
) -> None:
    store, other = await make_store(), await make_store()
    pending = await store.add(submission(retry=RetryPolicy(count=3)))
    for attempt in (2, 3):
        (seen,) = (await other.scan(())).jobs
        pending = await failed(store, await claimed(store, pending))
        assert await other.claim(seen) is None
        (waiting,) = (await other.scan(())).jobs
        assert (waiting.job_id, waiting.attempt, waiting.problem) == (pending.job_id, attempt, None)
    last = await claimed(other, waiting)
    assert (last.problem, last.submission.attempt) == (None, 3)
    assert all(pending.job_id in path.name for path in (tmp_path / "JobOutput").glob("*.json"))


async def test_a_next_attempt_that_is_made_once_more_does_not_take_the_place_of_the_one_after_it(
    make_store: MakeStore,
) -> None:
    store, other = await make_store(), await make_store()
    first = await claimed(store, await store.add(submission(retry=RetryPolicy(count=3))))
    third = await failed(other, await claimed(other, await failed(store, first)))
    # As is done where the disk refused to make it durable.
    assert await store.claim(await failed(store, first)) is None
    (waiting,) = (await other.scan(())).jobs
    assert (waiting.job_id, waiting.attempt) == (third.job_id, 3)


async def test_a_copy_of_an_earlier_attempt_does_not_keep_the_next_one_from_being_made_after_a_crash(
    make_store: MakeStore, tmp_path: Path
) -> None:
    store = FileSystemStore(tmp_path, max_submission_bytes=10_000, allow_unsigned=False)
    await store.open()
    pending = await store.add(submission(retry=RetryPolicy(count=3)))
    job = await claimed(store, pending)
    name = Path(pending.key).stem
    file = tmp_path / "JobOutput" / f"{name}.json"
    # As far as a process got that died before it wrote the next attempt.
    record = result_of(job, success=False, status=JobStatus.FAILED).to_record()
    file.with_name(f"{name}.result.json").write_text(json.dumps(record))
    await store.close()
    drop(tmp_path, file.read_bytes(), name=f"{name}.json")
    following = await make_store()
    assert await following.lost() == []
    (waiting,) = (await following.scan(())).jobs
    assert (waiting.job_id, waiting.attempt, waiting.problem) == (job.job_id, 2, None)


async def test_a_job_may_start_with_the_write_that_accepts_it(make_store: MakeStore, tmp_path: Path) -> None:
    store, other = await make_store(), await make_store()
    job = submission()
    pending, started = await store.start(job)
    name = Path(pending.key).name
    assert (tmp_path / "JobOutput" / name).is_file()
    assert started.problem is None
    assert started.submission == job
    assert Path(started.run_dir).is_dir()
    assert await store.claim(pending) is None
    assert [*(await other.scan(())).jobs, *await other.lost()] == []
    located = await other.locate(job.job_id)
    assert located is not None
    assert located.submission.command == job.command
    await store.finish(started, result_of(started))
    record = await other.get_result(job.job_id)
    assert record is not None
    kept = await store.submission_of(record)
    assert kept is not None
    assert kept.command == job.command


@pytest.mark.parametrize(("moment", "interrupted"), [("before", []), ("after", ["started"])])
@pytest.mark.slow
async def test_a_process_that_dies_while_it_accepts_and_starts_leaves_all_or_nothing(
    make_store: MakeStore, tmp_path: Path, moment: str, interrupted: list[str]
) -> None:
    code = """
import asyncio, os, sys
from pathlib import Path
from tests.engine.embedded.test_store import FileSystemStore, submission
async def main():
    store = FileSystemStore(Path(sys.argv[1]), max_submission_bytes=10000, allow_unsigned=False)
    await store.open()
    rename = os.replace
    def die(*names):
        if sys.argv[2] == "after":
            rename(*names)
        os.kill(os.getpid(), 9)
    os.replace = die
    await store.start(submission(job_name="started"))
asyncio.run(main())
"""
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), moment], check=False, timeout=PATIENCE_SECONDS
    )
    assert ended.returncode == -9
    store = await make_store()
    assert [job.claimed.submission.job_name for job in await store.lost()] == interrupted
    assert (await store.scan(())).jobs == []
    assert len(list((tmp_path / "JobOutput").glob("*.json"))) == len(interrupted)


async def test_a_start_that_cannot_be_made_durable_leaves_nothing(
    store: FileSystemStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("the disk refuses")

    with monkeypatch.context() as patch:
        patch.setattr(store._journal, "write", refuse)
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match="refuses"):
            await store.start(submission())
    assert list((tmp_path / "JobOutput").glob("*.json")) == []
    assert list((tmp_path / "Running").glob("*/jobs/*")) == []


@contextmanager
def a_failing_disk(
    folder: Path, store: FileSystemStore, *kept: Path, only: Path | None = None
) -> Iterator[None]:
    """What is put into `folder` is there, but not durable; what is in one of `kept`, or is `only` this one,
    cannot be removed.
    """
    real = {call: getattr(os, call) for call in ("fsync", "unlink", "rename", "rmdir")}

    def sync(descriptor: int) -> None:
        if os.path.samestat(os.fstat(descriptor), os.stat(folder)):
            raise OSError("the disk refuses")
        real["fsync"](descriptor)

    def keep(call: str, path: str, *more: Any, **where: Any) -> None:
        if Path(path).parent in kept or Path(path) == only:
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        real[call](path, *more, **where)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store._journal, "write", lambda entries: False)
        patch.setattr(os, "fsync", sync)
        for call in ("unlink", "rename", "rmdir"):
            patch.setattr(os, call, partial(keep, call))
        yield


@contextmanager
def a_disk_that_cannot_sync(folder: Path, store: FileSystemStore) -> Iterator[None]:
    """What is put into `folder` is there, but not durable, and that is told."""
    with a_failing_disk(folder, store), pytest.raises(OSError, match="refuses"):
        yield


@pytest.fixture
async def waiting(store: FileSystemStore, tmp_path: Path) -> Path:
    """The folder in which alice's jobs wait."""
    await claimed(store, await store.add(submission()))
    return tmp_path / "JobSubmission" / "alice"


async def test_what_was_refused_and_could_not_be_removed_does_not_run_and_is_removed_later(
    store: FileSystemStore, waiting: Path
) -> None:
    refused = submission()
    with a_failing_disk(waiting, store, waiting):
        with pytest.raises(MayStillRunError, match=refused.job_id):
            await store.add(refused)
        assert len(list(waiting.glob("*.json"))) == 1
        assert (await store.look(())).found.jobs == []
        assert await store.locate(refused.job_id) is None
    assert (await store.look(())).found.jobs == []
    assert list(waiting.glob("*.json")) == []


async def test_submitted_again_under_its_id_it_runs(store: FileSystemStore, waiting: Path) -> None:
    refused = submission()
    with a_failing_disk(waiting, store, waiting), pytest.raises(MayStillRunError):
        await store.add(refused)
    pending = await store.add(refused)  # as a schedule does
    await store.look({pending.key})
    assert (await claimed(store, pending)).problem is None


async def test_after_a_restart_it_may_run_as_was_told(
    make_store: MakeStore, store: FileSystemStore, waiting: Path
) -> None:
    refused = submission()
    with a_failing_disk(waiting, store, waiting), pytest.raises(MayStillRunError):
        await store.add(refused)
    (found,) = (await (await make_store()).scan(())).jobs
    assert found.job_id == refused.job_id


@pytest.mark.parametrize("told", ["not taken", "may still run"])
async def test_a_start_that_was_refused_and_could_not_be_removed_is_removed_later(
    store: FileSystemStore, tmp_path: Path, told: str
) -> None:
    output, (jobs,) = tmp_path / "JobOutput", tmp_path.glob("Running/*/jobs")
    kept, error = (output,), OSError
    if told == "may still run":  # the next process would take it for one that had begun
        kept, error = (output, jobs), MayStillRunError
    with a_failing_disk(output, store, *kept), pytest.raises(error):
        await store.start(submission())
    assert len(list(output.glob("*.json"))) == 1
    await store.look(())
    assert [*output.glob("*.json"), *jobs.iterdir()] == []


async def test_a_deletion_that_the_disk_breaks_off_says_so_and_goes_on_when_it_is_repeated(
    store: FileSystemStore, tmp_path: Path
) -> None:
    first, second = await done(store), await done(store)
    kept = tmp_path / "JobResults" / f"{second}.json"
    with a_failing_disk(tmp_path, store, only=kept), pytest.raises(PartlyDeletedError):
        await store.results.delete([first, second])
    assert (await store.get_result(first), await store.get_result(second) is None) == (None, False)
    assert await store.results.delete([first, second]) == 1
    assert await store.get_result(second) is None


@pytest.mark.parametrize("output", ["out", "x" * 1_000_000], ids=["small", "large"])
@pytest.mark.parametrize("when", ["before", "meanwhile"])
async def test_a_result_that_was_deleted_before_the_disk_took_it_is_not_written_again(
    store: FileSystemStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, when: str
) -> None:
    job = await claimed(store, await store.add(submission()))
    result = result_of(job, output=output)
    with a_disk_that_cannot_sync(tmp_path / "JobResults", store):
        await store.finish(job, result)
    if when == "before":
        assert await store.delete_result(job.job_id)
    else:
        real = os.replace

        def replace(source: str, target: str) -> None:
            if str(target).endswith(f"{job.job_id}.json"):
                assert store._files.delete([job.job_id])
            real(source, target)

        monkeypatch.setattr(os, "replace", replace)
    await store.finish(job, result)
    assert await store.get_result(job.job_id) is None
    assert await store.list_results("alice", 9) == []
    await until(lambda: not Path(job.run_dir).exists(), "letting go of the job's folder")
    left = [path for folder in ("JobResults", "JobOutput") for path in (tmp_path / folder).glob("*.json")]
    assert [*left, *tmp_path.glob("Running/*/scratch/.*.tmp")] == []


async def test_a_next_attempt_that_has_ended_and_was_deleted_before_the_disk_took_it_does_not_wait_again(
    make_store: MakeStore, tmp_path: Path
) -> None:
    store, other = await make_store(), await make_store()
    policy = RetryPolicy(count=1, backoff_seconds=0, on=(JobStatus.FAILED,))
    job = await claimed(store, await store.add(submission(retry=policy)))
    failed = result_of(job, status=JobStatus.FAILED)
    with a_disk_that_cannot_sync(tmp_path / "JobSubmission" / "alice", store):
        await store.retry(job, failed, utc_now())
    (found,) = (await other.scan(())).jobs
    following = await claimed(other, found)
    await other.finish(following, result_of(following, attempt=2))
    assert await other.delete_result(job.job_id)
    again = await store.retry(job, failed, utc_now())
    assert await store.claim(again) is None
    assert [*tmp_path.glob("JobSubmission/*/*.json"), *tmp_path.glob("JobOutput/*.json")] == []
    assert not Path(job.run_dir).exists()


@pytest.mark.parametrize("others", [0, 1], ids=["alone", "with another"])
async def test_a_claim_that_can_neither_be_made_durable_nor_taken_back_is_made_again(
    make_store: MakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    store = await make_store()
    for _ in range(others):
        await make_store()
    pending = await store.add(submission())
    real = os.rename

    def refuse(source: str, target: str, **more: int) -> None:
        if target == pending.key:
            raise OSError("the disk refuses that, too")
        real(source, target, **more)

    with a_disk_that_cannot_sync(tmp_path / "JobOutput", store):
        monkeypatch.setattr(os, "rename", refuse)
        await store.claim(pending)
    monkeypatch.undo()
    seen = await store.look_at_others(lambda: [pending], ())
    assert seen is None or seen.taken == []
    again = await claimed(store, pending)
    assert (again.job_id, again.problem, again.submission.command) == (pending.job_id, None, "true")
    await store.finish(again, result_of(again))
    await until(lambda: not list(tmp_path.glob("Running/*/jobs/*")), "letting go of the job's folder")


async def test_secret_values_that_the_disk_keeps_at_a_jobs_end_are_removed_when_it_lets_them_go(
    store: FileSystemStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await claimed(store, await store.add(submission(sealed_values="sealed")))
    real, refused = os.replace, asyncio.Event()
    loop = asyncio.get_running_loop()

    def refuse(source: str, target: str) -> None:
        if Path(target).parent.name == "JobOutput":
            loop.call_soon_threadsafe(refused.set)
            raise OSError("the disk refuses")
        real(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    await store.finish(job, result_of(job))
    await asyncio.wait_for(refused.wait(), PATIENCE_SECONDS)
    await store.look(())
    assert Path(job.run_dir).exists()
    monkeypatch.undo()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while Path(job.run_dir).exists():
            await store.look(())
    (file,) = (tmp_path / "JobOutput").glob("*.json")
    assert json.loads(file.read_bytes())["SealedValues"] == ""


async def test_a_living_processs_jobs_are_left_to_it(make_store: MakeStore) -> None:
    one, other = await make_store(), await make_store()
    await claimed(one, await one.add(submission()))
    assert await other.lost() == []


@pytest.mark.parametrize("damage", ["delete", "garbage"])
async def test_losing_the_index_loses_nothing(make_store: MakeStore, tmp_path: Path, damage: str) -> None:
    store = FileSystemStore(tmp_path, max_submission_bytes=10_000, allow_unsigned=False)
    await store.open()
    kept = {await done(store) for _ in range(5)}
    await store.close()
    for path in tmp_path.glob("results.index.sqlite3*"):
        path.unlink() if damage == "delete" else path.write_bytes(b"garbage" * 1000)
    again = await make_store()
    assert {record["JobID"] for record in await again.list_results("alice", 10)} == kept


async def test_results_added_and_removed_by_other_programs_are_seen(
    store: FileSystemStore, tmp_path: Path
) -> None:
    first = await done(store)
    record = json.loads((tmp_path / "JobResults" / f"{first}.json").read_text())
    other = new_job_id()
    (tmp_path / "JobResults" / f"{other}.json").write_text(json.dumps(record | {"JobID": other}))
    (tmp_path / "JobResults" / f"{new_job_id()}.json").write_text("{broken")
    await store.results.catch_up()
    assert {each["JobID"] for each in await store.list_results("alice", 10)} == {first, other}
    (tmp_path / "JobResults" / f"{first}.json").unlink()
    assert [each["JobID"] for each in await store.list_results("alice", 10)] == [other]


async def test_what_this_process_has_written_is_not_read_again_to_index_it(
    store: FileSystemStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    real = ResultFiles.read

    def reading(files: ResultFiles, job_id: str) -> dict[str, Any] | None:
        read.append(job_id)
        return real(files, job_id)

    monkeypatch.setattr(ResultFiles, "read", reading)
    kept = {await done(store) for _ in range(20)}
    await store.results.catch_up()
    assert not read
    assert {record["JobID"] for record in await store.list_results("alice", 100)} == kept


async def test_nobody_waits_for_a_large_result(
    store: FileSystemStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gate, real = threading.Event(), os.fsync

    def slow_disk(descriptor: int) -> None:
        if os.fstat(descriptor).st_size > 1_000_000:
            gate.wait(30)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", slow_disk)
    large = await claimed(store, await store.add(submission()))
    finishing = asyncio.create_task(store.finish(large, result_of(large, output="x" * 1_000_000)))
    try:
        small = await asyncio.wait_for(done(store), PATIENCE_SECONDS)
        assert not finishing.done()
        assert await store.get_result(large.job_id) is None, "not before it is on the disk"
    finally:
        gate.set()
    await finishing
    assert {each["JobID"] for each in await store.list_results("alice", 9)} == {small, large.job_id}
    await until(lambda: not Path(large.run_dir).exists(), "letting go of the job's folder")
    assert not list(tmp_path.glob("Running/*/scratch/.*.tmp"))


async def test_a_large_result_that_the_disk_refuses_leaves_nothing_and_may_be_tried_again(
    store: FileSystemStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    job, real, refused = await claimed(store, await store.add(submission())), os.fsync, list[int]()

    def full_disk(descriptor: int) -> None:
        # Not the journal's files, which are larger and may only now be made.
        if 1_000_000 < os.fstat(descriptor).st_size < 1_100_000 and not refused:
            refused.append(descriptor)
            raise OSError("the disk is full")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full_disk)
    result = result_of(job, output="x" * 1_000_000)
    with pytest.raises(OSError, match="full"):
        await store.finish(job, result)
    assert not list(tmp_path.glob("Running/*/scratch/.*.tmp"))
    await store.finish(job, result)
    assert (await store.get_result(job.job_id) or {})["Output"] == result.output


async def test_of_a_large_result_that_cannot_take_its_place_nothing_is_left(
    store: FileSystemStore, tmp_path: Path
) -> None:
    job = await claimed(store, await store.add(submission()))
    results = tmp_path / "JobResults"
    aside = results.rename(tmp_path / "aside")
    result = result_of(job, output="x" * 1_000_000)
    with pytest.raises(OSError, match="directory"):
        await store.finish(job, result)
    assert not list(tmp_path.glob("Running/*/scratch/.*.tmp"))
    aside.rename(results)
    await store.finish(job, result)
    assert (await store.get_result(job.job_id) or {})["Output"] == result.output


async def test_results_are_ones_own_newest_first_and_limited(store: FileSystemStore) -> None:
    mine = [await done(store) for _ in range(4)]
    await done(store, user_id="bob")
    listed = [record["JobID"] for record in await store.list_results("alice", 3)]
    assert listed == mine[::-1][:3]
    assert len(await store.list_results(None, 10)) == 5


async def test_a_store_that_is_woken_while_it_closes_still_ends(tmp_path: Path) -> None:
    for turns in range(6):
        store = FileSystemStore(
            tmp_path, max_submission_bytes=10_000, allow_unsigned=False, index_interval=3600
        )
        await store.open()
        await store.results.catch_up()
        await asyncio.sleep(0.05)
        store.results.look_soon()
        for _ in range(turns):
            await asyncio.sleep(0)
        closing = asyncio.create_task(store.close())
        done, _ = await asyncio.wait([closing], timeout=PATIENCE_SECONDS)
        assert closing in done
