"""Dropped files are picked up by event, and nothing is listed that has not changed: by counting."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from aiohttp_jobs.engine.embedded.files.dropped_files import DroppedFiles
from aiohttp_jobs.engine.embedded.files.inotify import DroppedFilesWatch

from ...conftest import Host
from ...counting import listed_folders
from ...gate import Gate, until
from .drops import Drops

StartHost = Callable[..., Awaitable[Host]]
NEVER = 3600.0


# --- by event


async def test_a_dropped_file_runs_without_waiting_for_the_look(start_host: StartHost) -> None:
    host = await start_host(poll_interval=NEVER)
    drops, alice, bob = Drops(host), host.caller(), host.caller(user_id="bob")
    first, second, third = drops.signed(), drops.signed(), drops.signed(UserID="bob")

    drops.put(first)
    assert (await alice.result(first["JobID"]))["Success"] is True
    drops.put(second)
    drops.put(third, user="bob")

    assert (await alice.result(second["JobID"]))["Success"] is True
    assert (await bob.result(third["JobID"]))["Success"] is True


async def test_a_file_that_is_written_slowly_runs_when_it_is_complete(start_host: StartHost) -> None:
    host = await start_host(poll_interval=NEVER)
    drops = Drops(host)
    record = drops.signed()
    data = json.dumps(record).encode()

    with (drops.folder() / "slow.json").open("wb", buffering=0) as file:
        file.write(data[:100])
        await asyncio.sleep(0.2)
        file.write(data[100:])

    assert (await host.caller().result(record["JobID"]))["Success"] is True


async def test_a_bad_file_is_set_aside_without_a_further_event(start_host: StartHost) -> None:
    host = await start_host(poll_interval=NEVER)
    (Drops(host).folder() / "new.json").write_bytes(b"no JSON")

    await until(lambda: list((host.base_dir / "JobResults").glob("*.json")), "the rejection")


async def test_a_dropped_file_is_picked_up_when_somebody_asks_where_no_event_tells_of_it(
    start_host: StartHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "inotify_simple", None)
    host = await start_host(poll_interval=NEVER)
    drops, alice = Drops(host), host.caller("task_manager")
    for _ in range(2):  # the look of a host that has just started may come only now, and find the first
        record = drops.signed()
        path = drops.put(record)
        await asyncio.sleep(0.3)
        if path.exists():
            break
    assert path.exists()

    refused = await host.caller(user_id="bob").request("POST", "/queue/pick-up")
    answer = await alice.request("POST", "/queue/pick-up")

    assert (refused.status, refused.body["code"]) == (403, "forbidden")
    assert (answer.status, answer.body) == (202, {"success": True, "requested": True})
    assert (await alice.result(record["JobID"]))["Success"] is True


async def test_own_submissions_make_nobody_look(start_host: StartHost) -> None:
    host = await start_host(poll_interval=NEVER)
    alice = host.caller("debug")
    await alice.run("true")
    await asyncio.sleep(1.5)  # its user's folder was new

    with listed_folders(host.base_dir / "JobSubmission") as listed:
        for _ in range(5):
            await alice.run("true")
        await asyncio.sleep(0.2)

    assert listed == []


async def test_news_come_in_one_piece_and_own_files_are_none(tmp_path: Path) -> None:
    news: list[list[str]] = []
    watch = DroppedFilesWatch(tmp_path, lambda paths: news.append(list(paths)))
    (tmp_path / "alice").mkdir()
    await watch.open()
    try:
        watch.expect(str(tmp_path / "alice" / "own.json"))
        for name in ("own.json", "one.json", "two.json", ".hidden", "three.tmp"):
            (tmp_path / "alice" / name).write_text("{}")
        await until(lambda: news, "the news")
        assert news == [[str(tmp_path / "alice" / name) for name in ("one.json", "two.json")]]
    finally:
        await watch.close()


# --- by looking


def test_folders_are_listed_only_when_they_have_changed(tmp_path: Path) -> None:
    (tmp_path / "alice").mkdir()
    path = tmp_path / "alice" / "a.json"
    path.write_text("{}")
    drops = DroppedFiles(tmp_path)
    assert drops.take((), 10) == ([path], False)
    known = {str(path)}
    with listed_folders(tmp_path) as listed:
        # A change within the same tick of the clock would not show: until then it is looked at again.
        while drops.has_news(known):
            assert drops.take(known, 10) == ([], False)
        listed.clear()
        assert drops.take(known, 10) == ([], False)
        assert listed == []
        assert drops.has_news(()), "a job that was let go of is found again"
        assert drops.take((), 10) == ([path], False)
        (tmp_path / "bob").mkdir()
        assert drops.has_news(known)


def test_portions_are_the_oldest_first_of_one_listing(tmp_path: Path) -> None:
    (tmp_path / "alice").mkdir()
    paths = [tmp_path / "alice" / f"{name}.json" for name in "gfedcba"]
    for path in paths:
        path.write_text("{}")
    drops = DroppedFiles(tmp_path)
    with listed_folders(tmp_path) as listed:
        portions = [drops.take((), 3) for _ in range(3)]
        assert listed == [".", "alice"]
    assert [more for _, more in portions] == [True, True, False]
    assert sorted(path for found, _ in portions for path in found) == sorted(paths)


def test_what_is_announced_is_found_without_listing(tmp_path: Path) -> None:
    (tmp_path / "alice").mkdir()
    path = tmp_path / "alice" / "a.json"
    path.write_text("{}")
    drops = DroppedFiles(tmp_path)
    with listed_folders(tmp_path) as listed:
        drops.announce([str(path)])
        assert drops.take((), 10) == ([path], False)
        assert listed == []
        drops.announce([])
        assert drops.take((), 10) == ([path], False)
        assert listed == [".", "alice"]


@pytest.mark.parametrize("mode", ["BackgroundJob", "MainLoop"])
@pytest.mark.slow
async def test_many_files_are_read_while_the_first_job_runs(
    start_host: StartHost, tmp_path: Path, mode: str
) -> None:
    host = await start_host(mainloop_timeout=60)
    await host.stop()
    drops, gate = Drops(host), Gate(tmp_path / "gate")
    held = gate.shell if mode == "BackgroundJob" else gate.awaiting_python
    interpreter = "shell" if mode == "BackgroundJob" else "python"
    drops.put(drops.signed(Command=held, ExecutionMode=mode, Interpreter=interpreter), name="first.json")
    for number in range(600):
        path = drops.put(drops.signed(Command="true"), name=f"{number:04}.json")
        os.utime(path)

    again = await start_host(poll_interval=NEVER, max_parallel_background=1, mainloop_timeout=60)
    alice = again.caller("debug")
    await gate.reached()

    queued = 0
    while queued < 600:
        queued = (await alice.request("GET", "/queue")).body["queue"]["queued"]
        await asyncio.sleep(0.02)
    gate.open()
