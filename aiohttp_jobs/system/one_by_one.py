"""Long computations in a thread, with pauses that keep the event loop responsive despite the interpreter's
lock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_AT_A_STRETCH = 0.002
_PAUSE = 0.0005


def pausing(things: Iterable[T]) -> Iterator[T]:
    """Each of `things`, with a pause after each 2 ms, for a thread that works on many.

    A thread that never pauses releases the interpreter's lock only every 5 ms when the event loop wants it,
    and a small request wants it some ten times.
    """
    since = time.perf_counter()
    for thing in things:
        yield thing
        if time.perf_counter() - since > _AT_A_STRETCH:
            time.sleep(_PAUSE)
            since = time.perf_counter()


async def one_by_one(work: Callable[[T], R], things: Sequence[T]) -> list[R]:
    """Apply `work` to each of `things`, in a thread that pauses after each 2 ms."""
    return await asyncio.to_thread(lambda: [work(thing) for thing in pausing(things)])
