"""Reports to systemd that the host is ready, stopping, or alive (sd_notify(3), without its library).

The unit's settings are described in the how-to about deployment.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Mapping
from types import MappingProxyType

_PER_INTERVAL = 3
_logger = logging.getLogger(__name__)


class ServiceManager:
    """The service manager named in `environment`; does nothing where there is none.

    The event loop itself reports that the host is alive, three times in the unit's ``WatchdogSec``, so a host
    whose loop is blocked for that long is restarted.
    """

    def __init__(self, environment: Mapping[str, str] = MappingProxyType(os.environ)) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # A name in the kernel's own space, and no file, is written with @.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._interval = _watchdog_seconds(environment) / _PER_INTERVAL
        self._task: asyncio.Task[None] | None = None

    def ready(self) -> None:
        """Report that the host has started."""
        self.tell("READY=1")
        if self._address and self._interval and self._task is None:
            self._task = asyncio.create_task(self._stay_alive(), name="aiohttp-jobs-watchdog")

    def stopping(self) -> None:
        """Report that the host is stopping."""
        self.tell("STOPPING=1")

    async def close(self) -> None:
        """Report nothing more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def tell(self, state: str) -> None:
        """Send `state`, an assignment of sd_notify(3). Does not block or fail."""
        if not self._address:
            return
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sender:
            sender.setblocking(False)
            try:
                sender.sendto(state.encode(), self._address)
            except OSError as error:
                _logger.warning("Cannot tell the service manager %s: %s", state, error)

    async def _stay_alive(self) -> None:
        while True:
            self.tell("WATCHDOG=1")
            await asyncio.sleep(self._interval)


def _watchdog_seconds(environment: Mapping[str, str]) -> float:
    """Within how many seconds a sign of life is expected; 0: never, or of another process."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    text = environment.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isdecimal() else 0.0
