"""Progress over HTTP: in a job's view, in its stream and in the list's, whatever prints it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Caller, Host
from ..engines import BOTH
from ..gate import PATIENCE_SECONDS, Gate, until_answered
from ..powershell import needs_pwsh
from ..streams import Stream
from .test_feed import watching

StartHost = Callable[..., Awaitable[Host]]
ALMOST = r"printf '\033]9;4;1;42;420%%20rows\007'"


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


async def progress(caller: Caller, job_id: str) -> Any:
    answer = await caller.request("GET", f"/jobs/{job_id}")
    assert answer.status == 200
    return answer.body["job"].get("Progress", "none")


def told(stream: Stream) -> list[Any]:
    return [data for name, _, data in stream.events if name == "progress"]


@pytest.mark.parametrize(
    ("mode", "interpreter", "command"),
    [
        ("BackgroundJob", "shell", ALMOST),
        ("Runspace", "shell", ALMOST),
        ("Runspace", "python", r"print('\033]9;4;1;42;420%20rows\033\\', end='')"),
        ("MainLoop", "python", r"print('\033]9;4;1;42;420%20rows\007', end='')"),
    ],
)
async def test_a_running_job_shows_it_and_an_ended_one_does_not(
    host: Host, gate: Gate, mode: str, interpreter: str, command: str
) -> None:
    caller = host.caller("debug")
    waits = gate.shell if interpreter == "shell" else gate.python
    if mode == "MainLoop":
        waits = gate.awaiting_python
    job_id = await caller.submit(f"{command}\n{waits}", mode, interpreter=interpreter)
    await gate.reached()
    expected = {"Share": 0.42, "Text": "420 rows"}

    async def is_shown() -> bool:
        return bool(await progress(caller, job_id) == expected)

    await until_answered(is_shown, "progress being shown")
    jobs = (await caller.request("GET", "/jobs?state=running")).body["jobs"]
    assert [job["Progress"] for job in jobs] == [expected]
    gate.open()
    result = await caller.result(job_id)
    assert "\x1b]9;4;1;42;420%20rows" in result["Output"]
    assert "Progress" not in result
    assert await progress(caller, job_id) == "none"


async def test_a_job_that_says_nothing_shows_none(host: Host, gate: Gate) -> None:
    caller = host.caller("debug")
    job_id = await caller.submit(f"echo 42; {gate.shell}")
    await gate.reached()
    assert await progress(caller, job_id) == "none"
    gate.open()


async def test_the_stream_tells_it_as_it_changes(host: Host, gate: Gate) -> None:
    caller = host.caller("debug")
    steps = r"printf '\033]9;4;1;0\007'; sleep 0.3; printf '\033]9;4;3;0;busy\007'; sleep 0.3; "
    job_id = await caller.submit(
        rf"{steps} {ALMOST}; {gate.shell}; sleep 0.3; printf '\033]9;4;0\007'; sleep 0.3"
    )
    stream = Stream(caller, job_id)
    reading = asyncio.create_task(stream.read())
    await gate.reached()
    gate.open()
    await asyncio.wait_for(reading, PATIENCE_SECONDS)
    assert told(stream) == [
        {"share": 0.0, "text": ""},
        {"share": None, "text": "busy"},
        {"share": 0.42, "text": "420 rows"},
        {},
    ]
    positions = [position for _, position, _ in stream.events]
    assert positions == sorted(positions, key=lambda at: [int(part) for part in at.split("-")])


async def test_whoever_comes_later_is_told_at_once(host: Host, gate: Gate) -> None:
    caller = host.caller("debug")
    job_id = await caller.submit(f"{ALMOST}; {gate.shell}")
    await gate.reached()
    stream = Stream(caller, job_id)
    reading = asyncio.create_task(stream.read())
    while not told(stream):
        await asyncio.sleep(0.01)
    assert told(stream) == [{"share": 0.42, "text": "420 rows"}]
    gate.open()
    await reading


@pytest.mark.slow
async def test_many_a_second_are_told_some_times_a_second_and_the_last_always(host: Host, gate: Gate) -> None:
    caller = host.caller("debug")
    count = r"for i in range(1000): print(f'\033]9;4;1;{i / 10:g}\007', end=''); time.sleep(0.001)"
    job_id = await caller.submit(f"import time\n{count}\n{gate.python}", "Runspace", interpreter="python")
    stream = Stream(caller, job_id)
    began = time.monotonic()
    reading = asyncio.create_task(stream.read())
    while not told(stream) or told(stream)[-1]["share"] != 0.999:
        await asyncio.sleep(0.01)
    assert len(told(stream)) <= 10 * (time.monotonic() - began) + 2
    gate.open()
    await reading


async def test_the_list_is_told_once_a_second_at_most_and_of_the_last(host: Host, gate: Gate) -> None:
    caller = host.caller("debug")
    count = r"for i in range(1001): print(f'\033]9;4;1;{i / 10:g}\007', end=''); time.sleep(0.001)"
    async with watching(caller) as events, asyncio.timeout(PATIENCE_SECONDS):
        began = time.monotonic()
        await caller.submit(f"import time\n{count}\n{gate.python}", "Runspace", interpreter="python")
        shares: list[float] = []
        async for name, data in events:
            if name == "job" and "Progress" in data:
                shares.append(data["Progress"]["Share"])
                if shares[-1] == 1.0:
                    break
        assert shares == sorted(shares)
        assert len(shares) <= time.monotonic() - began + 2
    gate.open()


@BOTH
async def test_a_process_that_does_not_run_the_job_finds_it_in_the_log(
    start_host: StartHost, gate: Gate
) -> None:
    one, other = await start_host(max_parallel_background=1), await start_host(max_parallel_background=1)
    here, there = one.caller("debug"), other.caller("debug")
    job_ids = [await here.submit(f"seq 1 30000; {ALMOST}; seq 1 1000; {gate.shell}") for _ in range(2)]
    await gate.reached(2)
    expected = {"Share": 0.42, "Text": "420 rows"}
    for job_id in job_ids:
        for caller in (here, there):

            async def is_shown(caller: Caller = caller, job_id: str = job_id) -> bool:
                return bool(await progress(caller, job_id) == expected)

            await until_answered(is_shown, "progress being shown in both processes")
            stream = Stream(caller, job_id)
            reading = asyncio.create_task(stream.read())
            while not told(stream):
                await asyncio.sleep(0.01)
            assert told(stream) == [{"share": 0.42, "text": "420 rows"}]
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
    gate.open()


@BOTH
async def test_the_list_is_told_of_what_another_process_runs(start_host: StartHost, gate: Gate) -> None:
    one, other = await start_host(max_parallel_background=1), await start_host(max_parallel_background=1)
    here, there = one.caller("debug"), other.caller("debug")
    async with watching(here) as events, watching(there) as events_there, asyncio.timeout(PATIENCE_SECONDS):
        await here.submit(f"{ALMOST}; {gate.shell}")
        for each in (events, events_there):
            async for name, data in each:
                if name == "job" and data.get("Progress") == {"Share": 0.42, "Text": "420 rows"}:
                    break
    gate.open()


@BOTH
async def test_the_next_attempt_begins_without(host: Host, gate: Gate) -> None:
    caller = host.caller("debug")
    command = f'if [ "$AIOHTTP_JOBS_ATTEMPT" = 1 ]; then {ALMOST}; sleep 0.3; exit 1; fi; {gate.shell}'
    job_id = await caller.submit(command, retry={"count": 1, "backoffSeconds": 0})
    stream = Stream(caller, job_id)
    reading = asyncio.create_task(stream.read())
    await gate.reached()
    assert await progress(caller, job_id) == "none"
    gate.open()
    await reading
    assert told(stream) == [{"share": 0.42, "text": "420 rows"}, {}]


@needs_pwsh
@pytest.mark.parametrize("mode", ["MainLoop", "Runspace"])
async def test_write_progress_of_powershell_is_the_same_and_a_preference_keeps_it_out(
    host: Host, tmp_path: Path, mode: str
) -> None:
    caller, gate = host.caller("debug"), tmp_path / "open"
    waits = f"while (-not (Test-Path '{gate}')) {{ Start-Sleep -Milliseconds 20 }}"
    command = (
        "1..100 | ForEach-Object { Write-Progress -Id 1 -Activity 'inner' -ParentId 0 -PercentComplete $_ }\n"
        "Write-Progress -Activity 'Größe; all' -Status '420 rows' -PercentComplete 42\n"
        f"{waits}; Write-Progress -Activity a -Completed; 'after'"
    )
    job_id = await caller.submit(command, mode, interpreter="powershell")

    async def is_shown() -> bool:
        return bool(await progress(caller, job_id) == {"Share": 0.42, "Text": "Größe; all: 420 rows"})

    await until_answered(is_shown, "progress being shown")
    gate.touch()
    result = await caller.result(job_id)
    assert result["Status"] == "Succeeded", result
    assert result["Output"].endswith("\x1b]9;4;0;0\x07")
    assert result["Output"].replace("\x1b]9;4;0;0\x07", "").endswith("after\n")

    command = "$ProgressPreference = 'SilentlyContinue'; Write-Progress -Activity a; 'only'"
    kept_out = await caller.run(command, mode, interpreter="powershell")
    assert kept_out["Output"] == "only\n"
