"""The watchdog never hits anything but the call it guards."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from aiohttp_jobs.worker.watchdog import BlockedTooLongError, Watchdog

from ..gate import PATIENCE_SECONDS


def spin(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_a_call_within_the_limit_is_left_alone() -> None:
    watchdog = Watchdog(5, "test")
    with watchdog.running():
        assert watchdog.guard(lambda: 5) == 5


@pytest.mark.slow
def test_no_late_exception_follows_calls_that_end_right_at_the_limit() -> None:
    stopped: set[float] = set()
    # Those right at the limit, any of which may be stopped, and some that have to be, between them.
    times = [30.0 if n % 50 == 49 else 0.0015 + 0.000003 * n for n in range(300)]
    watchdog = Watchdog(0.002, "test")
    with watchdog.running():
        for seconds in times:
            try:
                watchdog.guard(lambda seconds=seconds: spin(seconds))  # type: ignore[misc]
            except BlockedTooLongError:
                stopped.add(seconds)
            else:
                assert seconds < 30
            total = sum(range(200))
            assert total == 19900
    spin(0.01)
    assert 30 in stopped


def test_it_works_on_a_loop_in_another_thread() -> None:
    caught: list[BaseException] = []

    async def main() -> None:
        watchdog = Watchdog(0.05, "test")
        with watchdog.running(), pytest.raises(BlockedTooLongError) as error:
            watchdog.guard(lambda: spin(30))
        caught.append(error.value)
        await asyncio.sleep(0)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    thread.join(PATIENCE_SECONDS)
    assert len(caught) == 1
