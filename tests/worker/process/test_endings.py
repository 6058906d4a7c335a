"""Ends of child processes: each is told once, and all that come at once by one wake-up of the loop."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator

import pytest

from aiohttp_jobs.worker.process.starting import Endings

from ...gate import PATIENCE_SECONDS


@pytest.fixture
async def endings() -> AsyncIterator[Endings]:
    made = Endings()
    yield made
    made.close()


def started(count: int) -> list[subprocess.Popen[bytes]]:
    return [subprocess.Popen(["/bin/sh", "-c", "read line"], stdin=subprocess.PIPE) for _ in range(count)]


async def until(told: list[int], count: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(told) < count:
            await asyncio.sleep(0.01)


async def test_each_is_told_when_it_has_ended_and_not_before(endings: Endings) -> None:
    told: list[int] = []
    children = started(3)
    for child in children:
        endings.tell(child.pid, lambda pid=child.pid: told.append(pid))
    await asyncio.sleep(0.05)
    assert told == []
    ended = []
    for child in (children[1], children[0], children[2]):
        child.communicate(b"\n")
        ended.append(child.pid)
        await until(told, len(ended))
        assert told == ended


async def test_one_that_has_ended_already_is_told_too(endings: Endings) -> None:
    told: list[int] = []
    child = started(1)[0]
    assert child.stdin is not None
    child.stdin.close()
    await asyncio.to_thread(os.waitid, os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    endings.tell(child.pid, lambda: told.append(child.pid))
    await until(told, 1)
    assert child.wait() == 1, "it was left to be reaped"


async def test_nothing_stays_open(endings: Endings) -> None:
    before = len(os.listdir("/proc/self/fd"))
    told: list[int] = []
    for child in started(5):
        endings.tell(child.pid, lambda pid=child.pid: told.append(pid))
        child.communicate(b"\n")
    await until(told, 5)
    endings.close()
    assert len(os.listdir("/proc/self/fd")) == before
