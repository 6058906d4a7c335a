"""Reports the ends of many child processes through a single entry in the event loop.

asyncio's own way, a reader for each process, costs more than the rest of waiting.
"""

from __future__ import annotations

import asyncio
import os
import select
import sys
from collections.abc import Callable
from functools import cache
from typing import Protocol

from .orphans import Orphans

_LOOK_SECONDS = 0.02


class _Watch(Protocol):
    def add(self, pid: int, ended: Callable[[], None]) -> None: ...

    def close(self) -> None: ...


class Endings:
    """The children that are waited for on the running loop.

    The caller reaps them; `orphans` are their orphaned descendants.
    """

    def __init__(self, orphans: Orphans | None = None) -> None:
        self.orphans = Orphans() if orphans is None else orphans
        self._watch: _Watch | None = None
        self._without_descriptors = _PeriodicWatch()

    def tell(self, pid: int, ended: Callable[[], None]) -> None:
        """Call `ended` on the running loop once the child `pid` has ended; it is not reaped yet."""
        try:
            self._best_watch().add(pid, ended)
        except OSError:  # this process may open no more descriptors
            self._without_descriptors.add(pid, ended)

    def close(self) -> None:
        """Close it, when nothing is waited for any more."""
        self._without_descriptors.close()
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _best_watch(self) -> _Watch:
        if self._watch is None:
            self._watch = _descriptor_watch() if can_watch_descriptors() else self._without_descriptors
        return self._watch


@cache
def can_watch_descriptors() -> bool:
    """Whether this process can use pidfds. Linux has them since 5.3; older seccomp filters refuse them."""
    if sys.platform != "linux" or not hasattr(os, "pidfd_open") or not hasattr(select, "epoll"):
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True


def _descriptor_watch() -> _Watch:
    if sys.platform == "linux":
        return _DescriptorWatch()
    raise OSError("this system has no descriptors for processes")


if sys.platform == "linux":

    class _DescriptorWatch:
        """By a descriptor for each process, all of them in one epoll object."""

        def __init__(self) -> None:
            self._told: dict[int, Callable[[], None]] = {}
            self._epoll = select.epoll()
            asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._on_ends)

        def add(self, pid: int, ended: Callable[[], None]) -> None:
            descriptor = os.pidfd_open(pid)
            try:
                self._epoll.register(descriptor, select.EPOLLIN)
            except OSError:
                os.close(descriptor)
                raise
            self._told[descriptor] = ended

        def close(self) -> None:
            asyncio.get_running_loop().remove_reader(self._epoll.fileno())
            self._epoll.close()

        def _on_ends(self) -> None:
            for descriptor, _ in self._epoll.poll(0):
                ended = self._told.pop(descriptor)
                self._epoll.unregister(descriptor)
                os.close(descriptor)
                ended()


class _PeriodicWatch:
    """By a look at each process every 20 ms, where the system has no descriptors for processes."""

    def __init__(self) -> None:
        self._told: dict[int, Callable[[], None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, pid: int, ended: Callable[[], None]) -> None:
        self._told[pid] = ended
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look) if self._told else None
        for pid in [pid for pid in self._told if _has_ended(pid)]:
            self._told.pop(pid)()


def _has_ended(pid: int) -> bool:
    """Whether the child `pid` has ended. It is left to be reaped."""
    if hasattr(os, "waitid"):  # macOS has it since Python 3.13
        try:
            return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
        except ChildProcessError:
            return True
    import psutil  # noqa: PLC0415 - a megabyte that Linux does without

    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
