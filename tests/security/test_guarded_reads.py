"""Whatever a job puts below the data folder, the host answers, runs jobs, and ends when it is told to."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from aiohttp_jobs.engine.embedded.files.dropped_files import DroppedFiles
from aiohttp_jobs.model.job import new_job_id

from . import traps
from .traps import Trap, put
from .victim import INDEX, SCHEDULE, TEMPLATE, StartVictim, victims


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[StartVictim]:
    async with victims(tmp_path) as begin:
        yield begin


@pytest.mark.parametrize("trap", traps.ALL)
async def test_a_job_that_sets_traps_in_every_folder_stops_nobody(start: StartVictim, trap: Trap) -> None:
    victim = await start()
    await victim.works()
    record_id = victim.set_everywhere(trap)
    await victim.answers(record_id)
    await victim.works()
    await victim.takes_in_drops()
    victim.ends()


@pytest.mark.parametrize("trap", traps.ALL)
async def test_a_job_that_sets_traps_for_the_next_start_does_not_keep_the_host_from_starting(
    start: StartVictim, trap: Trap
) -> None:
    victim = await start()
    ran = await victim.caller.run("echo kept")
    victim.ends()
    record_id = victim.set_everywhere(trap)
    for name in INDEX:
        put(trap, victim.base / name, victim.base)
    victim = await start()
    await victim.answers(record_id)
    await victim.works()
    await victim.takes_in_drops()
    assert (await victim.caller.result(ran["JobID"]))["Output"] == "kept\n"
    victim.ends()


async def test_a_bad_entry_is_named_once_in_the_log_and_not_at_every_look(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, start_host: Any
) -> None:
    host = await start_host(poll_interval=0.05)
    alice = host.caller("debug", "system_admin")
    record_id = new_job_id()
    for name in ("Templates", "Schedules", "Notices", "JobResults"):
        put(traps.pipe, host.base_dir / name / f"{record_id}.json", host.base_dir)
    for _ in range(20):
        for path in ("/templates", "/schedules", "/notices", "/results"):
            assert (await alice.request("GET", path)).status == 200
        await asyncio.sleep(0.05)
    for noun in ("Template", "Schedule", "Notice", "Result"):
        named = [
            each for each in caplog.records if record_id in each.getMessage() and noun in each.getMessage()
        ]
        assert len(named) == 1, noun


@pytest.mark.parametrize(
    ("lock", "method", "path", "body"),
    [
        ("Templates/.lock", "POST", "/templates", TEMPLATE),
        ("Schedules/.lock", "POST", "/schedules", SCHEDULE),
    ],
)
async def test_a_job_that_holds_a_lock_for_ever_hangs_nobody(
    start: StartVictim, lock: str, method: str, path: str, body: dict[str, Any]
) -> None:
    victim = await start()
    descriptor = os.open(victim.base / lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        answer = await victim.caller.request(method, path, json=body)
        assert (answer.status, answer.body["code"]) == (503, "busy")
        assert (await victim.caller.run("echo hello"))["Output"] == "hello\n"
        victim.ends()
    finally:
        os.close(descriptor)


async def test_a_job_that_holds_the_lock_of_the_keys_hangs_nobody(start_host: Any) -> None:
    host = await start_host()
    admin = await host.signed_in("debug", "system_admin")
    descriptor = os.open(host.base_dir / "Secrets" / "api-keys.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        assert (await admin.request("POST", "/api-keys", json={"name": "k"})).status == 503
    finally:
        os.close(descriptor)
    assert (await admin.request("POST", "/api-keys", json={"name": "k"})).status == 201


async def test_a_job_that_holds_the_lock_of_recovery_does_not_stop_dropped_files(
    start: StartVictim,
) -> None:
    victim = await start()
    (victim.base / "Running" / "somebody").mkdir()
    descriptor = os.open(victim.base / "Running" / ".recovery", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        await victim.takes_in_drops()
        await victim.works()
        victim.ends()
    finally:
        os.close(descriptor)


def test_very_many_dropped_files_do_not_hold_up_those_of_others(tmp_path: Path) -> None:
    for user, count in (("mallory", 12_000), ("bob", 3)):
        (tmp_path / user).mkdir()
        for number in range(count):
            os.close(os.open(tmp_path / user / f"{number}.json", os.O_CREAT | os.O_WRONLY))
    drops = DroppedFiles(tmp_path)
    first, there_are_more = drops.take((), 250)
    assert (len(first), there_are_more) == (250, True)
    assert sum(path.parent.name == "bob" for path in first) == 3
    known = set(map(str, first))
    drops.announce([str(tmp_path / "carol" / "late.json")])
    second, _ = drops.take(known, 250)
    assert tmp_path / "carol" / "late.json" in second
    while portion := drops.take(known, 1000)[0]:
        known.update(map(str, portion))
        for path in portion:
            path.unlink()
    assert len(known | set(map(str, second))) > 12_000, "what was beyond the bound is found in the end"
