"""Closes the plugin's parts in turn, within a time limit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

_ALL_SECONDS = 10.0
_ONE_SECONDS = 5.0
_LEAST_SECONDS = 0.5
_logger = logging.getLogger(__name__)


class Closing:
    """Gives each part five seconds to close, and all of them together ten.

    A part that takes longer is abandoned: what it has on the disk is complete at every moment, and the next
    start continues with it.
    """

    def __init__(self) -> None:
        self._left = _ALL_SECONDS

    async def close(self, what: str, close: Callable[[], Awaitable[None]]) -> None:
        """Await `close()` of the part called `what`, within the limits. Raises nothing."""
        clock = asyncio.get_running_loop().time
        began, limit = clock(), max(_LEAST_SECONDS, min(_ONE_SECONDS, self._left))
        try:
            async with asyncio.timeout(limit):
                await close()
        except TimeoutError:
            _logger.error("%s did not close within %.1f s and is left as it is", what, limit)
        except Exception:
            _logger.exception("%s could not be closed", what)
        self._left -= clock() - began
