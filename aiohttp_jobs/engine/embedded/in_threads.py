"""InThreads: how the event loop asks what lies in files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class InThreads:
    """An `AskedInThreads` whose threads are those of the event loop."""

    async def in_thread(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """What `function` returns; it is called in a thread."""
        return await asyncio.to_thread(function, *args, **kwargs)
