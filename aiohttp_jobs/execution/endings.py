"""Tells when child processes have ended, many of them by one entry in the event loop.

The loop's own way, a reader for each process, costs more than the rest of waiting for it.
"""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Callable

from .orphans import Orphans


class Endings:
    """Children of this process that are waited for on the running loop. Reaping them is left to others.

    `orphans` are what such children leave behind.
    """

    def __init__(self, orphans: Orphans | None = None) -> None:
        self.orphans = Orphans() if orphans is None else orphans
        self._epoll: select.epoll | None = None
        self._told: dict[int, Callable[[], None]] = {}

    def tell(self, pid: int, ended: Callable[[], None]) -> None:
        """Call `ended` on the running loop once the child `pid`, not reaped yet, has ended."""
        loop = asyncio.get_running_loop()
        if not hasattr(os, "pidfd_open"):
            waiting = loop.run_in_executor(None, os.waitid, os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            waiting.add_done_callback(lambda _: ended())
            return
        if self._epoll is None:
            self._epoll = select.epoll()
            loop.add_reader(self._epoll.fileno(), self._on_ends, self._epoll)
        descriptor = os.pidfd_open(pid)
        self._told[descriptor] = ended
        self._epoll.register(descriptor, select.EPOLLIN)

    def close(self) -> None:
        """To be called when nobody waits any more."""
        if self._epoll is not None:
            asyncio.get_running_loop().remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None

    def _on_ends(self, epoll: select.epoll) -> None:
        for descriptor, _ in epoll.poll(0):
            ended = self._told.pop(descriptor)
            epoll.unregister(descriptor)
            os.close(descriptor)
            ended()
