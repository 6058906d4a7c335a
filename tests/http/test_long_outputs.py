"""A long output over HTTP from a host that does not have its middle: whoever ran the job gives it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from ..client.test_client import client_of
from ..conftest import Host
from ..engine.postgres.host import started
from ..engine.postgres.test_long_outputs import LINES, PRINTED, SMALL, STALL, patience
from ..engines import HostEngine
from ..streams import Stream
from .test_output import get

__all__ = ["patience"]  # a fixture, for pytest to find
pytestmark = pytest.mark.parametrize("engine", ["postgres"], indirect=True)
StartHost = Callable[..., Awaitable[Host]]


@pytest.fixture
async def host(start_host: StartHost) -> Host:
    """A host that runs no jobs."""
    return await start_host(runs_jobs=False, **SMALL)


@pytest.fixture
async def worker(engine: HostEngine, tmp_path: Path) -> AsyncIterator[AsyncExitStack]:
    """Ends the process that runs them, when it is closed."""
    async with AsyncExitStack() as stack:
        await started(str(engine.settings["dsn"]), tmp_path / "worker", STALL, stack, **SMALL)
        yield stack


async def test_it_is_read_whole_by_ranges_and_by_streams_while_that_one_lives(
    host: Host, worker: AsyncExitStack, tmp_path: Path
) -> None:
    caller, size = host.caller("debug"), len(PRINTED)
    job_id = (await caller.run(LINES))["JobID"]
    status, body, headers = await get(caller, job_id, Range="bytes=300000-300999")
    assert (status, body) == (206, PRINTED[300_000:301_000])
    assert headers["Content-Range"] == f"bytes 300000-300999/{size}"
    # Who was cut off goes on from where it was.
    status, body, _ = await get(caller, job_id, Range="bytes=300000-", If_Range=headers["ETag"])
    assert (status, body) == (206, PRINTED[300_000:])
    async with client_of(host, "debug") as client:
        await client.save_output(job_id, tmp_path / "saved.txt")
    assert (tmp_path / "saved.txt").read_bytes() == PRINTED
    piece = await caller.request("GET", f"/jobs/{job_id}/output?offset=300000&limit=10")
    assert piece.body == PRINTED[300_000:300_010].decode()
    assert "X-Output-Left-Out" not in headers
    stream = Stream(caller, job_id)
    await stream.read(resume="1-300000")
    assert stream.text == PRINTED[300_000:].decode()

    await worker.aclose()
    # The file that was begun is not continued with other bytes: the answer is another text, which says so.
    status, body, headers = await get(caller, job_id, Range="bytes=300000-", If_Range=headers["ETag"])
    left_out = int(headers["X-Output-Left-Out"])
    note = f"\n[... {left_out} bytes of output left out: the process that ran the job had them".encode()
    assert status == 200
    assert body.startswith(PRINTED[:1000])
    assert body.endswith(PRINTED[-1000:])
    assert note in body
    piece = await caller.request("GET", f"/jobs/{job_id}/output?offset=300000&limit=10")
    assert int(piece.headers["X-Output-Offset"]) - 300_000 == int(piece.headers["X-Output-Left-Out"]) > 0
    stream = Stream(caller, job_id)
    await stream.read()
    (gap,) = [data for name, _, data in stream.events if name == "output" and "LeftOut" in data]
    assert (gap["LeftOut"], "does not answer" in gap["LeftOutBecause"]) == (left_out, True)
