"""After a power cut nothing that was promised is lost, and nothing runs a second time.

The cut is made by hand: the process's folder is copied while the store is open, and files that were
never synced are removed, emptied or moved back, as file systems do.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from aiohttp_jobs.engine.base import ClaimedJob
from aiohttp_jobs.engine.embedded.files import journal
from aiohttp_jobs.engine.embedded.queue import PendingJob
from aiohttp_jobs.engine.embedded.store import FileSystemStore
from aiohttp_jobs.model.job import (
    ExecutionMode,
    JobResult,
    JobStatus,
    RetryPolicy,
    Submission,
    new_job_id,
    utc_now,
)
from aiohttp_jobs.system.app_folder import APP_FOLDER

from ....conftest import Host

Damage = Callable[[Path], None]


def submission(**fields: object) -> Submission:
    given = {
        "job_id": new_job_id(),
        "user_id": "alice",
        "job_name": "test",
        "command": "echo hi",
        "execution_mode": ExecutionMode.BACKGROUND_JOB,
        "submitted_at": utc_now(),
    }
    return Submission.model_validate(given | fields)


def result_of(claimed: ClaimedJob) -> JobResult:
    job = claimed.submission
    return JobResult(
        job_id=job.job_id,
        user_id=job.user_id,
        session_id=job.session_id,
        job_name=job.job_name,
        command=job.command,
        description="",
        execution_mode=job.execution_mode,
        date_started=utc_now(),
        date_completed=utc_now(),
        runtime=0.1,
        output="hi\n",
        success=True,
        status=JobStatus.SUCCEEDED,
    )


def new_store(base: Path) -> FileSystemStore:
    return FileSystemStore(base, max_submission_bytes=100_000, allow_unsigned=False)


async def opened(base: Path) -> FileSystemStore:
    store = new_store(base)
    await store.open()
    for _ in range(3000):
        if store._journal.write([]):
            return store
        await asyncio.sleep(0.01)
    raise AssertionError("the journal was not made")


class PowerCut:
    """Runs `before` on a store, cuts the power, and opens a store on what `damage` leaves."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._before, self.base = tmp_path / "before", tmp_path / "after"
        self._monkeypatch = monkeypatch

    async def __call__(
        self, before: Callable[[FileSystemStore], Awaitable[object]], damage: Damage
    ) -> FileSystemStore:
        store = await opened(self._before)
        await before(store)
        await self._copy()
        await store.close()
        damage(self.base)
        self._monkeypatch.setattr(journal, "boot_id", lambda: "another")
        store = new_store(self.base)
        await store.open()
        return store

    async def _copy(self) -> None:
        """As it is at one moment: not while the store lets go of a job's folder."""
        for _ in range(100):
            try:
                shutil.copytree(self._before, self.base)
                return
            except shutil.Error:
                shutil.rmtree(self.base, ignore_errors=True)
                await asyncio.sleep(0.02)
        raise AssertionError("the store does not come to rest")


@pytest.fixture
def power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PowerCut:
    return PowerCut(tmp_path, monkeypatch)


def files(base: Path, folder: str) -> list[Path]:
    return [path for path in (base / folder).rglob("*.json") if path.is_file()]


def lost(*folders: str) -> Damage:
    def damage(base: Path) -> None:
        for folder in folders:
            for path in files(base, folder):
                path.unlink()

    return damage


def emptied(*folders: str) -> Damage:
    def damage(base: Path) -> None:
        for folder in folders:
            for path in files(base, folder):
                path.write_bytes(b"")

    return damage


def no_run_folders(base: Path) -> None:
    for folder in (base / "Running").glob("*/jobs/*"):
        shutil.rmtree(folder)


@pytest.mark.parametrize("damage", [lost("JobSubmission"), emptied("JobSubmission"), lambda _: None])
async def test_an_accepted_submission_waits(power_cut: PowerCut, damage: Damage) -> None:
    job = submission()
    store = await power_cut(lambda store: store.add(job), damage)
    assert await store.lost() == []
    pending = (await store.scan(())).jobs
    assert [(found.job_id, found.problem) for found in pending] == [(job.job_id, None)]
    await store.close()


def moved_back(base: Path) -> None:
    """The file was renamed, but not in what reached the disk."""
    (path,) = files(base, "JobOutput")
    path.rename(base / "JobSubmission" / "alice" / path.name)
    no_run_folders(base)


def lost_with_its_folder(base: Path) -> None:
    lost("JobOutput", "JobSubmission")(base)
    no_run_folders(base)


@pytest.mark.parametrize(
    "damage",
    [moved_back, lost_with_its_folder, no_run_folders, emptied("JobOutput"), lambda _: None],
)
async def test_what_was_picked_up_is_interrupted_and_not_run_again(
    power_cut: PowerCut, damage: Damage
) -> None:
    job = submission()

    async def before(store: FileSystemStore) -> None:
        assert await store.claim(await store.add(job)) is not None

    store = await power_cut(before, damage)
    (found,) = await store.lost()
    assert (found.claimed.job_id, found.claimed.problem) == (job.job_id, None)
    assert found.claimed.submission.command == "echo hi"
    assert (await store.scan(())).jobs == []
    await store.finish(found.claimed, result_of(found.claimed))
    await store.close()


@pytest.mark.parametrize(
    "damage", [lost_with_its_folder, no_run_folders, emptied("JobOutput"), lambda _: None]
)
async def test_what_was_accepted_and_started_at_once_is_interrupted(
    power_cut: PowerCut, damage: Damage
) -> None:
    job = submission()
    store = await power_cut(lambda store: store.start(job), damage)
    (found,) = await store.lost()
    assert (found.claimed.job_id, found.claimed.problem) == (job.job_id, None)
    assert found.claimed.submission.command == "echo hi"
    assert (await store.scan(())).jobs == []
    await store.finish(found.claimed, result_of(found.claimed))
    await store.close()


async def run_once(store: FileSystemStore, job: Submission) -> ClaimedJob:
    claimed = await store.claim(await store.add(job))
    assert claimed is not None
    await store.finish(claimed, result_of(claimed))
    return claimed


@pytest.mark.parametrize(
    "damage",
    [lost("JobResults"), emptied("JobResults"), lost("JobResults", "JobOutput"), lambda _: None],
)
async def test_a_result_is_there(power_cut: PowerCut, damage: Damage) -> None:
    job = submission()
    store = await power_cut(lambda store: run_once(store, job), damage)
    assert await store.lost() == []
    assert (await store.scan(())).jobs == []
    record = await store.get_result(job.job_id)
    assert record is not None
    assert record["Output"] == "hi\n"
    await store.close()


@pytest.mark.parametrize("damage", [no_run_folders, lambda _: None])
async def test_a_result_that_nothing_tells_of_is_no_result(power_cut: PowerCut, damage: Damage) -> None:
    """The process was killed between the file and the journal, and then the power failed."""
    job = submission()

    async def before(store: FileSystemStore) -> None:
        assert await store.claim(await store.add(job)) is not None

    def empty_result(base: Path) -> None:
        (base / "JobResults" / f"{job.job_id}.json").touch()
        damage(base)

    store = await power_cut(before, empty_result)
    assert await store.get_result(job.job_id) is None
    (found,) = await store.lost()
    assert found.claimed.job_id == job.job_id
    await store.finish(found.claimed, result_of(found.claimed))
    record = await store.get_result(job.job_id)
    assert record is not None
    assert record["Output"] == "hi\n"
    await store.close()


async def test_a_deleted_result_stays_deleted(power_cut: PowerCut) -> None:
    job = submission()

    async def before(store: FileSystemStore) -> None:
        await run_once(store, job)
        await store.delete_result(job.job_id)

    store = await power_cut(before, lambda _: None)
    assert await store.lost() == []
    assert await store.get_result(job.job_id) is None
    assert (await store.scan(())).jobs == []
    await store.close()


async def test_the_next_attempt_goes_on_waiting(power_cut: PowerCut) -> None:
    job = submission(retry=RetryPolicy(count=2))
    following: list[PendingJob] = []

    async def before(store: FileSystemStore) -> None:
        claimed = await store.claim(await store.add(job))
        assert claimed is not None
        following.append(await store.retry(claimed, result_of(claimed), utc_now()))

    store = await power_cut(before, no_run_folders)
    assert await store.lost() == []
    assert [(found.job_id, found.attempt) for found in (await store.scan(())).jobs] == [(job.job_id, 2)]
    await store.close()


async def test_a_process_that_starts_meanwhile_waits_for_it(power_cut: PowerCut) -> None:
    job = submission()

    async def before(store: FileSystemStore) -> None:
        assert await store.claim(await store.add(job)) is not None

    one = await power_cut(before, moved_back)
    other = new_store(power_cut.base)
    await other.open()
    found = await asyncio.gather(one.lost(), other.lost())
    assert sorted(map(len, found)) == [0, 1]
    assert (await one.scan(())).jobs == (await other.scan(())).jobs == []
    await one.close()
    await other.close()


async def test_no_request_meets_what_was_not_put_back_yet(
    start_host: Callable[..., Awaitable[Host]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, done = submission(roles=["debug"]), submission()
    base = tmp_path / "data" / APP_FOLDER
    store = await opened(tmp_path / "before")
    await run_once(store, done)
    await store.add(job)
    shutil.copytree(tmp_path / "before", base)
    await store.close()
    emptied("JobSubmission", "JobResults")(base)
    for path in files(base, "JobSubmission"):
        os.utime(path, (0, 0))  # or else it might still be being written
    monkeypatch.setattr(journal, "boot_id", lambda: "another")

    recovery = os.open(base / "Running" / ".recovery", os.O_RDWR | os.O_CREAT)
    fcntl.flock(recovery, fcntl.LOCK_EX)
    asyncio.get_running_loop().call_later(0.5, os.close, recovery)
    host = await start_host()
    alice = host.caller("debug")
    for path in ("/jobs", "/jobs?state=queued", f"/jobs/{job.job_id}") * 3:
        await alice.request("GET", path)
    assert (await alice.request("GET", f"/jobs/{done.job_id}")).body["job"]["Status"] == "Succeeded"
    assert (await alice.result(job.job_id))["Status"] == "Succeeded"


async def test_a_file_that_was_exchanged_after_it_was_accepted_does_not_run(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    pending = await store.add(submission())
    path = Path(pending.key)
    record = json.loads(path.read_bytes()) | {"Command": "rm -rf /"}
    path.write_text(json.dumps(record))
    claimed = await store.claim(pending)
    assert claimed is not None
    assert claimed.problem is not None
    await store.finish(claimed, result_of(claimed))
    await store.close()


async def test_a_run_folder_is_used_again_only_by_the_same_user_and_only_empty(tmp_path: Path) -> None:
    store = await opened(tmp_path)

    async def inode(user_id: str, leave: str = "") -> int:
        claimed = await store.claim(await store.add(submission(user_id=user_id)))
        assert claimed is not None
        work = Path(claimed.job_dir, "work")
        assert list(work.iterdir()) == []
        if leave:
            (work / leave).touch()
        number = Path(claimed.job_dir).stat().st_ino
        await store.finish(claimed, result_of(claimed))
        return number

    first = await inode("alice")
    assert await inode("bob") != first
    assert await inode("alice", leave="file") == first
    for _ in range(3):
        await inode("alice")
    await store.close()
    assert list((tmp_path / "Running").glob("*/jobs/*")) == []
