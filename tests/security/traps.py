"""What a job may leave below the data folder to harm the host: each kind of trap, set at a path."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

HUGE = 1 << 34
Trap = Callable[[Path, Path], None]


def pipe(path: Path, base: Path) -> None:
    """Whoever opens it plainly waits for ever for the other end."""
    os.mkfifo(path)


def link(path: Path, base: Path) -> None:
    """Leads to a key of the host's."""
    path.symlink_to(base / "Secrets" / "submission.key")


def loop(path: Path, base: Path) -> None:
    """A link that leads to itself."""
    path.symlink_to(path.name)


def folder(path: Path, base: Path) -> None:
    """A folder with something in it, where a file is expected."""
    path.mkdir()
    (path / "x").write_text("{}")


def connection(path: Path, base: Path) -> None:
    """A socket. Bound by a short name: those of sockets are limited to 108 bytes."""
    with socket.socket(socket.AF_UNIX) as server:
        short = Path(f"/tmp/trap.{os.getpid()}.{os.urandom(4).hex()}")
        server.bind(str(short))
        try:
            shutil.move(short, path)
        except OSError:  # another file system
            short.unlink()
            os.mkfifo(path)


def huge(path: Path, base: Path) -> None:
    """A file of 16 GB that takes no room."""
    with path.open("wb") as file:
        file.truncate(HUGE)


def garbage(path: Path, base: Path) -> None:
    path.write_bytes(bytes(range(256)) * 64)


def deep(path: Path, base: Path) -> None:
    """JSON that is nested too deep to be parsed."""
    path.write_text("[" * 200_000)


ALL: list[Trap] = [pipe, link, loop, folder, connection, huge, garbage, deep]


def put(trap: Trap, path: Path, base: Path) -> None:
    """Set `trap` at `path` in place of whatever is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    trap(path, base)
