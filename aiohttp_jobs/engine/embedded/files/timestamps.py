"""What time stamps of files and folders reveal about later changes. Does no I/O."""

from __future__ import annotations

_COARSENESS_NS = 100_000_000


def is_settled(changed: int, now: int) -> bool:
    """Whether any change after `now` is sure to get another time stamp than `changed`, which was read after
    `now`.

    Both are nanoseconds since 1970. Time stamps are coarse: of two changes within a tick, one is invisible.
    """
    return now - changed > _COARSENESS_NS
