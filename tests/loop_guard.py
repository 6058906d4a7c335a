"""One check of asyncio's debug mode for all tests: a loop that runs is touched from its own thread alone.

All of debug mode takes an eighth of the tests' processor time, for where each callback was made and how it
would be printed. To see that in messages, run a test with ``-o asyncio_debug=true``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


def check_threads() -> None:
    """From now on a callback or a timer that another thread gives to a loop without
    ``call_soon_threadsafe`` is a ``RuntimeError`` there: the loop might sleep on, or lose it."""
    for name in ("call_soon", "call_at"):
        setattr(asyncio.BaseEventLoop, name, _checked(getattr(asyncio.BaseEventLoop, name)))


def _checked(original: Callable[..., asyncio.Handle]) -> Callable[..., asyncio.Handle]:
    running = asyncio._get_running_loop

    def checked(loop: asyncio.BaseEventLoop, *args: Any, **kwargs: Any) -> asyncio.Handle:
        if running() is not loop and loop.is_running():
            raise RuntimeError(f"{original.__name__} of a loop that runs in another thread")
        return original(loop, *args, **kwargs)

    return checked
