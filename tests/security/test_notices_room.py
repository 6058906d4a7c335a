"""Having a receiver of one's own that never answers, so that nobody else's notices are sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest
from aiohttp import web

from aiohttp_jobs import JobsConfig
from aiohttp_jobs.notify.models import NoticeState

from ..gate import until
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
