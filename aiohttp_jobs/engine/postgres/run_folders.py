"""The folders of the jobs that this process runs: what is kept of each, where it works. All calls block."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from ...system.atomic import make_folder
from ...system.removal import remove_tree
from ...worker.base import WORK


class RunFolders(NamedTuple):
    """Of a running job: the host's folder about it, and the job's own, with `WORK` in it."""

    run_dir: str
    job_dir: str


class RunningFolders:
    """Below `base`, which no other process uses at the same time; private to this host's user."""

    def __init__(self, base: Path) -> None:
        self._base = base

    def open(self) -> None:
        make_folder(self._base)

    def close(self) -> None:
        """Remove what is left. Does not fail."""
        shutil.rmtree(self._base, ignore_errors=True)

    def make(self, job_id: str, fence: int) -> RunFolders:
        """New ones, in trees of their own: by its own folder a job meets nothing of the host's."""
        name = f"{job_id}-{fence}"
        run, job = self._base / "run" / name, self._base / "job" / name
        make_folder(run)
        make_folder(job / WORK)
        return RunFolders(str(run), str(job))

    def remove(self, folders: RunFolders) -> None:
        for folder in folders:
            remove_tree(Path(folder))
