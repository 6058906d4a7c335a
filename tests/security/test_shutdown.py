"""Whatever jobs leave running, hanging or locked, the host ends soon after it is told to."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from aiohttp_jobs.system.closing import Closing

from ..conftest import Host, is_alive
from ..gate import PATIENCE_SECONDS, until
from ..hosts.process import ROOT
from .victim import StartVictim, victims

STUBBORN = "trap '' TERM HUP INT; echo $$ > {}; while :; do sleep 1; done"
HELD_UP = """
import os, sys, time
from aiohttp_jobs.system.threads import DaemonThreads, started
threads = DaemonThreads(2, "held-up")
reader, _ = os.pipe()
waiting = [submit(os.read, reader, 1) for submit in (threads.submit, threads.submit, started)]
assert threads.submit(int, "7").cancel()
threads.shutdown()
print("ends")
"""


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[StartVictim]:
    async with victims(tmp_path) as begin:
        yield begin


async def test_jobs_that_will_not_end_do_not_keep_the_host_from_ending(
    start: StartVictim, tmp_path: Path
) -> None:
    victim = await start()
    marks = [tmp_path / f"pid{number}" for number in range(2)]
    await victim.caller.submit(STUBBORN.format(marks[0]))
    await victim.caller.submit(STUBBORN.format(marks[1]), "Runspace")
    await until(lambda: all(mark.exists() and mark.read_text() for mark in marks), "both jobs starting")
    victim.ends()
    assert not any(is_alive(int(mark.read_text())) for mark in marks)


async def test_a_job_that_leaves_more_than_can_be_removed_does_not_keep_the_host_from_ending(
    start: StartVictim,
) -> None:
    victim = await start()
    many = "for n in range(30_000): open(str(n), 'w').close()"
    await asyncio.gather(*(victim.caller.run(many, interpreter="python") for _ in range(2)))
    victim.ends()


async def test_locks_that_a_job_holds_do_not_keep_the_host_from_ending(start: StartVictim) -> None:
    victim = await start()
    names = ["Templates/.lock", "Schedules/.lock", "Notices/.lock", "Notices/.sending", "Running/.recovery"]
    held = [os.open(victim.base / name, os.O_RDWR | os.O_CREAT, 0o600) for name in names]
    try:
        for descriptor in held[:3]:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        victim.ends()
    finally:
        for descriptor in held:
            os.close(descriptor)


def test_a_thread_that_the_kernel_holds_up_does_not_keep_the_process() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HELD_UP],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "ends\n"), ended.stderr


async def test_a_part_that_does_not_close_does_not_keep_the_others(caplog: pytest.LogCaptureFixture) -> None:
    closed: list[str] = []

    async def hangs() -> None:
        await asyncio.Event().wait()

    async def fails() -> None:
        raise OSError("no disk")

    async def closes() -> None:
        closed.append("closed")

    closing = Closing()
    for what, close in (("One", hangs), ("Another", fails), ("The last", closes)):
        await closing.close(what, close)
    assert closed == ["closed"]
    assert "One did not close" in caplog.text
    assert "Another could not be closed" in caplog.text


async def test_a_host_that_is_stopped_leaves_no_thread_behind(
    start_host: Callable[..., Awaitable[Host]],
) -> None:
    """They are not joined; but they end by themselves once they have nothing more to do."""
    of_others = set(threading.enumerate())
    host = await start_host()
    await host.caller("debug").run("true")
    await host.stop()

    def own() -> list[str]:
        since = set(threading.enumerate()) - of_others
        return [each.name for each in since if each.name.startswith("aiohttp-jobs")]

    await until(lambda: not own(), "the plugin's threads ending")
