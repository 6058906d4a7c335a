"""The folders of the jobs that this process runs: what is kept of each, where it works. All calls block."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from ...system.atomic import make_folder, replace_file
from ...system.guarded_files import LockBusyError, is_folder, lock_file, locked, read_file
from ...system.jsontext import dumps, loads
from ...system.removal import remove_tree
from ...worker.base import WORK

VERDICT = "verdict.json"
"""In the host's folder about a job: the result that the database did not take yet."""
_LOCK = "lock"
_RUN = "run"
_LARGEST_VERDICT = 512 * 1024 * 1024


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
        self._lock = lock_file(self._base / _LOCK, 0.0)
        make_folder(self._base / _RUN)  # last: by it others see that there is something to look at

    def close(self) -> None:
        """Remove what is left, but for verdicts that could not be given. Does not fail."""
        os.close(self._lock)
        _clear(self._base)

    def keep_verdict(self, folders: RunFolders, verdict: Mapping[str, Any]) -> None:
        """Keep what a process that comes after this one needs to give the verdict; once for each folder."""
        path = Path(folders.run_dir) / VERDICT
        if not path.exists():
            replace_file(path, dumps(verdict))

    def left_verdicts(self) -> list[tuple[RunFolders, dict[str, Any]]]:
        """The verdicts that processes have left here which are gone. The folders are this one's now.

        What else those processes have left is removed.
        """
        found: list[tuple[RunFolders, dict[str, Any]]] = []
        for folder in self._base.parent.iterdir():
            # The other engine's folders, which may be here too, have none of that name.
            if folder == self._base or not is_folder(folder / _RUN):
                continue
            with suppress(OSError, LockBusyError), locked(folder / _LOCK, 0.0):
                for run in (folder / _RUN).glob("*"):
                    if (run / VERDICT).exists():
                        run = run.rename(self._base / _RUN / run.name)  # noqa: PLW2901
                        found.append((RunFolders(str(run), ""), _read(run / VERDICT)))
                shutil.rmtree(folder, ignore_errors=True)
        return found

    def make(self, job_id: str, fence: int) -> RunFolders:
        """New ones, in trees of their own: by its own folder a job meets nothing of the host's."""
        name = f"{job_id}-{fence}"
        run, job = self._base / _RUN / name, self._base / "job" / name
        make_folder(run)
        make_folder(job / WORK)
        return RunFolders(str(run), str(job))

    def remove(self, folders: RunFolders) -> None:
        for folder in filter(None, folders):
            remove_tree(Path(folder))


def _clear(base: Path) -> None:
    kept = list((base / _RUN).glob(f"*/{VERDICT}"))
    if not kept:
        shutil.rmtree(base, ignore_errors=True)
        return
    shutil.rmtree(base / "job", ignore_errors=True)
    for run in (base / _RUN).iterdir():
        if not (run / VERDICT).exists():
            shutil.rmtree(run, ignore_errors=True)


def _read(path: Path) -> dict[str, Any]:
    """What a verdict says; nothing when it is damaged."""
    try:
        found = loads(read_file(path, _LARGEST_VERDICT))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
