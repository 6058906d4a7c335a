"""The watchdog never hits anything but the call it guards."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from aiohttp_jobs.worker.watchdog import BlockedTooLongError, Watchdog, Watchdogs

from ..gate import PATIENCE_SECONDS


@pytest.fixture
def watchdogs() -> Iterator[Watchdogs]:
    """What the watchdogs of the test's thread share."""
    shared = Watchdogs()
    yield shared
    shared.close()


def spin(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_a_call_within_the_limit_is_left_alone(watchdogs: Watchdogs) -> None:
    watchdog = Watchdog(5, "test", watchdogs)
    with watchdog.running():
        assert watchdog.guard(lambda: 5) == 5


@pytest.mark.slow
def test_no_late_exception_follows_calls_that_end_right_at_the_limit(watchdogs: Watchdogs) -> None:
    stopped: set[float] = set()
    # Those right at the limit, any of which may be stopped, and some that have to be, between them.
    times = [30.0 if n % 50 == 49 else 0.0015 + 0.000003 * n for n in range(300)]
    watchdog = Watchdog(0.002, "test", watchdogs)
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
        watchdogs = Watchdogs()
        watchdog = Watchdog(0.05, "test", watchdogs)
        with watchdog.running(), pytest.raises(BlockedTooLongError) as error:
            watchdog.guard(lambda: spin(30))
        caught.append(error.value)
        watchdogs.close()
        await asyncio.sleep(0)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    thread.join(PATIENCE_SECONDS)
    assert len(caught) == 1


def watching_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "aiohttp-jobs-watchdog"]


def test_one_thread_watches_all_calls_and_ends_when_it_is_closed(watchdogs: Watchdogs) -> None:
    before = watching_threads()
    for _ in range(3):
        with Watchdog(5, "test", watchdogs).running(), Watchdog(5, "another", watchdogs).running():
            assert len(watching_threads()) == len(before) + 1
    watchdogs.close()
    assert watching_threads() == before


def test_a_call_is_stopped_when_the_thread_sleeps_after_calls_that_had_more_time(
    watchdogs: Watchdogs,
) -> None:
    patient, strict = Watchdog(600, "patient", watchdogs), Watchdog(0.05, "strict", watchdogs)
    with patient.running(), strict.running():
        for _ in range(2):
            patient.guard(lambda: time.sleep(0.01))  # the thread sees it, and sleeps for ten minutes
            with pytest.raises(BlockedTooLongError):
                strict.guard(lambda: spin(30))


def test_a_call_in_which_another_is_guarded_is_still_stopped(watchdogs: Watchdogs) -> None:
    outer, inner = Watchdog(0.3, "outer", watchdogs), Watchdog(600, "inner", watchdogs)

    def nest() -> None:
        inner.guard(lambda: time.sleep(0.01))
        spin(30)

    with outer.running(), inner.running(), pytest.raises(BlockedTooLongError):
        outer.guard(nest)


def test_what_still_runs_when_all_is_closed_is_watched_to_its_end(watchdogs: Watchdogs) -> None:
    before = watching_threads()
    watchdog = Watchdog(0.05, "test", watchdogs)
    with watchdog.running():
        watchdogs.close()
        with pytest.raises(BlockedTooLongError):
            watchdog.guard(lambda: spin(30))
    assert watching_threads() == before
