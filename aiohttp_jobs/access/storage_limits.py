"""Whether there is room for another job: on the disk, and within what its user may store.

Results are deleted by ``services.retention``. Checks take time, so recent ones are reused.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ..config import JobsConfig
from ..errors import InsufficientStorageError, TooMuchKeptError
from ..system.storage_state import StorageState, free_bytes

_DISK_SECONDS = 1.0
_KEPT_SECONDS = 30.0
_COST_FACTOR = 100.0
_PATIENCE_SECONDS = 2.0
_MOST_USERS = 10_000
_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Seen:
    """A number of bytes, and until when it need not be looked for again."""

    bytes: int | None = None
    fresh_until: float = 0.0
    look: asyncio.Task[None] | None = None


class StorageLimits:
    """`kept_bytes` returns how many bytes a user's results take, including outputs that are stored beside
    them.
    """

    def __init__(
        self, config: JobsConfig, kept_bytes: Callable[[str], Awaitable[int]], storage: StorageState
    ) -> None:
        self._folder = config.base_dir
        self._min_free = config.min_free_bytes
        self._most_kept = config.max_kept_bytes_per_user
        self._kept_bytes = kept_bytes
        self._storage = storage
        self._free = _Seen()
        self._kept: OrderedDict[str, _Seen] = OrderedDict()

    async def close(self) -> None:
        """Cancel the checks that are running."""
        looks = [seen.look for seen in (self._free, *self._kept.values()) if seen.look is not None]
        for look in looks:
            look.cancel()
        await asyncio.gather(*looks, return_exceptions=True)

    async def require_room(self, user_id: str) -> None:
        """Raise `InsufficientStorageError` or `TooMuchKeptError` when no job of the user may be accepted."""
        now = asyncio.get_running_loop().time()
        if now >= self._free.fresh_until:
            self._look(self._free, self._free_bytes, _DISK_SECONDS)
        if self._free.bytes is None and self._free.look is not None:
            await asyncio.wait([self._free.look], timeout=_PATIENCE_SECONDS)
        if self._free.bytes is not None and self._free.bytes < self._min_free:
            raise InsufficientStorageError(
                "The server's disk is almost full, so it takes no new jobs. Try again when there is room, or "
                "tell whoever looks after it."
            )
        kept = self._kept_of(user_id)
        if now >= kept.fresh_until:
            self._look(kept, lambda: self._kept_bytes(user_id), _KEPT_SECONDS)
        if kept.bytes is not None and kept.bytes >= self._most_kept:
            raise TooMuchKeptError(
                "max_kept_bytes_per_user",
                most=self._most_kept,
                used=kept.bytes,
                what="bytes of results and outputs",
                advice="Delete some results first; that they are gone shows within a minute.",
            )

    async def _free_bytes(self) -> int:
        free = await asyncio.to_thread(free_bytes, self._folder)
        self._storage.tell_free(free, self._min_free)
        return free

    def _kept_of(self, user_id: str) -> _Seen:
        kept = self._kept.get(user_id)
        if kept is None:
            kept = self._kept[user_id] = _Seen()
        self._kept.move_to_end(user_id)
        while len(self._kept) > _MOST_USERS:
            _, oldest = self._kept.popitem(last=False)
            if oldest.look is not None:
                oldest.look.cancel()
        return kept

    def _look(self, seen: _Seen, find: Callable[[], Awaitable[int]], seconds: float) -> None:
        """Have it looked for, unless that is being done; it is fresh for `seconds` then."""
        if seen.look is None:
            seen.look = asyncio.create_task(self._find(seen, find, seconds))

    async def _find(self, seen: _Seen, find: Callable[[], Awaitable[int]], seconds: float) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            seen.bytes = await find()
        except Exception as error:
            self._storage.report(error, _logger, "How much room there is cannot be found out")
        finally:
            # What takes long to find is looked for less often.
            seen.fresh_until = clock() + max(seconds, _COST_FACTOR * (clock() - began))
            seen.look = None
