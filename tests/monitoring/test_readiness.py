"""Readiness: every thing by itself, and what hangs holds nobody up for longer than a moment."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from aiohttp_jobs.errors import RightsUnavailableError
from aiohttp_jobs.monitoring.disk import Disk
from aiohttp_jobs.monitoring.readiness import NotReadyError, Phase, Readiness, ReadinessFinding
from aiohttp_jobs.system.storage_state import StorageState


async def good() -> None:
    """Nothing is in the way."""


def serving(**looks: object) -> Readiness:
    readiness = Readiness(looks)  # type: ignore[arg-type]
    readiness.phase = Phase.SERVING
    return readiness


async def faults(readiness: Readiness) -> dict[str, str]:
    return {each.name: each.message for each in await readiness.findings() if not each.is_good}


async def test_a_host_that_starts_stops_or_is_about_to_is_not_ready() -> None:
    readiness = Readiness({"disk": good})
    assert await readiness.findings() == [ReadinessFinding("server", False, "The server is starting.")]
    readiness.phase = Phase.SERVING
    assert await faults(readiness) == {}
    for phase in (Phase.DRAINING, Phase.CLOSING):
        readiness.phase = phase
        assert await faults(readiness) == {"server": phase.value}


async def test_what_is_in_the_way_is_said_in_words_and_what_is_unexpected_not_at_all() -> None:
    async def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def locked() -> None:
        raise RightsUnavailableError

    async def little() -> None:
        raise NotReadyError("Little.")

    async def unexpected() -> None:
        raise KeyError("postgresql://jobs:secret@db/jobs")

    found = await faults(serving(disk=full, keys=locked, room=little, other=unexpected, good=good))
    assert found["disk"] == "There is no room for The data folder (No space left on device)."
    assert found["keys"] == str(RightsUnavailableError())
    assert found["room"] == "Little."
    assert found["other"] == "It failed (KeyError); see the server's log."
    assert "good" not in found


async def test_what_hangs_is_waited_for_once_and_asked_once() -> None:
    asked, release = 0, asyncio.Event()

    async def hangs() -> None:
        nonlocal asked
        asked += 1
        await release.wait()

    readiness, clock = serving(disk=hangs, keys=good), asyncio.get_running_loop().time
    assert set(await faults(readiness)) == {"disk"}
    began = clock()
    for _ in range(100):
        assert set(await faults(readiness)) == {"disk"}
    assert clock() - began < 50.0  # where each alone would wait for a second
    release.set()
    await asyncio.sleep(0)
    while await faults(readiness):
        await asyncio.sleep(0)
    assert asked == 1
    await readiness.close()


async def test_many_who_ask_at_once_cost_one_look() -> None:
    asked = 0

    async def counts() -> None:
        nonlocal asked
        asked += 1

    readiness = serving(disk=counts)
    await asyncio.gather(*(readiness.findings() for _ in range(100)))
    assert asked == 1


async def test_a_disk_with_too_little_room_takes_no_jobs(tmp_path: Path) -> None:
    disk = Disk(tmp_path, 1 << 60, StorageState(tmp_path))
    with pytest.raises(NotReadyError, match=r"MB are free, and new jobs need .* \(min_free_bytes\)"):
        await disk.require_usable()
    await Disk(tmp_path, 0, StorageState(tmp_path)).require_usable()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        await Disk(tmp_path / "gone", 0, StorageState(tmp_path)).require_usable()
