"""The folders of the jobs that this process runs: one for its own files, and one in which the job works.

All calls except `RunningFolders.spare` and `RunningFolders.remove` block.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from ...system.atomic import make_folder, replace_file, sync_folder
from ...system.guarded_files import LockBusyError, is_folder, lock_file, locked, read_file
from ...system.jsontext import dumps, loads
from ...system.removal import Sweeper
from ...worker.base import WORK

VERDICT = "verdict.json"
"""The file in the host's folder of a job with a result that the database has not accepted yet."""
_LOCK = "lock"
_RUN = "run"
_JOB = "job"
_SWEEP_SECONDS = 5.0
_SPARES = 2
"""How many jobs find their folders ready: a job alone, and one that comes as it ends."""
_SURE_SECONDS = 60.0
_LARGEST_VERDICT = 512 * 1024 * 1024


class RunFolders(NamedTuple):
    """The folders of a running job: the host's, and the job's own, which contains `WORK`."""

    run_dir: str
    job_dir: str


class _Spare(NamedTuple):
    """Folders that nobody has had, and when they were made (by the monotonic clock)."""

    folders: RunFolders
    since: float


class RunningFolders:
    """The folders below `base`, which no other process uses at the same time, and no other user can read.

    Those that were made less than `sure_seconds` ago are taken to be there still.
    """

    def __init__(self, base: Path, sure_seconds: float = _SURE_SECONDS) -> None:
        self._base = base
        self._sure_seconds = sure_seconds
        self._sweeper = Sweeper()
        self._spares: deque[_Spare] = deque()

    def open(self) -> None:
        make_folder(self._base)
        self._lock = lock_file(self._base / _LOCK, 0.0)
        self._sweeper.open()
        make_folder(self._base / _JOB)
        make_folder(self._base / _RUN)  # last: by it others see that there is something to look at

    def close(self) -> None:
        """Remove everything except verdicts that could not be given. Does not fail."""
        self._sweeper.close(_SWEEP_SECONDS)
        os.close(self._lock)
        _clear(self._base)

    def keep_verdict(self, folders: RunFolders, verdict: Mapping[str, Any]) -> None:
        """Store what a later process needs to give the verdict. Only the first call for a folder does so."""
        path = Path(folders.run_dir) / VERDICT
        if not path.exists():
            replace_file(path, dumps(verdict))
            sync_folder(path.parent.parent)  # which nobody did when the folder was made

    def left_verdicts(self) -> list[tuple[RunFolders, dict[str, Any]]]:
        """Verdicts that ended processes left, with their folders, which now belong to this process.

        Everything else that those processes left is removed.
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

    def spare(self) -> RunFolders | None:
        """Folders that nobody has had, for a job; ``None`` when there are none that are sure to be there."""
        with suppress(IndexError):
            newest = self._spares.pop()
            if time.monotonic() - newest.since < self._sure_seconds:
                return newest.folders
            self._spares.append(newest)
        return None

    def take(self) -> RunFolders:
        """Folders that nobody has had, for a job: some that are ready, or new ones."""
        with suppress(IndexError):
            while True:
                folders = self._spares.popleft().folders
                # What cleans up after days, as under /tmp, may have removed those that nobody used.
                if is_folder(folders.run_dir) and is_folder(f"{folders.job_dir}/{WORK}"):
                    return folders
        return self.make()

    def stock(self) -> None:
        """Have some ready for the next jobs. In one thread at a time."""
        while len(self._spares) < _SPARES:
            self._spares.append(_Spare(self.make(), time.monotonic()))

    def make(self) -> RunFolders:
        """Create the folders of a job, in separate trees: nothing of the host's is above the job's folder.

        They are not synced, as nobody looks for them after a power cut: syncing took longer than everything
        else that is done for a short job.
        """
        name = str(uuid.uuid4())
        folders = RunFolders(f"{self._base}/{_RUN}/{name}", f"{self._base}/{_JOB}/{name}")
        for folder in (*folders, f"{folders.job_dir}/{WORK}"):
            _make(folder)
        return folders

    def remove(self, folders: RunFolders) -> None:
        """Remove the folders in the background. Does not block."""
        self._sweeper.remove(filter(None, folders))


def _make(folder: str) -> None:
    try:
        os.mkdir(folder, 0o700)
    except OSError:  # one is there, or what it is to be in is not
        make_folder(Path(folder))


def _clear(base: Path) -> None:
    kept = list((base / _RUN).glob(f"*/{VERDICT}"))
    if not kept:
        shutil.rmtree(base, ignore_errors=True)
        return
    shutil.rmtree(base / _JOB, ignore_errors=True)
    for run in (base / _RUN).iterdir():
        if not (run / VERDICT).exists():
            shutil.rmtree(run, ignore_errors=True)


def _read(path: Path) -> dict[str, Any]:
    """The contents of a file with a verdict; empty when it is damaged."""
    try:
        found = loads(read_file(path, _LARGEST_VERDICT))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
