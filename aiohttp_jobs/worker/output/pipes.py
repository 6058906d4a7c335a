"""What is asked of the kernel about pipes, where POSIX has no call of its own."""

from __future__ import annotations

import contextlib
from array import array

with contextlib.suppress(ImportError):  # Windows, where no job runs
    import fcntl
    import termios


def has_bytes(pipe: int) -> bool:
    """Whether anything can be read from `pipe` at once."""
    count = array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return bool(count[0])


def widen(pipe: int, size: int) -> None:
    """Give `pipe` room for `size` bytes, where the kernel can do that (Linux) and lets this user."""
    set_size = getattr(fcntl, "F_SETPIPE_SZ", None)
    if set_size is not None:
        with contextlib.suppress(OSError):  # too many large pipes already
            fcntl.fcntl(pipe, set_size, size)
