"""Notices that nobody reads standard output any more, while nothing is written; `streams` does in writing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import stat
import sys
from collections.abc import AsyncIterator, Callable, Iterator

from .streams import nobody_reads


@contextlib.asynccontextmanager
async def while_read() -> AsyncIterator[None]:
    """End the block with `OutputError` once nobody reads the pipe that standard output is.

    Where it is none, or the event loop cannot watch it (as on Windows), only what is written finds it out.
    """
    try:
        async with asyncio.timeout(None) as limit:
            clock = asyncio.get_running_loop().time
            with _told_once_nobody_reads(lambda: limit.reschedule(clock())):
                yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise nobody_reads() from None


@contextlib.contextmanager
def _told_once_nobody_reads(tell: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as watching:
        pipe = _pipe()
        if pipe is not None:
            watching.callback(os.close, pipe)

            def look() -> None:
                loop.remove_reader(pipe)
                if _has_no_reader(pipe):  # or we may read it, too, and there is something in it
                    tell()

            with contextlib.suppress(NotImplementedError):
                # The end that is written to can be "read" once the other is closed.
                loop.add_reader(pipe, look)
                watching.callback(loop.remove_reader, pipe)
        yield


def _pipe() -> int | None:
    """Standard output, if that is a pipe: a descriptor of our own, which stays when output is given up."""
    try:
        descriptor = sys.stdout.fileno()
        return os.dup(descriptor) if stat.S_ISFIFO(os.fstat(descriptor).st_mode) else None
    except (OSError, ValueError):
        return None


def _has_no_reader(pipe: int) -> bool:
    poll = select.poll()
    poll.register(pipe, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
