"""Live output: Server-Sent Events, polling and ranges."""

from __future__ import annotations

import asyncio
import re

import pytest

from ..conftest import Host
from ..engines import BOTH
from ..gate import PATIENCE_SECONDS
from ..streams import Stream


async def test_output_comes_while_the_job_runs_then_its_end(host: Host) -> None:
    caller = host.caller("debug")
    for mode, interpreter, command in (
        ("BackgroundJob", "shell", "printf one; sleep 60"),
        ("Runspace", "python", "import time; print('one', end=''); time.sleep(60)"),
        ("Runspace", "shell", "printf one; sleep 60"),
        ("MainLoop", "python", "import asyncio\nprint('one', end='')\nawait asyncio.sleep(60)"),
    ):
        job_id = await caller.submit(command, mode, interpreter=interpreter)
        stream = Stream(caller, job_id)
        await stream.read(at_most=1)
        assert stream.text == "one"
        assert ("status", "Running") in [(name, data.get("Status")) for name, _, data in stream.events]
        await caller.request("POST", f"/jobs/{job_id}/cancel")
        await stream.read(resume=stream.events[-1][1])
        name, _, data = stream.events[-1]
        assert (name, data["Status"]) == ("end", "Cancelled")
        assert stream.text == (await caller.result(job_id))["Output"]


async def test_resuming_at_every_event_leaves_no_gap_and_repeats_nothing(host: Host) -> None:
    caller = host.caller("debug")
    command = "for i in $(seq 1 30); do printf 'größe %s €🙂\\n' $i; sleep 0.01; done"
    job_id = await caller.submit(command)
    stream = Stream(caller, job_id)
    position = None
    while not stream.ended:
        await stream.read(resume=position, at_most=1)
        position = stream.events[-1][1]
    expected = "".join(f"größe {n} €🙂\n" for n in range(1, 31))
    assert stream.text == expected == (await caller.result(job_id))["Output"]


async def test_a_stream_of_an_ended_job_tells_it_all_and_ends(host: Host) -> None:
    caller = host.caller("debug")
    result = await caller.run("printf '\\377\\376bytes'; seq 1 20000")
    stream = Stream(caller, result["JobID"])
    await stream.read()
    assert stream.ended
    assert stream.text == result["Output"]


@BOTH
async def test_output_too_long_for_its_result_is_still_there_in_whole(host: Host) -> None:
    caller = host.caller("debug")
    job_id = await caller.submit("seq 1 500000")
    live = Stream(caller, job_id)
    await live.read()
    expected = "".join(f"{n}\n" for n in range(1, 500001))
    assert live.text == expected
    result = await caller.result(job_id)
    assert result["OutputTruncated"] is True
    assert result["OutputSize"] == len(expected)
    assert (await caller.request("GET", f"/jobs/{job_id}/output")).body == expected
    await caller.request("DELETE", f"/jobs/results?jobId={job_id}")
    if host.config.engine == "embedded":
        assert not [p for p in (host.base_dir / "JobOutput").iterdir() if job_id in p.name]


@pytest.mark.slow
async def test_many_watchers_see_the_same_and_one_that_never_reads_holds_up_nobody(host: Host) -> None:
    caller = host.caller("debug")
    job_id = await caller.submit("sleep 0.2; seq 1 300000")
    async with caller.session.get(f"{caller.base}/jobs/{job_id}/events") as stuck:
        assert stuck.status == 200
        watchers = [Stream(caller, job_id) for _ in range(20)]
        await asyncio.gather(*(watcher.read() for watcher in watchers))
        result = await caller.result(job_id)
        assert result["Status"] == "Succeeded"
    texts = {watcher.text for watcher in watchers}
    assert len(texts) == 1
    assert len(texts.pop()) == result["OutputSize"]


async def test_polling_from_an_offset_reads_on_where_it_left_off(host: Host) -> None:
    caller = host.caller("debug")
    job_id = await caller.submit("for i in 1 2 3 4 5; do echo line $i; sleep 0.05; done")
    text, offset, complete = "", 0, False
    while not complete:
        answer = await caller.request("GET", f"/jobs/{job_id}/output?offset={offset}")
        assert answer.status == 200
        assert int(answer.headers["X-Output-Offset"]) == offset
        text += answer.body
        offset = int(answer.headers["X-Output-Next"])
        complete = answer.headers["X-Output-Complete"] == "true"
        await asyncio.sleep(0.02)
    assert text == "".join(f"line {n}\n" for n in range(1, 6))


async def test_ranges_of_an_ended_jobs_output(host: Host) -> None:
    caller = host.caller("debug")
    job_id = (await caller.run("printf 0123456789"))["JobID"]
    for wanted, status, body, header in (
        ("bytes=0-3", 206, "0123", "bytes 0-3/10"),
        ("bytes=8-", 206, "89", "bytes 8-9/10"),
        ("bytes=8-99", 206, "89", "bytes 8-9/10"),
        ("bytes=10-", 416, None, None),
        ("bytes=5-2", 416, None, None),
        ("bytes=-3", 206, "789", "bytes 7-9/10"),
        ("bytes=-99", 206, "0123456789", "bytes 0-9/10"),
        ("bytes=-0", 416, None, None),
        ("BYTES= 2-2", 206, "2", "bytes 2-2/10"),
        ("bytes=99999999999999999999999-", 416, None, None),
        ("bytes=-", 200, "0123456789", None),
        ("bytes=0-1,3-4", 200, "0123456789", None),
        ("lines=1-2", 200, "0123456789", None),
    ):
        answer = await caller.request("GET", f"/jobs/{job_id}/output", headers={"Range": wanted})
        assert answer.status == status, wanted
        if body is not None:
            assert (answer.body, answer.headers.get("Content-Range")) == (body, header)
        else:
            assert answer.headers["Content-Range"] == "bytes */10"


async def test_a_bad_last_event_id_is_refused(host: Host) -> None:
    caller = host.caller("debug")
    job_id = (await caller.run("true"))["JobID"]
    answer = await caller.request("GET", f"/jobs/{job_id}/events", headers={"Last-Event-ID": "x"})
    assert (answer.status, answer.body["code"]) == (422, "invalid_fields")


async def test_streams_end_when_the_server_shuts_down(host: Host) -> None:
    caller = host.caller("debug")
    job_id = await caller.submit("echo up; sleep 60")
    stream = Stream(caller, job_id)
    reading = asyncio.create_task(stream.read())
    while not stream.text:
        await asyncio.sleep(0.02)
    await host.runner.cleanup()
    await asyncio.wait([reading], timeout=PATIENCE_SECONDS)
    assert reading.done()
    assert reading.exception() is None or not stream.ended


async def test_a_range_is_exact_and_polling_always_gets_on(host: Host) -> None:
    caller = host.caller("debug")
    job_id = (await caller.run("printf '€€'"))["JobID"]
    url = f"{caller.base}/jobs/{job_id}/output"
    for wanted, expected in (
        ("bytes=0-0", b"\xe2"),
        ("bytes=1-3", b"\x82\xac\xe2"),
        ("bytes=4-", b"\x82\xac"),
    ):
        async with caller.session.get(url, headers={"Range": wanted}) as response:
            assert (response.status, await response.read()) == (206, expected)
    answer = await caller.request("GET", f"/jobs/{job_id}/output?offset=0&limit=1")
    assert (answer.body, answer.headers["X-Output-Next"]) == ("€", "3")


async def test_a_long_output_that_is_no_ascii_is_streamed_and_downloaded_whole(host: Host) -> None:
    caller = host.caller("debug")
    job_id = await caller.submit("print('x' + '€' * 1_000_000)", interpreter="python")
    live = Stream(caller, job_id)
    await live.read()
    expected = "x" + "€" * 1_000_000 + "\n"
    assert live.text == expected
    assert (await caller.request("GET", f"/jobs/{job_id}/output")).body == expected


@BOTH
async def test_a_watcher_that_missed_the_end_of_an_attempt_is_told_it_before_the_next(host: Host) -> None:
    caller = host.caller("debug")
    command = "echo of attempt $AIOHTTP_JOBS_ATTEMPT; false"
    job_id = await caller.submit(command, retry={"count": 2, "backoffSeconds": 0.01})
    result = await caller.result(job_id)
    assert result["Attempt"] == 3
    late = Stream(caller, job_id)
    await late.read(resume="1-3")
    told = {"1": "", "2": "", "3": ""}
    for name, position, data in late.events:
        if name == "output":
            told[position.split("-")[0]] += data["Text"]
    expected = [f"of attempt {n}\n[ERROR] The command exited with code 1.\n" for n in (1, 2, 3)]
    assert list(told.values()) == [expected[0][3:], *expected[1:]]
    assert [int(position.split("-")[0]) for _, position, _ in late.events] == sorted(
        int(position.split("-")[0]) for _, position, _ in late.events
    )
    fresh = Stream(caller, job_id)
    await fresh.read()
    assert fresh.text == expected[2]


async def test_it_is_told_so_while_the_next_attempt_runs_too(host: Host) -> None:
    caller = host.caller("debug")
    command = "echo of attempt $AIOHTTP_JOBS_ATTEMPT; test $AIOHTTP_JOBS_ATTEMPT = 2 && sleep 60; false"
    job_id = await caller.submit(command, retry={"count": 2, "backoffSeconds": 0.01})
    current = Stream(caller, job_id)
    while "of attempt 2" not in current.text:
        await current.read(at_most=1)
    late = Stream(caller, job_id)
    await late.read(resume="1-3", at_most=2)
    assert late.text == "attempt 1\n[ERROR] The command exited with code 1.\nof attempt 2\n"
    await caller.request("POST", f"/jobs/{job_id}/cancel")


async def test_what_there_is_so_far_can_be_had_without_waiting_for_more(host: Host) -> None:
    """As a page does that has more outputs in view than connections."""
    caller = host.caller("task_manager")
    job_id = await caller.submit("echo so far; sleep 600")
    address = f"{caller.base}/jobs/{job_id}/events?follow=0"
    seen = ""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while "so far" not in seen:
            async with caller.session.get(address) as stream:
                seen = (await stream.read()).decode()
    assert "event: end" not in seen
    position = re.findall(r"^id: (\S+)", seen, re.MULTILINE)[-1]
    async with caller.session.get(address, headers={"Last-Event-ID": position}) as stream:
        rest = (await stream.read()).decode()
    assert "event: status" in rest
    assert "so far" not in rest
    await caller.request("POST", f"/jobs/{job_id}/cancel")
    await caller.result(job_id)
    async with caller.session.get(address, headers={"Last-Event-ID": position}) as stream:
        assert "event: end" in (await stream.read()).decode()
