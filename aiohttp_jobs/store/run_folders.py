"""The folders in which jobs run: made for each, and used again when a job has left nothing in one.

Making and removing folders is what costs a file system most. All calls block; from one thread, if nothing
else is said.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import stat
import time
from pathlib import Path
from typing import NamedTuple

from ..execution.base import WORK
from ..execution.segments import owner_only
from .timestamps import is_settled

_MOST_SPARE = 16
_MOST_SPARE_USERS = 64


class _State(NamedTuple):
    """Of a folder and the working folder in it: another one once a job has left anything in either."""

    mode: int
    modified: int
    work_mode: int
    work_modified: int
    work_changed: int

    @classmethod
    def of(cls, folder: str) -> _State | None:
        try:
            at, work = os.lstat(folder), os.lstat(f"{folder}/{WORK}")
        except OSError:
            return None
        return cls(at.st_mode, at.st_mtime_ns, work.st_mode, work.st_mtime_ns, work.st_ctime_ns)

    @property
    def last_change(self) -> int:
        return max(self.modified, self.work_modified, self.work_changed)


class _Spare(NamedTuple):
    """A folder that is as new; with its state, if that will tell whether it still is."""

    place: str
    state: _State | None


class RunFolders:
    """The folders in `jobs`; those kept for the next job lie in `scratch`."""

    def __init__(self, jobs: str, scratch: str) -> None:
        self._jobs = jobs
        self._scratch = scratch
        self._spare: dict[str, list[_Spare]] = {}
        self._begun: dict[str, _State] = {}
        self._left: list[str] = []
        self._numbers = itertools.count()

    def begin(self, run: str, user_folder: str, *, signed: bool) -> str:
        """A private folder for the running job whose submission file is called `run`, with `WORK` in it.

        Whose it is can be read in a `signed` submission; for others it is kept in the folder.
        """
        folder = f"{self._jobs}/{run}"
        spare = self._spare.get(user_folder)
        try:
            if not spare:
                raise FileNotFoundError
            place, state = spare.pop()
            os.rename(place, folder)
        except OSError:
            _make(folder)
        else:
            if state is not None:
                self._begun[run] = state
        if not signed:
            mark_owner(Path(folder), user_folder)
        return folder

    def end(self, run: str, user_folder: str) -> None:
        """Let go of a job's folder: the next job of the same user gets it, if the last left nothing."""
        if len(self._spare) >= _MOST_SPARE_USERS and user_folder not in self._spare:
            self._drop_spare()
        folder, spare = f"{self._jobs}/{run}", self._spare.setdefault(user_folder, [])
        place, state = f"{self._scratch}/run.{next(self._numbers)}", self._begun.pop(run, None)
        try:
            os.rename(folder, place)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            return
        asked, found = time.time_ns(), _State.of(place)
        is_unchanged = state is not None and state == found
        if len(spare) < _MOST_SPARE and (is_unchanged or _is_as_new(place)):
            will_tell = found is not None and is_settled(found.last_change, asked)
            spare.append(_Spare(place, found if will_tell else None))
        else:
            self._left.append(place)

    def sweep(self) -> None:
        """Remove what jobs have left behind, which is more work than the rest and which nobody waits for."""
        while self._left:
            shutil.rmtree(self._left.pop(), ignore_errors=True)

    def remove(self, run: str) -> None:
        """Remove a job's folder, which nobody is to use again; from any thread."""
        self._begun.pop(run, None)
        shutil.rmtree(f"{self._jobs}/{run}", ignore_errors=True)

    def _drop_spare(self) -> None:
        self._left += [folder for spare in self._spare.values() for folder, _ in spare]
        self._spare.clear()


def _make(folder: str) -> None:
    try:
        for made in (folder, f"{folder}/{WORK}"):
            with contextlib.suppress(FileExistsError):
                os.mkdir(made, 0o700)
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def mark_owner(folder: Path, user_folder: str) -> None:
    """Keep in a running job's `folder` in which user's folder its submission lay."""
    with open(folder / "owner", "wb", opener=owner_only) as file:
        file.write(os.fsencode(user_folder))


def owner_in(folder: Path) -> str | None:
    try:
        return os.fsdecode((folder / "owner").read_bytes())
    except FileNotFoundError:
        return None


def _is_as_new(folder: str) -> bool:
    """Remove the host's own files from a job's `folder`; whether only an empty working folder is left."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if name != WORK:
                os.unlink(f"{folder}/{name}")
        work = f"{folder}/{WORK}"
        return not os.listdir(work) and os.lstat(work).st_mode == stat.S_IFDIR | 0o700
    return False
