"""Which processes share the data folder, what each is running, and which of them have died.

``Running/<instance>/`` belongs to one process for as long as it holds the lock on the ``lock`` file
in it; the kernel lets go of the lock when the process dies, however it dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from .durable import make_folder
from .timestamps import is_settled


class Instance:
    """This process's own folder below `root`. Make it in the process that it is for, not before a fork."""

    def __init__(self, root: Path) -> None:
        self.id = uuid.uuid4().hex
        self.folder = root / self.id
        self.scratch = self.folder / "scratch"
        self.jobs = self.folder / "jobs"
        self._root = root
        self._lock: int | None = None
        self._alone: int | None = None

    def open(self) -> None:
        make_folder(self._root)
        # Locked under another name first, so that nobody ever sees it without its lock.
        unborn = self._root / f".{self.id}"
        unborn.mkdir(mode=0o700)
        (unborn / "scratch").mkdir(mode=0o700)
        (unborn / "jobs").mkdir(mode=0o700)
        self._lock = os.open(unborn / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unborn.rename(self.folder)

    def close(self) -> None:
        """Leave; what is still in the folder is taken over by the next process."""
        if self._lock is None:
            return
        with contextlib.suppress(OSError):
            self.jobs.rmdir()
            shutil.rmtree(self.folder)
        os.close(self._lock)
        self._lock = None

    def adopt(self, folder: Path) -> Path:
        """Move a dead process's running-job `folder` into this process's own."""
        return folder.rename(self.jobs / folder.name)

    def is_alone(self) -> bool:
        """Whether the last look found no other process on the folder, and none has come since."""
        return self._alone is not None and self._root.stat().st_mtime_ns == self._alone

    @contextlib.contextmanager
    def dead(self) -> Iterator[list[Path]]:
        """The folders of processes that died, while this process alone may touch them.

        Another that asks meanwhile waits: what it does next may depend on their having been taken over.
        """
        if self.is_alone():
            yield []
            return
        now, changed_at = time.time_ns(), self._root.stat().st_mtime_ns
        with contextlib.ExitStack() as stack:
            turn = os.open(self._root / ".recovery", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            stack.callback(os.close, turn)
            fcntl.flock(turn, fcntl.LOCK_EX)
            others = [
                folder
                for folder in sorted(self._root.iterdir())
                if folder.name not in {self.id, f".{self.id}", ".keys", ".recovery"}
            ]
            self._alone = changed_at if not others and is_settled(changed_at, now) else None
            yield [folder for folder in others if stack.enter_context(_try_lock(folder))]


@contextlib.contextmanager
def _try_lock(folder: Path) -> Iterator[bool]:
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder.is_dir()
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)
