"""Having a receiver of one's own that never answers, so that nobody else's notices are sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest
from aiohttp import web

from aiohttp_jobs import JobsConfig
from aiohttp_jobs.model.notice import NoticeState

from ..conftest import Host
from ..gate import until, until_answered
from ..notify.support import Receiver, make_notice, webhook
from ..notify.test_delivery import Sender


@pytest.fixture
async def silence() -> AsyncIterator[tuple[str, list[int]]]:
    """A receiver that takes requests and answers none until the test is over: its URL, and who has come."""
    over, came = asyncio.Event(), list[int]()

    async def hold(_: web.Request) -> web.Response:
        came.append(1)
        await over.wait()
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/hook", hold)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook", came
    over.set()
    await runner.cleanup()


async def test_one_users_receiver_that_never_answers_holds_up_everybodys_notices(
    make_config: Callable[..., JobsConfig], silence: tuple[str, list[int]]
) -> None:
    url, came = silence
    sender, receiver = (
        Sender(make_config(webhook_allow_private=True, webhook_allowed_ports="any")),
        Receiver(),
    )
    async with AsyncExitStack() as stack:
        await receiver.start()
        stack.push_async_callback(receiver.stop)
        await sender.start()
        stack.push_async_callback(sender.stop)
        for _ in range(50):
            sender.add(make_notice(webhook(url), user_id="mallory", job_id=str(uuid4())))
        await until(lambda: len(came) >= 8, "as many of mallory's as there may be")
        for user in ("alice", "bob"):
            notice = make_notice(webhook(receiver.url), user_id=user, job_id=str(uuid4()))
            await sender.reached(sender.add(notice), NoticeState.SENT)
        assert len(came) == 8


async def test_one_user_has_notices_wait_without_end(
    start_host: Callable[..., Awaitable[Host]], silence: tuple[str, list[int]]
) -> None:
    url, _ = silence
    host = await start_host(
        webhook_allow_private=True, webhook_allowed_ports="any", max_pending_notices_per_user=2
    )
    mallory, alice = host.caller("task_manager", user_id="mallory"), host.caller("task_manager")
    job = {"jobName": "told", "command": "true", "executionMode": "BackgroundJob"}
    asking = {**job, "notify": [{"channel": "webhook", "url": url, "on": "always"}] * 2}
    accepted = await mallory.request("POST", "/jobs/submit?wait=50", json=asking)
    assert accepted.status == 200, accepted.body

    async def wait() -> bool:
        return len((await mallory.request("GET", "/notices?state=pending")).body["notices"]) == 2

    await until_answered(wait, "both notices' waiting")
    refused = await mallory.request("POST", "/jobs/submit", json=asking)
    assert (refused.status, refused.body["code"]) == (429, "limit_reached")
    assert refused.body["limit"] == {"name": "maxPendingNoticesPerUser", "value": 2, "used": 2}
    # Nothing of it was accepted; jobs that ask for nothing, and those of others, are.
    assert (await mallory.request("GET", "/jobs?state=queued")).body["count"] == 0
    assert (await mallory.request("POST", "/jobs/submit", json=job)).status == 200
    assert (await alice.request("POST", "/jobs/submit", json=asking)).status == 200
    # What was deleted waits no more.
    for notice in (await mallory.request("GET", "/notices")).body["notices"]:
        assert (await mallory.request("DELETE", f"/notices/{notice['NoticeID']}")).status == 200
    assert (await mallory.request("POST", "/jobs/submit", json=asking)).status == 200
