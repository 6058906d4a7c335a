"""Writing again what the disk refused, for as long as it does: the one way of backing off from a disk."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..errors import StorageUnavailableError
from .storage_state import StorageState

T = TypeVar("T")
_FIRST_SECONDS = 0.5
_LONGEST_SECONDS = 30.0
_LONGEST_AWAY_SECONDS = 3.0


async def retry_until_written(
    write: Callable[[], Awaitable[T]],
    storage: StorageState,
    logger: logging.Logger,
    message: str,
    *args: object,
) -> T:
    """The answer of `write`, which is asked again for as long as it raises ``OSError``, as of a full disk.

    The pauses double from 0.5 s up to 30 s, or to 3 s while a database is away, and end when `storage` gets
    well. Each refusal is reported to it with `message` and `args`, for `logger`.
    """
    delay = _FIRST_SECONDS
    while True:
        try:
            return await write()
        except OSError as error:
            storage.report(error, logger, message, *args)
            await storage.wait_for_end(delay)
            is_away = isinstance(error, StorageUnavailableError)
            delay = min(2 * delay, _LONGEST_AWAY_SECONDS if is_away else _LONGEST_SECONDS)
