"""Slows down the guessing of passwords: after some failures in a row, a user name has to wait.

Whether a password is right is left to `users`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_MOST_NAMES = 1000


class Throttle:
    """Admits `limit` attempts per name, then none until `pause` seconds after the last one.

    It treats names that exist and names that do not alike, and keeps a bounded number of them.
    """

    def __init__(
        self, limit: int = 5, pause: float = 30.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._pause = pause
        self._clock = clock
        self._attempts: dict[str, tuple[int, float]] = {}

    def admit(self, name: str) -> float:
        """Seconds that `name` has to wait; 0 when an attempt may be made, which is then counted.

        Counted before its outcome is known, so that many attempts at once gain nothing.
        """
        name = name[:200]
        now = self._clock()
        count, last = self._attempts.pop(name, (0, now))
        if now - last >= self._pause:
            count = 0
        admitted = count < self._limit
        self._attempts[name] = (count + 1, now) if admitted else (count, last)
        while len(self._attempts) > _MOST_NAMES:
            del self._attempts[next(iter(self._attempts))]
        return 0.0 if admitted else last + self._pause - now

    def succeeded(self, name: str) -> None:
        """The attempt was a good one: `name` starts afresh."""
        self._attempts.pop(name[:200], None)
