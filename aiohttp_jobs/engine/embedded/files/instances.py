"""Which processes share the data folder, what each runs, and which of them have died.

``Running/<instance>/`` belongs to one process, which holds the lock on the file ``lock`` in it. The kernel
releases the lock when the process dies.
"""

from __future__ import annotations

import contextlib
import glob
import logging
import os
import time
import uuid
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from ....system.atomic import mend_folder
from ....system.guarded_files import (
    LOCK_SECONDS,
    LockBusyError,
    is_folder,
    lock,
    lock_file,
    locked,
    open_regular,
)
from ....system.removal import Sweeper, remove_tree
from .layout import is_settled

_CLEANING_SECONDS = 1.0
_FRESH_SECONDS = 0.002
_logger = logging.getLogger(__name__)


class Instance:
    """This process's own folder below `root`, and its jobs' folders below `work_root`.

    Create it in the process that uses it, not before a fork.
    """

    def __init__(self, root: Path, work_root: Path) -> None:
        self.id = uuid.uuid4().hex
        self.folder = root / self.id
        self.scratch = self.folder / "scratch"
        self.jobs = self.folder / "jobs"
        self.work = work_root / self.id
        """For the jobs' own folders, which lie apart from what the host keeps about them."""
        self._root = root
        self._root_path = str(root)
        self._work_root = work_root
        self._sweeper = Sweeper()
        self._lock: int | None = None
        self._alone: int | None = None
        self._listed: tuple[int | None, list[Path]] = (None, [])
        self._seen: tuple[float, bool] = (0.0, False)
        self.comings = 0
        """Another number once a process may have come or gone, as of when `has_others` was asked."""
        self._complaint = ""

    def open(self) -> None:
        mend_folder(self._root)
        # Locked under another name first, so that nobody ever sees it without its lock.
        hidden = self._root / f".{self.id}"
        hidden.mkdir(mode=0o700)
        (hidden / "scratch").mkdir(mode=0o700)
        (hidden / "jobs").mkdir(mode=0o700)
        # The lock too: another process that held it for a look would take this one for dead.
        self._lock = lock_file(hidden / "lock.new", 0.0)
        (hidden / "lock.new").rename(hidden / "lock")
        hidden.rename(self.folder)
        mend_folder(self.work)
        self._sweeper.open()
        self.discard_orphans()

    def close(self) -> None:
        """Leave. The next process takes over what is still in the folder.

        That includes leftovers of jobs that cannot be removed within a second.
        """
        if self._lock is None:
            return
        is_clean = self._sweeper.close(_CLEANING_SECONDS)
        end = time.monotonic() + _CLEANING_SECONDS
        with contextlib.suppress(OSError):
            self.jobs.rmdir()
            if is_clean and remove_tree(self.work, lambda: time.monotonic() < end):
                remove_tree(self.folder)
        os.close(self._lock)
        self._lock = None

    def discard(self, paths: Iterable[str | Path]) -> None:
        """Remove unneeded files in the background."""
        self._sweeper.remove(paths)

    def discard_dead(self, folder: Path) -> None:
        """Remove the folder of a dead process whose jobs were all taken over."""
        aside = self.scratch / f"dead.{folder.name}"
        try:
            folder.rename(aside)
        except OSError:
            aside = folder
        self.discard([aside, self._work_root / folder.name])

    def discard_orphans(self) -> None:
        """Remove the working folders of dead processes."""
        with contextlib.suppress(FileNotFoundError):
            # Listed first: a process that begins now has made its folder among the others' before.
            names = os.listdir(self._work_root)
            self.discard(
                self._work_root / name
                for name in names
                if name != self.id and not is_folder(self._root / name)
            )

    def is_run_elsewhere(self, folder: Path, dead: Collection[Path]) -> bool:
        """Whether a live process (not in `dead`) has a folder for the same run as `folder`."""
        found = self._root.glob(f"[!.]*/jobs/{glob.escape(folder.name)}")
        return any(is_folder(other) and other.parents[1] not in dead for other in found)

    def adopt(self, folder: Path) -> Path:
        """Move a dead process's run `folder` into this process's own."""
        return folder.rename(self.jobs / folder.name)

    def is_alone(self) -> bool:
        """Whether the last look found no other process, and none has come since."""
        return self._alone is not None and os.stat(self._root_path).st_mtime_ns == self._alone

    def others(self) -> list[Path]:
        """The folders of all other processes, dead ones included. Costs one ``stat`` when none has come or
        gone.

        From any thread: the listing and its time are stored together, so a slower thread's older list cannot
        be stored under a faster one's time.
        """
        now, changed_at = time.time_ns(), os.stat(self._root_path).st_mtime_ns
        listed_at, listed = self._listed
        if listed_at != changed_at:
            found = self._others({self.id})
            listed = [folder for folder in found if not folder.name.startswith(".")]
            self._listed = changed_at if is_settled(changed_at, now) else None, listed
            self.comings += 1
        return listed

    def has_others(self) -> bool:
        """Whether there are any, as of two milliseconds ago at most: asked several times for each job."""
        fresh_until, has_others = self._seen
        if (now := time.monotonic()) >= fresh_until:
            has_others = bool(self.others())
            self._seen = now + _FRESH_SECONDS, has_others
        return has_others

    def is_alone_since(self, comings: int) -> bool:
        """Whether no other process was here since `comings` was this number; as exact as `has_others`."""
        return not self.has_others() and self.comings == comings

    def _others(self, own: Collection[str]) -> list[Path]:
        folders = sorted(self._root.iterdir())
        return [folder for folder in folders if folder.name not in own and is_folder(folder)]

    def _complain(self, message: str) -> None:
        """Log a message, but not the same at every look."""
        if message != self._complaint:
            self._complaint = message
            _logger.error("%s", message)

    @contextlib.contextmanager
    def dead(self) -> Iterator[list[Path]]:
        """The folders of dead processes, which only this process may touch while the block runs.

        Another process that asks meanwhile waits, because its next step may depend on the takeover; but not
        forever: if the lock is not released, nothing is taken over this time.
        """
        if self.is_alone():
            yield []
            return
        now, changed_at = time.time_ns(), self._root.stat().st_mtime_ns
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locked(self._root / ".recovery", LOCK_SECONDS))
            except LockBusyError as error:
                self._complain(f"What processes that died were running cannot be taken over: {error}")
                yield []
                return
            others = self._others({self.id, f".{self.id}", ".keys"})
            self._alone = changed_at if not others and is_settled(changed_at, now) else None
            yield [folder for folder in others if stack.enter_context(_try_lock(folder))]


def is_alive(instance: Path) -> bool:
    """Whether the process that the folder `instance` belongs to still has its lock."""
    try:
        descriptor = open_regular(instance / "lock", os.O_RDWR)
    except OSError:
        return False
    try:
        lock(descriptor, shared=True)
    except LockBusyError:
        return is_folder(instance)
    finally:
        os.close(descriptor)
    return False


def count_running(root: Path) -> int:
    """How many live processes have an instance below `root`."""
    return sum(map(is_alive, root.iterdir())) if root.is_dir() else 0


@contextlib.contextmanager
def _try_lock(folder: Path) -> Iterator[bool]:
    try:
        descriptor = open_regular(folder / "lock", os.O_RDWR)
    except OSError:
        yield False
        return
    try:
        lock(descriptor)
        yield folder.is_dir()
    except LockBusyError:
        yield False
    finally:
        os.close(descriptor)
