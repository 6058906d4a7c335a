"""The folders of a process's jobs: some wait for the next ones."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from aiohttp_jobs.engine.postgres.run_folders import RunningFolders
from aiohttp_jobs.worker.base import WORK


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[RunningFolders]:
    running = RunningFolders(tmp_path / "Running" / "1")
    running.open()
    yield running
    running.close()


def test_each_job_has_folders_of_its_own(folders: RunningFolders) -> None:
    folders.stock()
    first, second = folders.spare(), folders.spare()
    assert first is not None
    assert second is not None
    assert {*first}.isdisjoint(second)
    assert (Path(first.job_dir) / WORK).is_dir()
    assert folders.spare() is None
    assert {*folders.take()}.isdisjoint({*first, *second})


@pytest.mark.parametrize("which", ["run_dir", "job_dir"])
def test_no_job_is_given_folders_that_somebody_has_removed_since_long(tmp_path: Path, which: str) -> None:
    folders = RunningFolders(tmp_path / "Running" / "1", sure_seconds=0)
    folders.open()
    folders.stock()
    removed = folders.take()
    for left in Path(getattr(removed, which)).parent.iterdir():
        shutil.rmtree(left)
    assert folders.spare() is None, "nobody has looked whether they are there"
    taken = folders.take()
    assert Path(taken.run_dir).is_dir()
    assert (Path(taken.job_dir) / WORK).is_dir()
    folders.close()
