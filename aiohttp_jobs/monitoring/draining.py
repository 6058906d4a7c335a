"""Reports "not ready" for a while before the host stops, so that load balancers send requests elsewhere
first.

For ``web.run_app``, which closes its listener at once on SIGTERM. What "ready" means is in ``readiness``.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
from collections.abc import Callable

from aiohttp import web

_logger = logging.getLogger(__name__)


class Draining:
    """Handles SIGTERM before ``web.run_app``: calls `begin`, and lets the host stop `seconds` later.

    A second SIGTERM stops it at once.
    """

    def __init__(self, begin: Callable[[], None], seconds: float) -> None:
        self._begin = begin
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Install the signal handler. If something else needs the signal, a log message says so instead."""
        if not self._seconds:
            return
        if "gunicorn.arbiter" in sys.modules or threading.current_thread() is not threading.main_thread():
            _logger.warning(
                "readiness_drain is for hosts that web.run_app runs, and is not used. Put the file "
                "'draining' into the data folder some seconds before the host is to stop."
            )
            return
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._on_signal)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _on_signal(self) -> None:
        if self._timer is not None:
            _stop()
        _logger.info("Not ready any more; the host stops in %g s.", self._seconds)
        self._begin()
        self._timer = asyncio.get_running_loop().call_later(self._seconds, _stop)


def _stop() -> None:
    raise web.GracefulExit  # as web.run_app's own handler does
