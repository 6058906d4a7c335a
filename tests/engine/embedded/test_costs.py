"""What one job costs, by counting: writes that wait for the disk, files."""

from __future__ import annotations

import gc
import os
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from aiohttp_jobs.engine.running.active import ActiveJob
from aiohttp_jobs.worker.output.log import OutputLog

from ...conftest import Host
from ...gate import Gate, until_answered

StartHost = Callable[..., Awaitable[Host]]
NEVER = 3600.0


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each of these was called, with what they were called on where that matters."""
    calls: Counter[str] = Counter()

    def count(name: str, key: Callable[..., str]) -> None:
        real = getattr(os, name)

        def counting(*arguments: Any, **options: Any) -> Any:
            calls[key(*arguments)] += 1
            return real(*arguments, **options)

        monkeypatch.setattr(os, name, counting)

    def opened(path: Any, flags: int, *_: Any) -> str:
        return "created" if flags & os.O_CREAT else "opened"

    if not hasattr(os, "RWF_DSYNC"):
        pytest.skip("the journal is written in another way here")
    count("pwritev", lambda *_: "journal")
    count("fsync", lambda *_: "fsync")
    count("open", opened)
    return calls


async def test_a_job_that_starts_at_once_is_one_write_then_and_one_at_its_end(
    start_host: StartHost, counted: Counter[str], tmp_path: Path
) -> None:
    host = await start_host(poll_interval=NEVER)
    alice = host.caller("debug")
    while not counted["journal"]:  # it is made in the background; until then files are synced
        await alice.run("/bin/true")
    gate = Gate(tmp_path / "gate")
    counted.clear()

    job_id = await alice.submit(gate.shell)
    await gate.reached()
    assert (counted["journal"], counted["fsync"]) == (1, 0)

    gate.open()
    await alice.result(job_id)
    assert (counted["journal"], counted["fsync"]) == (2, 0)


async def test_a_simple_command_is_two_files(start_host: StartHost, counted: Counter[str]) -> None:
    host = await start_host(poll_interval=NEVER)
    alice = host.caller("debug")
    await alice.run("/bin/true")
    counted.clear()

    await alice.run("/bin/true")

    assert counted["created"] == 2, "the submission and the result"


async def test_an_ended_job_leaves_nothing_to_the_garbage_collector(start_host: StartHost) -> None:
    host = await start_host()
    alice = host.caller("debug")

    gc.disable()
    try:
        job_id = (await alice.run("echo said"))["JobID"]

        async def nothing_is_left() -> bool:
            active = [each for each in gc.get_objects() if isinstance(each, ActiveJob)]
            return not any(each.job.job_id == job_id for each in active)  # tests before may have left theirs

        await until_answered(nothing_is_left, "that the job is forgotten")
    finally:
        gc.enable()


async def test_an_output_that_is_too_long_for_its_result_is_not_written_by_the_event_loop(
    start_host: StartHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await start_host(max_output_bytes=1024)
    writing: list[threading.Thread] = []
    flush = OutputLog.flush

    def noting(log: OutputLog, *, and_close: bool = True) -> None:
        writing.append(threading.current_thread())
        flush(log, and_close=and_close)

    monkeypatch.setattr(OutputLog, "flush", noting)
    result = await host.caller("debug").run("seq 5000")
    assert result["OutputTruncated"]
    assert writing
    assert threading.main_thread() not in writing
