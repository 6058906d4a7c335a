"""What only Linux has, taken away from the process that imports this: for the Python of `without_linux`.

What macOS has in its place cannot be put there. It is deleted before anything else is imported, so that
Python's own modules do without it too.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import importlib.abc
import os
import select
import sys
from typing import Any

OF_OS = """
    pidfd_open waitid P_PID P_PGID P_ALL P_PIDFD WNOWAIT WEXITED memfd_create pipe2 O_TMPFILE O_PATH
    RWF_DSYNC RWF_SYNC RWF_HIPRI RWF_NOWAIT RWF_APPEND eventfd splice copy_file_range posix_fallocate
    posix_fadvise getrandom setxattr getxattr fdatasync sendfile
"""
OF_C = frozenset({"prctl", "syncfs", "inotify_init1", "inotify_add_watch"})


class _NoInotify(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        if name == "inotify_simple":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def _take_from(module: Any, names: list[str]) -> None:
    for name in names:
        if hasattr(module, name):
            delattr(module, name)


_take_from(os, OF_OS.split())
_take_from(select, [name for name in dir(select) if "epoll" in name.lower()])
_take_from(fcntl, ["F_SETPIPE_SZ", "F_GETPIPE_SZ", "F_OFD_SETLK", "F_ADD_SEALS"])

import socket  # noqa: E402 - with what is left

_take_from(socket, ["SOCK_CLOEXEC", "SOCK_NONBLOCK"])
_socketpair = socket.socketpair
_find = ctypes.CDLL.__getattr__


def _streams_only(family: int = socket.AF_UNIX, kind: int = socket.SOCK_STREAM, protocol: int = 0) -> Any:
    if kind == socket.SOCK_SEQPACKET:
        raise OSError(errno.EPROTONOSUPPORT, "Protocol not supported")
    return _socketpair(family, kind, protocol)


def _found(library: Any, name: str) -> Any:
    if name in OF_C:
        raise AttributeError(name)
    return _find(library, name)


socket.socketpair = _streams_only  # type: ignore[assignment]
ctypes.CDLL.__getattr__ = _found  # type: ignore[method-assign]
sys.meta_path.insert(0, _NoInotify())


def move_proc(folder: str) -> None:
    """Have psutil, which needs no /proc on other systems, find it in `folder`."""
    if os.path.isdir(f"{folder}/self") and not sys.flags.isolated:
        import psutil  # noqa: PLC0415 - only now

        psutil.PROCFS_PATH = folder
