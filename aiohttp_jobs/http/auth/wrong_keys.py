"""Limits attempts with wrong API keys, by address and by key id, and logs them.

Keys are checked first (``engine.credentials``), so wrong keys never lock out a valid one from the same proxy.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import math
from dataclasses import dataclass

from ...errors import TooManyAttemptsError

_MOST_SUBJECTS = 10_000
_MOST_LINES = 20
_PREFIX_BITS = 64
_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Count:
    since: float
    last: float
    count: int = 0
    is_written: bool = False


class WrongKeys:
    """Raises `TooManyAttemptsError` after more than `most` wrong keys in `seconds`, by address or key id.

    The limit holds until that many seconds have passed without a wrong key. The log gets one line when it
    begins and one when it ends, for at most 20 addresses and keys at a time.
    """

    def __init__(self, most: int, seconds: float = 60.0) -> None:
        self._most = most
        self._seconds = seconds
        self._counts: dict[str, _Count] = {}
        self._written: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None

    def note(self, remote: str | None, key_id: str | None) -> None:
        """Count a wrong key from the address `remote`.

        `key_id` is the key it names, if any. Raises `TooManyAttemptsError`.
        """
        too_many = self._is_too_many(f"the address {network_of(remote)}")
        if key_id is not None:
            too_many |= self._is_too_many(f"requests that name the key {key_id}")
        if too_many:
            raise TooManyAttemptsError

    def close(self) -> None:
        """Log the end of what is still being limited."""
        if self._timer is not None:
            self._timer.cancel()
        for subject in list(self._written):
            self._end(subject)

    def _is_too_many(self, subject: str) -> bool:
        now = asyncio.get_running_loop().time()
        known = self._counts.get(subject)
        if known is not None and self._has_ended(known, now):
            self._end(subject)
        count = self._counts.pop(subject, None) or _Count(now, now)
        count.last = now
        count.count += 1
        self._counts[subject] = count  # the latest at the end
        while len(self._counts) > _MOST_SUBJECTS:
            self._end(next(iter(self._counts)))
        is_too_many = count.count > self._most
        if is_too_many and not count.is_written and len(self._written) < _MOST_LINES:
            self._begin(subject, count)
        return is_too_many

    def _has_ended(self, count: _Count, now: float) -> bool:
        return now - (count.last if count.count > self._most else count.since) >= self._seconds

    def _begin(self, subject: str, count: _Count) -> None:
        count.is_written = True
        self._written.add(subject)
        _logger.warning(
            "More than %d wrong API keys in %g s from %s: further ones are answered with 429",
            self._most,
            self._seconds,
            subject,
        )
        if self._timer is None:
            self._wait(self._seconds)

    def _wait(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        """End what has been quiet for long enough, and come back when the next could have been."""
        now = asyncio.get_running_loop().time()
        self._timer = None
        for subject in list(self._written):
            if self._has_ended(self._counts[subject], now):
                self._end(subject)
        if self._written:
            last = min(self._counts[subject].last for subject in self._written)
            self._wait(last + self._seconds - now)

    def _end(self, subject: str) -> None:
        count = self._counts.pop(subject)
        if not count.is_written:
            return
        self._written.discard(subject)
        seconds = math.ceil(count.last - count.since)
        _logger.warning("%d wrong API keys came from %s in %d s", count.count, subject, seconds)


def network_of(remote: str | None) -> str:
    """The address to count by. For IPv6 that is the /64 network, as each client has a whole one."""
    try:
        address = ipaddress.ip_address(remote or "")
    except ValueError:
        return "that is not known"
    mapped = getattr(address, "ipv4_mapped", None) or address
    if isinstance(mapped, ipaddress.IPv4Address):
        return str(mapped)
    return str(ipaddress.ip_network((int(mapped), _PREFIX_BITS), strict=False))
