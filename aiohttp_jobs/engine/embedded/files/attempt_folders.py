"""Creates, reuses and removes the folders of running jobs.

Each job has two, in different trees: the run folder, in which the host stores what it writes about the job,
and the job's own folder, in which its command works, so that a job does not come across the host's files.
Folders are reused when a job left nothing in them, because creating and removing folders is the most
expensive operation of a file system. All calls block; from one thread, unless stated otherwise.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import stat
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from ....system.guarded_files import PathState, UnreadableFileError, open_in_place, read_file
from ....system.removal import remove_tree
from ....worker.base import WORK
from .layout import is_settled
from .left_undone import LeftUndone

_MOST_SPARE = 64
"""Of a user. With fewer than there are jobs at once, those beyond have folders made and removed for each."""
_MOST_SPARE_USERS = 64
_MOST_SPARE_IN_ALL = 1024
_MOST_ENTRIES = 16
_LONGEST_NAME = 255
_PRIVATE = stat.S_IFDIR | 0o700


class Folders(NamedTuple):
    """The folders of a running job: the host's folder about it, and the job's own, which contains `WORK`."""

    run_dir: str
    job_dir: str


States = tuple[PathState | None, ...]


class _Spare(NamedTuple):
    """A folder that is as new; `will_tell`: its states show whether it still is."""

    place: str
    states: States
    will_tell: bool

    def is_untouched(self, states: States) -> bool:
        """Whether the folder, with `states` now, is still the same, as far as that can be told."""
        if self.will_tell:
            return states == self.states
        return all(
            now is not None and then is not None and (now.mode, now.inode) == (then.mode, then.inode)
            for now, then in zip(states, self.states, strict=True)
        )


class _Begun(NamedTuple):
    """What is known of a running job's folders; the states only where they will tell of a change."""

    run_states: States | None
    job_dir: str
    job_states: States | None

    @property
    def will_tell(self) -> bool:
        return self.run_states is not None and self.job_states is not None


class _Ended(NamedTuple):
    """A job that has ended, and whose folders nobody has looked at since."""

    run: str
    user_folder: str
    begun: _Begun


class AttemptFolders:
    """Run folders are in `jobs`, the jobs' own in `work`, spare run folders in `scratch`.

    `discard` removes what it is given in the background. A run folder that a failing disk does not let go of
    is `left_undone`: its job would seem to run on.
    """

    def __init__(
        self,
        jobs: str,
        scratch: str,
        work: str,
        discard: Callable[[Sequence[str]], None],
        left_undone: LeftUndone,
    ) -> None:
        self._jobs = jobs
        self._scratch = scratch
        self._work = work
        self._discard = discard
        self._left_undone = left_undone
        self._spare_runs: list[_Spare] = []
        self._spare: dict[str, list[_Spare]] = {}
        self._begun: dict[str, _Begun] = {}
        self._ended: list[_Ended] = []
        self._left: list[str] = []
        self._numbers = itertools.count()

    def begin(self, run: str, user_folder: str, *, signed: bool) -> Folders:
        """Private folders for the running job whose submission file is called `run`.

        A `signed` submission names its owner; for others, the owner is recorded in the run folder.
        """
        run_dir = f"{self._jobs}/{run}"
        self._left_undone.drop(run_dir)
        begun = self._begun[run] = self._taken_over(run_dir, user_folder) or self._begin(run, user_folder)
        if not signed:
            try:
                mark_owner(Path(run_dir), user_folder)
            except OSError:
                self.remove(run)
                raise
        return Folders(run_dir, begun.job_dir)

    def _taken_over(self, run_dir: str, user_folder: str) -> _Begun | None:
        """Those of the user's last job, which it has left as they were: one look at each, and one rename."""
        while (ended := next((e for e in self._ended if e.user_folder == user_folder), None)) is not None:
            self._ended.remove(ended)
            place, begun = f"{self._jobs}/{ended.run}", ended.begun
            if begun.run_states == _run_states(place) and begun.job_states == _job_states(begun.job_dir):
                with contextlib.suppress(OSError):  # somebody has removed it
                    os.rename(place, run_dir)
                    return begun
            self._put_away(ended.run, user_folder, begun)
        return None

    def _begin(self, run: str, user_folder: str) -> _Begun:
        run_states = self._begin_run(f"{self._jobs}/{run}")
        try:
            job_dir, job_states = self._begin_job(user_folder)
        except OSError:
            self._clear(run)
            raise
        return _Begun(run_states, job_dir, job_states)

    def _begin_run(self, run_dir: str) -> States | None:
        if self._spare_runs:
            spare = self._spare_runs.pop()
            try:
                os.rename(spare.place, run_dir)
            except OSError:  # somebody has removed it
                pass
            else:
                return spare.states if spare.will_tell else None
        with contextlib.suppress(FileExistsError):
            os.mkdir(run_dir, 0o700)
        return None

    def _begin_job(self, user_folder: str) -> tuple[str, States | None]:
        """A spare folder is looked at again: what an earlier job left running may have been there."""
        spares = self._spare.get(user_folder)
        while spares:
            spare = spares.pop()
            if spare.is_untouched(_job_states(spare.place)):
                return spare.place, spare.states if spare.will_tell else None
            self._left.append(spare.place)
        job_dir = f"{self._work}/{secrets.token_hex(8)}"
        with contextlib.suppress(FileNotFoundError):
            os.mkdir(job_dir, 0o700)
            os.mkdir(f"{job_dir}/{WORK}", 0o700)
            return job_dir, None
        os.makedirs(self._work, 0o700, exist_ok=True)  # the first job, or one has removed it
        os.mkdir(job_dir, 0o700)
        os.mkdir(f"{job_dir}/{WORK}", 0o700)
        return job_dir, None

    def end(self, run: str, user_folder: str) -> None:
        """Release a job's folders, for reuse by the user's next job if they are empty.

        Where their states tell whether they are, that is left to the next job, or to `sweep` if none comes.
        """
        begun = self._begun.pop(run, None)
        if begun is not None and begun.will_tell and len(self._ended) < _MOST_SPARE:
            self._ended.append(_Ended(run, user_folder, begun))
        else:
            self._put_away(run, user_folder, begun)

    def _put_away(self, run: str, user_folder: str, begun: _Begun | None) -> None:
        self._end_run(run, begun)
        if begun is not None:
            self._end_job(begun, user_folder)

    def _end_run(self, run: str, begun: _Begun | None) -> None:
        run_dir, place = f"{self._jobs}/{run}", f"{self._scratch}/run.{next(self._numbers)}"
        try:
            os.rename(run_dir, place)
        except OSError:
            self._clear(run)
            return
        asked, states = time.time_ns(), _run_states(place)
        is_unchanged = begun is not None and begun.run_states == states
        if len(self._spare_runs) < _MOST_SPARE and (is_unchanged or _is_emptied(place)):
            self._spare_runs.append(_spare(place, states if is_unchanged else _run_states(place), asked))
        else:
            self._left.append(place)

    def _end_job(self, begun: _Begun, user_folder: str) -> None:
        if self._has_no_room_for(user_folder):
            self._drop_spare()
        spares = self._spare.setdefault(user_folder, [])
        asked, states = time.time_ns(), _job_states(begun.job_dir)
        is_unchanged = begun.job_states == states
        if len(spares) < _MOST_SPARE and (is_unchanged or _is_as_new(begun.job_dir)):
            spares.append(
                _spare(begun.job_dir, states if is_unchanged else _job_states(begun.job_dir), asked)
            )
        else:
            self._left.append(begun.job_dir)

    def _has_no_room_for(self, user_folder: str) -> bool:
        if user_folder not in self._spare and len(self._spare) >= _MOST_SPARE_USERS:
            return True
        return sum(map(len, self._spare.values())) >= _MOST_SPARE_IN_ALL

    def sweep(self) -> None:
        """Remove what jobs have left behind. Slow, so it is done when nobody waits."""
        ended, self._ended = self._ended, []
        for each in ended:
            self._put_away(*each)
        left, self._left = self._left, []
        if left:
            self._discard(left)

    def remove(self, run: str) -> None:
        """Remove a job's folders for good; from any thread."""
        begun = self._begun.pop(run, None)
        self._clear(run)
        if begun is not None:
            self._discard([begun.job_dir])

    def _clear(self, run: str) -> None:
        """Have the run's folder out of sight, now or, if that is refused, later."""
        run_dir = f"{self._jobs}/{run}"
        try:
            self._put_aside(run_dir)
        except OSError:
            if not remove_tree(run_dir):
                self._left_undone.add(run_dir, partial(self._put_aside, run_dir))

    def _put_aside(self, run_dir: str) -> None:
        place = f"{self._scratch}/run.{next(self._numbers)}"
        try:
            os.rename(run_dir, place)
        except OSError:
            if os.path.lexists(run_dir):
                raise
        else:
            self._discard([place])

    def _drop_spare(self) -> None:
        self._left += [spare.place for spares in self._spare.values() for spare in spares]
        self._spare.clear()


def _run_states(run_dir: str) -> States:
    return (PathState.of(run_dir, is_moved=True),)


def _job_states(job_dir: str) -> States:
    return PathState.of(job_dir), PathState.of(f"{job_dir}/{WORK}")


def _spare(place: str, states: States, asked: int) -> _Spare:
    """The folder `place`, whose `states` were asked for at the time `asked`."""
    changes = [max(state.modified, state.changed) for state in states if state is not None]
    will_tell = len(changes) == len(states) and is_settled(max(changes), asked)
    return _Spare(place, states, will_tell)


def mark_owner(folder: Path, user_folder: str) -> None:
    """Record in a run `folder` in which user's folder its job's submission was."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with os.fdopen(open_in_place(folder / "owner", flags), "wb") as file:
        file.write(os.fsencode(user_folder))


def owner_in(folder: Path) -> str | None:
    """What `mark_owner` has recorded in `folder`; ``None`` if nothing."""
    try:
        return os.fsdecode(read_file(folder / "owner", _LONGEST_NAME)) or None
    except (FileNotFoundError, UnreadableFileError):
        return None


def _is_emptied(folder: str, keep: str | None = None) -> bool:
    """Remove the few files in `folder`, all but `keep`; whether that left a private folder without others."""
    with contextlib.suppress(OSError):
        with os.scandir(folder) as entries:
            names = [entry.name for entry in islice(entries, _MOST_ENTRIES)]
        for name in names:
            if name != keep:
                os.unlink(f"{folder}/{name}")
        return len(names) < _MOST_ENTRIES and os.lstat(folder).st_mode == _PRIVATE
    return False


def _is_as_new(job_dir: str) -> bool:
    """Remove the command's file from a job's folder; whether only an empty working folder is left."""
    with contextlib.suppress(OSError):
        if not _is_emptied(job_dir, keep=WORK):
            return False
        work = f"{job_dir}/{WORK}"
        if os.lstat(work).st_mode == _PRIVATE:
            with os.scandir(work) as entries:
                return next(entries, None) is None
    return False
