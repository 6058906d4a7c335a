"""What the tests themselves notice, whatever they test."""

from __future__ import annotations

import asyncio

import pytest


async def test_a_callback_or_a_timer_from_another_thread_is_an_error() -> None:
    loop = asyncio.get_running_loop()
    with pytest.raises(RuntimeError, match="another thread"):
        await asyncio.to_thread(loop.call_soon, print)
    with pytest.raises(RuntimeError, match="another thread"):
        await asyncio.to_thread(loop.call_later, 1.0, print)


async def test_one_that_is_handed_over_is_none() -> None:
    loop, came = asyncio.get_running_loop(), asyncio.Event()
    await asyncio.to_thread(loop.call_soon_threadsafe, came.set)
    await came.wait()
