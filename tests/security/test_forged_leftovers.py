"""The door: files put where a host that died would have left those of its jobs, to be taken over."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from aiohttp_jobs.model.job import new_job_id

from ..conftest import Host
from ..engine.embedded.drops import Drops

StartHost = Callable[..., Awaitable[Host]]
RETRY = {"count": 3, "backoffSeconds": 0, "on": ["Failed", "Interrupted"]}


def leave(base: Path, name: str, record: dict[str, Any], owner: str = "alice") -> None:
    """As if a process had died while it ran what is in `record`, which it had picked up as `name`."""
    (base / "JobOutput" / f"{name}.json").write_text(json.dumps(record))
    process = base / "Running" / secrets.token_hex(16)
    (process / "jobs" / name).mkdir(parents=True)
    (process / "jobs" / name / "owner").write_text(owner)
    (process / "lock").touch()


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    return tmp_path / "ran"


async def has_run(host: Host, ran: Path) -> tuple[dict[str, Any], str]:
    """A signed submission with retries that has run, and the name of its files."""
    record = Drops(host).signed(Command=f"echo run >> {ran}", Retry=RETRY)
    Drops(host).put(record)
    await host.caller("debug").result(record["JobID"])
    (path,) = (host.base_dir / "JobOutput").glob("*.json")
    return record, path.stem


async def results_after(host: Host) -> list[dict[str, Any]]:
    """Once a job that was submitted after the start has ended, and nothing waits or runs."""
    alice = host.caller("debug")
    await alice.run("true", jobName="after")
    while (await alice.request("GET", "/jobs?state=running,queued,pending")).body["jobs"]:
        await asyncio.sleep(0.05)
    return [result for result in await alice.results() if result["JobName"] != "after"]


async def test_a_signed_copy_that_a_dead_host_had_picked_up_under_another_id_does_not_run_again(
    host: Host, start_host: StartHost, ran: Path
) -> None:
    record, name = await has_run(host, ran)
    await host.stop()
    leave(host.base_dir, f"{name.rpartition('_')[0]}_{new_job_id()}", record)
    results = await results_after(await start_host())
    assert ran.read_text() == "run\n"
    assert sorted(result["Status"] for result in results) == ["Rejected", "Succeeded"]


async def test_nor_does_it_as_another_attempt_of_its_own(
    host: Host, start_host: StartHost, ran: Path
) -> None:
    record, name = await has_run(host, ran)
    await host.stop()
    (host.base_dir / "JobResults" / f"{record['JobID']}.json").unlink()
    leave(host.base_dir, f"{name}.attempt2", record)
    (result,) = await results_after(await start_host())
    assert result["Status"] == "Rejected"
    assert ran.read_text() == "run\n"


async def test_a_deleted_job_does_not_come_back_as_one_that_a_dead_host_was_running(
    host: Host, start_host: StartHost, ran: Path
) -> None:
    record, name = await has_run(host, ran)
    answer = await host.caller("debug").request("DELETE", f"/jobs/results?jobId={record['JobID']}")
    assert answer.status == 200
    await host.stop()
    leave(host.base_dir, name, record)
    assert await results_after(await start_host()) == []
    assert ran.read_text() == "run\n"


async def test_what_was_edited_is_not_signed_by_the_host_as_the_next_attempt(
    host: Host, start_host: StartHost, ran: Path
) -> None:
    record = Drops(host).signed(JobName="edited", Command="true", Retry=RETRY)
    name = f"elsewhere_edited_{record['JobID']}"
    await host.stop()
    leave(host.base_dir, name, {**record, "Command": f"echo run >> {ran}"})
    (host.base_dir / "JobOutput" / f"{name}.result.json").write_text("{}")
    (result,) = await results_after(await start_host())
    assert result["Status"] == "Rejected"
    assert "changed after it was signed" in result["Output"]
    assert not ran.exists()
