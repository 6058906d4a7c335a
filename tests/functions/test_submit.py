"""``aiohttp_jobs.submit``: the host's own code has its functions run as jobs, and awaits or cancels them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import aiohttp_jobs
from aiohttp_jobs import ConfigurationError, ExecutionMode, Functions, JobFailedError, JobsConfig
from aiohttp_jobs.errors import InvalidFieldsError, NotFoundError, ShuttingDownError, TooManyPendingError
from aiohttp_jobs.model.job import RetryPolicy

from ..conftest import Host
from ..gate import PATIENCE_SECONDS
from . import chained, labelled, sample, troublesome

StartHost = Callable[..., Awaitable[Host]]


@pytest.fixture
async def host(start_host: StartHost) -> Host:
    return await start_host(functions=sample.jobs)


async def test_a_job_of_the_hosts_own_code_needs_no_role_and_is_the_named_users(host: Host) -> None:
    bound = sample.rebuild.bind(index="users", dry_run=True)
    handle = await aiohttp_jobs.submit(host.app, bound, user="nightly", delay=3600)
    nightly = host.caller(user_id="nightly")
    job = (await nightly.request("GET", f"/jobs/{handle.id}")).body["job"]
    assert (job["UserID"], job["JobName"]) == ("nightly", "Rebuild the search index")
    assert (job["Function"], job["FunctionValues"]) == ("rebuild", {"index": "users", "dry_run": True})
    assert (await host.caller().request("GET", f"/jobs/{handle.id}")).status == 403


async def test_what_the_code_says_of_a_run_counts(host: Host) -> None:
    handle = await aiohttp_jobs.submit(
        host.app,
        sample.rebuild.bind("users"),
        mode="BackgroundJob",
        job_name="by code",
        description="of a test",
        priority=9,
        run_at=datetime.now(UTC) + timedelta(hours=1),
        timeout=7,
    )
    job = (await host.caller(user_id="host").request("GET", f"/jobs/{handle.id}")).body["job"]
    shown = ("ExecutionMode", "JobName", "Description", "Priority", "TimeoutSeconds", "UserID")
    assert [job[name] for name in shown] == ["BackgroundJob", "by code", "of a test", 9, 7.0, "host"]


@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
async def test_its_workers_labels_are_the_functions_unless_the_run_names_others(
    start_host: StartHost,
) -> None:
    alice = (await start_host(functions=labelled.jobs)).caller("debug")

    async def labels(**run: Any) -> list[str]:
        body = {"values": {}, "delaySeconds": 3600, **run}
        answer = await alice.request("POST", "/functions/render/run", json=body)
        assert answer.status == 200, answer.body
        view = await alice.request("GET", f"/jobs/{answer.body['jobId']}")
        found: list[str] = view.body["job"]["Labels"]
        return found

    assert await labels() == ["gpu"]
    assert await labels(labels=["big"]) == ["big"]
    assert await labels(labels=[]) == []
    assert await labels(executionMode="MainLoop") == []


async def test_labels_are_refused_where_there_are_no_workers(start_host: StartHost) -> None:
    with pytest.raises(ConfigurationError, match="function render cannot run here: labels cannot be asked"):
        await start_host(functions=labelled.jobs)
    in_main_loop = Functions()
    in_main_loop.function(mode="MainLoop", labels=["gpu"])(labelled.render.plain)
    await start_host(functions=in_main_loop)


async def test_it_is_cancelled_by_its_handle(host: Host) -> None:
    handle = await aiohttp_jobs.submit(host.app, sample.rebuild.bind("users"), user="nightly", delay=3600)
    await handle.cancel()
    with pytest.raises(
        JobFailedError, match=r"ended Cancelled: The job was cancelled by nightly\."
    ) as caught:
        await handle
    assert (caught.value.job_id, caught.value.job_status) == (handle.id, "Cancelled")
    assert (await handle.result())["Status"] == caught.value.result["Status"] == "Cancelled"
    await handle.cancel()


async def test_awaiting_it_gives_what_the_function_returned(host: Host) -> None:
    handle = await aiohttp_jobs.submit(host.app, sample.rebuild.bind("users", dry_run=True))
    assert await handle == {"rows": 0}
    assert await handle == {"rows": 0}
    assert (await handle.result())["ReturnValue"] == {"rows": 0}


async def test_a_function_may_wait_for_others(start_host: StartHost) -> None:
    host = await start_host(functions=chained.jobs)
    bound = chained.add_up.bind([1, 2, 3, 4])
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await (await aiohttp_jobs.submit(host.app, bound, user="alice")) == 20
    results = await host.caller().results()
    assert sorted(each["Function"] for each in results) == ["add_up"] * 7 + ["double"] * 4


async def test_what_waits_through_a_restart_is_still_the_codes(start_host: StartHost) -> None:
    host = await start_host(functions=sample.jobs)
    await host.caller("site_admin", user_id="root").request("POST", "/queue/pause")
    handle = await aiohttp_jobs.submit(host.app, sample.rebuild.bind("users"), user="nightly")
    await host.stop()
    host = await start_host(functions=sample.jobs)
    await host.caller("site_admin", user_id="root").request("POST", "/queue/resume")
    assert (await host.caller(user_id="nightly").result(handle.id))["ReturnValue"] == {"rows": 3}


async def test_so_is_what_is_tried_again(start_host: StartHost) -> None:
    host = await start_host(functions=troublesome.jobs)
    retry = RetryPolicy(count=1, backoff_seconds=0.0)
    handle = await aiohttp_jobs.submit(host.app, troublesome.fail.bind("no"), retry=retry)
    with pytest.raises(JobFailedError, match="ended Failed: ValueError: no") as caught:
        await handle
    assert caught.value.result["Attempt"] == 2


async def test_a_job_whose_result_is_deleted_is_awaited_no_longer(host: Host) -> None:
    handle = await aiohttp_jobs.submit(host.app, sample.rebuild.bind("users"), user="alice", delay=3600)
    await handle.cancel()
    await handle.result()
    alice = host.caller()
    assert (await alice.request("DELETE", f"/jobs/results?jobId={handle.id}")).status == 200
    with pytest.raises(NotFoundError):
        await handle


async def test_who_waits_when_the_host_stops_is_told(host: Host) -> None:
    handle = await aiohttp_jobs.submit(host.app, sample.rebuild.bind("users"), delay=3600)
    waiting = asyncio.ensure_future(handle.result())
    await asyncio.sleep(0)
    await host.stop()
    with pytest.raises(ShuttingDownError):
        await waiting


async def test_the_limits_of_the_user_hold(start_host: StartHost) -> None:
    host = await start_host(functions=sample.jobs, max_pending_per_user=1)
    await aiohttp_jobs.submit(host.app, sample.rebuild.bind("users"), delay=3600)
    with pytest.raises(TooManyPendingError):
        await aiohttp_jobs.submit(host.app, sample.rebuild.bind("users"), delay=3600)
    await aiohttp_jobs.submit(host.app, sample.rebuild.bind("users"), delay=3600, user="other")


async def test_bad_arguments_are_refused(host: Host) -> None:
    bound = sample.rebuild.bind("users")
    for wrong in ({"delay": -1}, {"priority": 10}, {"mode": "Elsewhere"}, {"run_at": datetime(2026, 1, 1)}):
        with pytest.raises(ValueError, match="1 validation error"):
            await aiohttp_jobs.submit(host.app, bound, **wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidFieldsError, match="executionMode must be one of this function's"):
        await aiohttp_jobs.submit(host.app, bound, mode=ExecutionMode.MAIN_LOOP)
    with pytest.raises(ValueError, match="user_id must not be empty"):
        await aiohttp_jobs.submit(host.app, bound, user="")


async def test_only_functions_that_the_plugin_was_given_are_taken(host: Host, tmp_path: Path) -> None:
    stranger = Functions().function(mode="BackgroundJob", name="rebuild")(sample.add)
    with pytest.raises(ConfigurationError, match="does not know the function rebuild"):
        await aiohttp_jobs.submit(host.app, stranger.bind(1, 2))
    with pytest.raises(ConfigurationError, match="No plugin is mounted"):
        await aiohttp_jobs.submit(web.Application(), sample.rebuild.bind("users"))


async def test_nothing_is_submitted_before_the_start_or_after_the_end(
    host: Host, make_config: Callable[..., JobsConfig], tmp_path: Path
) -> None:
    app = web.Application()
    aiohttp_jobs.setup(app, make_config(data_dir=tmp_path / "other"), functions=sample.jobs)
    with pytest.raises(ConfigurationError, match="once the application has started"):
        await aiohttp_jobs.submit(app, sample.rebuild.bind("users"))
    await host.stop()
    with pytest.raises((ConfigurationError, ShuttingDownError)):
        await aiohttp_jobs.submit(host.app, sample.rebuild.bind("users"))


async def test_of_several_plugins_the_one_that_has_the_function_takes_it(
    start_host: StartHost, make_config: Callable[..., JobsConfig], tmp_path: Path
) -> None:
    app = web.Application()
    aiohttp_jobs.setup(app, make_config(prefix="/other", data_dir=tmp_path / "other"))
    host = await start_host(app, functions=sample.jobs)
    handle = await aiohttp_jobs.submit(app, sample.rebuild.bind("users"), user="alice", delay=3600)
    assert (await host.caller().request("GET", f"/jobs/{handle.id}")).status == 200
    (_, jobs_app) = app._subapps
    other = await aiohttp_jobs.submit(jobs_app, sample.rebuild.bind("users"), delay=3600)
    assert other.id != handle.id


def test_what_a_handle_says_of_a_job_that_failed() -> None:
    result: dict[str, Any] = {"JobID": "1", "Status": "Failed", "Output": "a\n[ERROR] ValueError: no\n"}
    assert str(JobFailedError(result)) == "The job 1 ended Failed: ValueError: no"
    assert (
        str(JobFailedError({"JobID": "1", "Status": "TimedOut", "Output": ""})) == "The job 1 ended TimedOut."
    )
