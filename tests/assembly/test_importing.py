"""A stopped installation is moved from its data folder into a database, and is whole there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

import pytest

from aiohttp_jobs.engine.embedded.api_keys import ApiKeys
from aiohttp_jobs.engine.embedded.notices import NoticeStore
from aiohttp_jobs.errors import ConfigurationError
from aiohttp_jobs.model.job import JobStatus
from aiohttp_jobs.model.notice_events import Event

from ..conftest import Caller, Host
from ..engine.postgres.support import SECRET
from ..gate import until_answered
from ..notify.support import email, make_notice

pytest.importorskip("psycopg", reason="psycopg is missing: pip install 'aiohttp-jobs[postgres]'")

from aiohttp_jobs.assembly.importing import import_data_dir

StartHost = Callable[..., Awaitable[Host]]
_SMALL = {"max_output_bytes": 2000}
_TEMPLATE = {
    "name": "sealed",
    "command": 'test "$PARAM_word" = hunter2 && echo opened',
    "executionMode": "BackgroundJob",
    "parameters": [{"name": "word", "type": "secret", "required": True}],
}
_JOB = {"jobName": "nightly", "command": "true", "executionMode": "BackgroundJob"}


async def look(caller: Caller, paths: list[str]) -> list[Any]:
    return [(await caller.request("GET", path)).body for path in paths]


async def test_all_that_it_had_is_there_and_once(start_host: StartHost, postgres: str) -> None:
    old = await start_host(**_SMALL)
    keys = ApiKeys.in_data_dir(old.config.data_dir)
    _, secret = keys.create(name="hers", user_id="alice", roles=("site_admin",))
    caller = old.bearer(secret, "alice")
    short = await caller.run("echo short")
    long = await caller.run("seq 1 20000")
    retry = {"count": 1, "backoffSeconds": 0, "on": ["Failed"]}
    retried = await caller.run("echo $AIOHTTP_JOBS_ATTEMPT; seq 1 3000; exit 3", retry=retry)
    template = (await caller.request("POST", "/templates", json=_TEMPLATE)).body["template"]["TemplateID"]
    schedule = {"name": "nightly", "cron": "0 3 * * *", "job": _JOB}
    await caller.request("POST", "/schedules", json=schedule)
    await caller.request("POST", "/queue/pause")
    sealed = await caller.request("POST", f"/templates/{template}/run", json={"values": {"word": "hunter2"}})
    later = await caller.submit("echo later", delaySeconds=3600)
    paths = [
        "/results",
        *(f"/jobs/{each['JobID']}/output" for each in (short, long, retried)),
        *(f"/jobs/{each['JobID']}" for each in (short, long, retried)),
        "/schedules",
        "/templates",
    ]
    before = await look(caller, paths)
    assert before[2] == "".join(f"{n}\n" for n in range(1, 20001))

    with pytest.raises(ConfigurationError, match="A host runs on"):
        await asyncio.to_thread(import_data_dir, old.config.data_dir, postgres, SECRET)
    await old.stop()
    # One could not be sent yet, and of one the host died before it could say that it may be.
    unsent = NoticeStore(old.base_dir)
    rule, about = email("ops@example.org"), {"status": JobStatus.SUCCEEDED, "user_id": "alice"}
    unsent.add(make_notice(rule, Event.SUCCESS, job_id=short["JobID"], **about))
    unsent.prepare(make_notice(rule, Event.SUCCESS, job_id=long["JobID"], **about))
    brought = await asyncio.to_thread(import_data_dir, old.config.data_dir, postgres, SECRET)
    assert {name: tuple(asdict(count).values()) for name, count in brought.items()} == {
        "results": (3, 0, 0),
        "notices": (2, 0, 0),
        "waiting": (2, 0, 0),
        "schedules": (1, 0, 0),
        "templates": (1, 0, 0),
        "api_keys": (1, 0, 0),
    }
    again = await asyncio.to_thread(import_data_dir, old.config.data_dir, postgres, SECRET)
    assert {(count.new, count.refused) for count in again.values()} == {(0, 0)}
    assert (again["results"].known, again["waiting"].known, again["notices"].known) == (3, 0, 0)
    # Nobody starts there again by mistake, and has what was moved run once more.
    with pytest.raises(ConfigurationError, match="belongs to hosts with a secret"):
        await start_host(**_SMALL)

    new = await start_host(
        data_dir=old.config.data_dir.parent / "new", engine="postgres", dsn=postgres, secret=SECRET, **_SMALL
    )
    caller = new.bearer(secret, "alice")
    job_id = sealed.body["jobId"]
    notices = (await caller.request("GET", "/notices")).body["notices"]
    assert {each["JobID"] for each in notices} == {short["JobID"], long["JobID"]}

    async def has_ended() -> bool:
        answer = await caller.request("GET", f"/jobs/{job_id}")
        return answer.body["job"]["Status"] not in {"Queued", "Pending", "Running"}

    await until_answered(has_ended, "the job that waited")
    assert (await caller.request("GET", f"/jobs/{job_id}/output")).body == "opened\n"
    assert (await caller.request("GET", f"/jobs/{later}")).body["job"]["Status"] == "Pending"
    await caller.request("POST", "/results/delete", json={"jobIds": [job_id]})
    assert await look(caller, paths) == before
