"""Runs a module as on Windows, as far as can be shown elsewhere: python like_windows.py MODULE [ARGUMENT …].

What Windows has not is gone from what is imported already, and its modules cannot be imported. Python's own
modules and the dependencies, which have ways of their own there, are imported before that. ``os.name`` stays
as it is, since paths depend on it.
"""

from __future__ import annotations

import importlib
import importlib.abc
import os
import runpy
import select
import selectors
import signal
import socket
import sys
import sysconfig
from typing import Any

FROM_UNIX = frozenset(
    {"fcntl", "pwd", "grp", "resource", "termios", "pty", "tty", "_posixsubprocess", "inotify_simple"}
)
WITH_THEIR_OWN_WAYS = """
    asyncio subprocess multiprocessing ssl tempfile getpass shutil sqlite3 argparse logging.handlers
    aiohttp.web aiohttp_session.cookie_storage aiohttp_sse aiosmtplib psutil pydantic
    rich.table rich.live typer
"""
OF_OS = """
    O_CLOEXEC O_NOFOLLOW O_NONBLOCK O_NOCTTY O_DIRECTORY O_SYNC O_DSYNC O_TMPFILE O_PATH RWF_DSYNC
    fork killpg getpgid setsid getuid geteuid getgid getegid getgroups statvfs fchmod fchown chown lchown
    pread pwrite preadv pwritev readv writev pipe2 waitid WNOHANG WNOWAIT WEXITED P_PID pidfd_open sync
    fdatasync sched_getaffinity getloadavg uname mkfifo environb
"""
OF_SIGNAL = (
    "SIGKILL SIGHUP SIGURG SIGCHLD SIGSTOP SIGCONT SIGUSR1 SIGUSR2 SIGPIPE pthread_kill pthread_sigmask"
)


class _NothingFromUnix(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        if name in FROM_UNIX:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def become_like_windows() -> None:
    """From now on this process has nothing that Windows has not."""
    for module, names in (
        (os, OF_OS.split()),
        (signal, OF_SIGNAL.split()),
        (socket, ["SOCK_SEQPACKET", "SOCK_CLOEXEC", "SOCK_NONBLOCK"]),
        (select, [name for name in dir(select) if "poll" in name.lower()]),
    ):
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
    for name in FROM_UNIX:
        sys.modules.pop(name, None)
    sys.meta_path.insert(0, _NothingFromUnix())
    selectors.DefaultSelector = selectors.SelectSelector  # type: ignore[misc]
    sys.platform = "win32"


if __name__ == "__main__":
    for name in WITH_THEIR_OWN_WAYS.split():
        importlib.import_module(name)
    sysconfig.get_config_vars()
    become_like_windows()
    sys.argv = sys.argv[1:]
    sys.path[0] = os.getcwd()
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
