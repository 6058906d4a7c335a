"""Checks the file system of the data folder: its type, its free space, and its clock."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ..engine.embedded.files.layout import Layout
from .finding import Finding, Status

_MIB = 1024 * 1024
_LITTLE_BYTES, _TOO_FEW_BYTES = 1024 * _MIB, 64 * _MIB
_FEW_FILES, _TOO_FEW_FILES = 10_000, 500
_TOLERANCE_SECONDS = 5.0
_WALK_SECONDS = 5.0
_MOUNTS = Path("/proc/self/mountinfo")
_NETWORK = re.compile(r"nfs|cifs|smb|9p|ceph|gluster|fuse\.sshfs|lustre|afs")


def storage_findings(at: Layout) -> Iterator[Finding]:
    """Check the file system below the data folder. Blocks, for some seconds at most."""
    yield from _room(at)
    yield _file_system(at.base)
    yield _future_files(at)
    yield _file_clock(at.base)


def _room(at: Layout) -> Iterator[Finding]:
    state = os.statvfs(at.base)
    free = state.f_bavail * state.f_frsize
    used, is_all = _used(at)
    status = _grade(free, _LITTLE_BYTES, _TOO_FEW_BYTES)
    yield Finding(
        "room",
        status,
        f"{_size(free)} are free for {at.base}; results and outputs take {'' if is_all else 'more than '}"
        f"{_size(used)}.",
        "" if status is Status.OK else "Free some room, or set retention_age or retention_bytes.",
    )
    if not state.f_files:
        return  # a file system such as btrfs, which makes room for them as it goes
    status = _grade(state.f_favail, _FEW_FILES, _TOO_FEW_FILES)
    yield Finding(
        "room_for_files",
        status,
        f"{state.f_favail} more files fit there.",
        "" if status is Status.OK else "Remove files, or set retention_count: each result takes one or two.",
    )


def _grade(value: int, little: int, too_little: int) -> Status:
    if value < too_little:
        return Status.PROBLEM
    return Status.WARNING if value < little else Status.OK


def _used(at: Layout) -> tuple[int, bool]:
    """Bytes that results and outputs take on the disk, and whether all of them were counted."""
    end, total = time.monotonic() + _WALK_SECONDS, 0
    for folder in (at.results, at.output):
        for parent, _, names in os.walk(folder):
            for name in names:
                with suppress(OSError):
                    total += os.lstat(f"{parent}/{name}").st_blocks * 512
                if time.monotonic() > end:
                    return total, False
    return total, True


def _file_system(base: Path) -> Finding:
    kind = file_system_of(base)
    check = "file_system"
    if kind is None:
        return Finding(check, Status.OK, "The type of the data folder's file system cannot be told here.")
    if _NETWORK.match(kind):
        return Finding(
            check,
            Status.WARNING,
            f"The data folder lies on a network file system ({kind}), where locks and renames may not hold "
            "between machines, and dropped files are not told of.",
            "Let the hosts of one machine only use it, or choose a local disk.",
        )
    if kind in {"tmpfs", "ramfs"}:
        return Finding(
            check,
            Status.WARNING,
            f"The data folder lies in memory ({kind}): all in it is gone when the machine ends.",
            "Choose a folder on a disk, unless that is wanted.",
        )
    if kind == "overlay":
        return Finding(
            check,
            Status.WARNING,
            "The data folder lies in a container's own layer: it is gone with the container.",
            "Mount a volume there, unless that is wanted.",
        )
    return Finding(check, Status.OK, f"The data folder lies on {kind}.")


def file_system_of(path: Path) -> str | None:
    """The type of the file system of `path`, such as ``ext4``; ``None`` if unknown."""
    try:
        mounts = _MOUNTS.read_text().splitlines()
        path = path.resolve(strict=True)
    except OSError:
        return None
    found: tuple[int, str] | None = None
    for line in mounts:
        fields, _, rest = line.partition(" - ")
        point = re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), fields.split()[4])
        # Of two on one point, the later one is what is seen.
        if path.is_relative_to(point) and (found is None or len(point) >= found[0]):
            found = len(point), rest.split()[0]
    return found[1] if found else None


def _future_files(at: Layout) -> Finding:
    now = time.time()
    ahead = [
        (state.st_mtime - now, path)
        for path in _newest(at)
        if (state := _lstat(path)) is not None and state.st_mtime > now + _TOLERANCE_SECONDS
    ]
    if not ahead:
        return Finding("file_times", Status.OK, "No file was changed in the future.")
    seconds, path = max(ahead)
    return Finding(
        "file_times",
        Status.WARNING,
        f"{len(ahead)} files were changed in the future; {path} by {seconds:.0f} s.",
        "See whether this machine's clock was put back, and whether it is synchronised (timedatectl).",
    )


def _newest(at: Layout) -> Iterator[Path]:
    for folder in (at.base, at.submissions, at.results, at.output, at.running, at.signing_key.parent):
        yield folder
        with suppress(OSError), os.scandir(folder) as entries:
            for number, entry in enumerate(entries):
                if number >= 10_000:
                    break
                yield Path(entry.path)


def _file_clock(base: Path) -> Finding:
    """Compared by a file without a name, which no folder shows and which is gone when it is closed."""
    check, skipped = "file_clock", "The file system's clock cannot be compared with this machine's here."
    if not hasattr(os, "O_TMPFILE"):
        return Finding(check, Status.OK, skipped)
    try:
        descriptor = os.open(base, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except OSError:
        return Finding(check, Status.OK, skipped)
    try:
        before = time.time()
        os.write(descriptor, b"x")
        apart = os.fstat(descriptor).st_mtime - before
    finally:
        os.close(descriptor)
    if abs(apart) <= _TOLERANCE_SECONDS:
        return Finding(check, Status.OK, "The file system's clock is this machine's.")
    return Finding(
        check,
        Status.PROBLEM,
        f"The file system's clock is {abs(apart):.0f} s {'ahead of' if apart > 0 else 'behind'} this "
        "machine's.",
        "Synchronise the clocks of both machines.",
    )


def _lstat(path: Path) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None


def _size(count: float) -> str:
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} TB"
