"""Where the measured stores lie: on a real disk, apart from whatever was deleted there a moment ago."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import tempfile
import time
from pathlib import Path

_CANDIDATES = 5
_FILES = 100
_GET_FLAGS, _SET_FLAGS, _TOP_FOLDER = 0x80086601, 0x40086602, 0x00020000


def work_folder() -> Path:
    """A new folder, to be removed by the caller."""
    # /tmp may lie in memory, where fsync costs nothing.
    place = Path("/var/tmp")
    work = Path(tempfile.mkdtemp(prefix="aiohttp-jobs-bench-", dir=place if place.is_dir() else None))
    _spread(work)
    return work


def quiet_folder(work: Path, name: str) -> Path:
    """A new folder below `work`: of some that lie apart, the one in which files are made fastest."""
    made = [Path(tempfile.mkdtemp(prefix=f"{name}-", dir=work)) for _ in range(_CANDIDATES)]
    folder = min(made, key=_seconds_to_make_files) / "data"
    folder.mkdir(mode=0o700)
    return folder


def _seconds_to_make_files(folder: Path) -> float:
    """Leaves them there: removing them is what would make the place slow."""
    probe = folder / "probe"
    probe.mkdir()
    started = time.perf_counter()
    for number in range(_FILES):
        (probe / str(number)).touch()
    return time.perf_counter() - started


def _spread(folder: Path) -> None:
    """Have ext4 put each folder in `folder` into another part of the disk.

    Without a journal, ext4 does not use a deleted file's place again for minutes, and looks at every such
    place for each file that is made: after pip has unpacked a few packages, making a file beside them takes
    twenty times as long. That would be measured, and not who makes the file.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # another file system
            flags = struct.unpack("L", fcntl.ioctl(descriptor, _GET_FLAGS, bytes(8)))[0]
            fcntl.ioctl(descriptor, _SET_FLAGS, struct.pack("L", flags | _TOP_FOLDER))
    finally:
        os.close(descriptor)
