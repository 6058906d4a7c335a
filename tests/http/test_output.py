"""A job's output over HTTP as RFC 9110 wants it: lengths, ranges and validators."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ..cases import cases
from ..conftest import Caller, Host
from ..engines import BOTH
from ..gate import PATIENCE_SECONDS, Gate

StartHost = Callable[..., Awaitable[Host]]


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


async def get(caller: Caller, job_id: str, method: str = "GET", **headers: str) -> tuple[int, bytes, Any]:
    """Status, bytes and headers of the answer to a request for the output; ``_`` stands for ``-``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"{caller.base}/jobs/{job_id}/output"
    async with caller.session.request(method, url, headers=named) as response:
        return response.status, await response.read(), response.headers


async def printed(caller: Caller, job_id: str, size: int) -> None:
    """Wait until the job has printed `size` bytes."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len((await get(caller, job_id))[1]) < size:
            await asyncio.sleep(0.02)


async def test_requests_that_real_clients_make(host: Host) -> None:
    caller = host.caller("debug")
    job_id = (await caller.run("printf 0123456789"))["JobID"]
    for case in cases("http"):
        headers = dict(case["request"])
        status, body, answered = await get(caller, job_id, headers.pop("method", "GET"), **headers)
        assert status == case["status"], case
        for name, value in case.get("headers", {}).items():
            assert answered[name] == value.replace("<length>", "10"), case
        if status == 200:
            assert body in (b"0123456789", b""), case


@pytest.mark.parametrize(
    ("query", "range_"), [("", ""), ("?offset=2", ""), ("?offset=2&limit=4", ""), ("", "bytes=2-5")]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_no_answer_is_an_error_of_the_servers_own(
    host: Host, gate: Gate, caplog: pytest.LogCaptureFixture, method: str, query: str, range_: str
) -> None:
    caller = host.caller("debug")
    running = await caller.submit(f"printf 0123456789; {gate.shell}")
    await printed(caller, running, 10)
    ended = (await caller.run("printf 0123456789"))["JobID"]
    headers = {"Range": range_} if range_ else {}
    for job_id in (running, ended):
        url = f"{caller.base}/jobs/{job_id}/output{query}"
        async with caller.session.request(method, url, headers=headers) as response:
            body = await response.read()
            assert response.status in (200, 206)
            whole = b"" if method == "HEAD" else b"0123456789"
            assert body == (whole[2:6] if "4" in query or range_ else whole[2:] if query else whole)
    gate.open()
    assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize(
    "command", ["printf 0123456789", "true", "seq 1 100000", "printf '€%.0s' $(seq 50000)"]
)
async def test_an_ended_output_has_its_length_and_is_what_its_validator_says(
    host: Host, command: str
) -> None:
    caller = host.caller("debug")
    job_id = (await caller.run(command))["JobID"]
    status, body, headers = await get(caller, job_id)
    assert (status, headers["Content-Length"]) == (200, str(len(body)))
    assert headers["ETag"] == f'"{job_id}-1-{len(body)}"'
    assert headers["X-Output-Attempt"] == "1"
    head = await get(caller, job_id, "HEAD", Range="bytes=0-1")
    assert (head[0], head[1], head[2]["Content-Length"]) == (200, b"", str(len(body)))
    assert (head[2]["ETag"], head[2]["Accept-Ranges"]) == (headers["ETag"], "bytes")
    for known in (headers["ETag"], f"W/{headers['ETag']}", f'"x", {headers["ETag"]}', "*"):
        status, nothing, same = await get(caller, job_id, If_None_Match=known)
        assert (status, nothing, same["ETag"]) == (304, b"", headers["ETag"])
    assert (await get(caller, job_id, If_None_Match='"x"'))[0] == 200


async def test_a_range_counts_only_for_the_output_it_was_made_for(host: Host) -> None:
    caller = host.caller("debug")
    job_id = (await caller.run("printf 0123456789"))["JobID"]
    tag, other = f'"{job_id}-1-10"', "a7f3e8d9-4b2c-4f5a-9e7d-6c8b3a2f1e0d"
    for condition, status in (
        (tag, 206),
        (f'"{job_id}-1-4"', 206),  # of when it was shorter: an output only grows
        (f'"{job_id}-1-11"', 200),
        (f'"{job_id}-2-4"', 200),
        (f'"{other}-1-10"', 200),
        (f"W/{tag}", 200),
        ("Sun, 29 Nov 2026 08:00:00 GMT", 200),
        ("", 200),
        ("nonsense", 200),
    ):
        answer = await get(caller, job_id, Range="bytes=4-", If_Range=condition)
        assert answer[0] == status, condition
        assert answer[1] == (b"456789" if status == 206 else b"0123456789")


async def test_a_range_of_an_attempt_never_goes_on_with_the_next_one(host: Host, gate: Gate) -> None:
    caller = host.caller("debug")
    command = (
        f"printf 'attempt '$AIOHTTP_JOBS_ATTEMPT; [ $AIOHTTP_JOBS_ATTEMPT = 1 ] || {{ {gate.shell}; }}; false"
    )
    job_id = await caller.submit(command, retry={"count": 1, "backoffSeconds": 0})
    await gate.reached()
    await printed(caller, job_id, 9)
    first = f'"{job_id}-1-9"'
    for _ in range(2):  # while the second runs, and when it has ended
        status, body, headers = await get(caller, job_id, Range="bytes=8-", If_Range=first)
        assert (status, body[:9], headers["X-Output-Attempt"]) == (200, b"attempt 2", "2")
        again = await get(caller, job_id, Range="bytes=8-8", If_Range=headers["ETag"])
        assert (again[0], again[1]) == (206, b"2")
        gate.open()
        await caller.result(job_id)


@BOTH
async def test_a_running_output_is_gone_on_with_where_it_grows(host: Host, gate: Gate) -> None:
    caller = host.caller("debug")
    job_id = await caller.submit(f"printf 01234; {gate.shell}; printf 56789")
    await printed(caller, job_id, 5)
    status, body, headers = await get(caller, job_id)
    assert (status, body, headers["ETag"]) == (200, b"01234", f'"{job_id}-1-5"')
    head = await get(caller, job_id, "HEAD")
    assert (head[2]["Content-Length"], head[2]["ETag"]) == ("5", headers["ETag"])
    assert (await get(caller, job_id, If_None_Match=headers["ETag"]))[0] == 200
    status, body, ranged = await get(caller, job_id, Range="bytes=5-", If_Range=headers["ETag"])
    assert (status, ranged["Content-Range"]) == (416, "bytes */5")
    gate.open()
    await caller.result(job_id)
    status, body, ranged = await get(caller, job_id, Range="bytes=5-", If_Range=headers["ETag"])
    assert (status, body, ranged["Content-Range"]) == (206, b"56789", "bytes 5-9/10")


@BOTH
async def test_an_output_with_a_gap_is_one_text_whichever_part_of_it_is_asked_for(
    start_host: StartHost,
) -> None:
    caller = (await start_host(max_log_bytes=2 * 1024 * 1024)).caller("debug")
    job_id = (await caller.run("yes '€ and so on' | head -n 650000; echo end"))["JobID"]
    _, whole, headers = await get(caller, job_id)
    assert b"bytes of output left out" in whole
    assert whole.endswith(b"end\n")
    assert "\N{REPLACEMENT CHARACTER}" not in whole.decode()
    assert headers["Content-Length"] == str(len(whole))
    gap = whole.index(b"\n[...")
    for start, stop in ((0, 5), (gap - 3, gap + 40), (gap + 5, len(whole)), (len(whole) - 5, len(whole))):
        status, body, ranged = await get(caller, job_id, Range=f"bytes={start}-{stop - 1}")
        assert (status, body) == (206, whole[start:stop])
        assert ranged["Content-Range"] == f"bytes {start}-{stop - 1}/{len(whole)}"
    earlier = f'"{job_id}-1-{gap - 10}"'
    assert (await get(caller, job_id, Range=f"bytes={gap - 10}-", If_Range=earlier))[1] == whole[gap - 10 :]
    # Who went on reading past the gap while the job ran has other bytes there.
    assert (await get(caller, job_id, Range=f"bytes={gap + 10}-", If_Range=earlier))[1] == whole


async def test_a_file_is_told_from_the_beginning_of_an_output_by_its_digest(host: Host, gate: Gate) -> None:
    caller = host.caller("debug")
    job_id = await caller.submit(f"printf 01234; {gate.shell}; printf 56789")
    await printed(caller, job_id, 5)
    for length, complete in ((5, False), (5, True), (10, True)):
        if complete:
            gate.open()
            await caller.result(job_id)
        answer = await caller.request("GET", f"/jobs/{job_id}/output/digest?length={length}")
        digest = hashlib.sha256(b"0123456789"[:length]).hexdigest()
        assert (answer.status, answer.body["sha256"]) == (200, digest)
        assert (answer.body["attempt"], answer.body["complete"]) == (1, complete)
    beyond = await caller.request("GET", f"/jobs/{job_id}/output/digest?length=11")
    assert (beyond.status, beyond.body["code"]) == (416, "range_not_satisfiable")
    assert (await caller.request("GET", f"/jobs/{job_id}/output/digest?length=x")).status == 422
