"""Sending: again and again when it fails, to an end, and never by two at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from aiohttp_jobs import JobsConfig
from aiohttp_jobs.engine.embedded.notices import NoticeStore
from aiohttp_jobs.engine.embedded.store import FileSystemStore
from aiohttp_jobs.model.job import utc_now
from aiohttp_jobs.model.notice import Notice, NoticeState
from aiohttp_jobs.notify.delivery import Delivery
from aiohttp_jobs.notify.email import EmailChannel
from aiohttp_jobs.notify.outbox import Outbox
from aiohttp_jobs.notify.webhook import WebhookChannel
from aiohttp_jobs.system.storage_state import StorageState
from tests.gate import until

from ..raw_streams import serving
from .support import MailServer, Receiver, email, make_notice, webhook

Make = Callable[..., JobsConfig]
Start = Callable[..., Awaitable["Sender"]]


class Sender:
    """A process's part that sends notices."""

    def __init__(self, config: JobsConfig) -> None:
        self.jobs = FileSystemStore(config.base_dir, max_submission_bytes=1000, allow_unsigned=False)
        self.store = NoticeStore(config.base_dir)
        outbox = Outbox(self.store, self.jobs, storage=StorageState(config.base_dir))
        channels = {"email": EmailChannel(config), "webhook": WebhookChannel(config)}
        self.delivery = Delivery(config, self.store, outbox, channels, storage=StorageState(config.base_dir))
        self._is_running = False

    async def start(self) -> None:
        await self.jobs.open()
        await self.delivery.open()
        self._is_running = True

    async def stop(self) -> None:
        if self._is_running:
            self._is_running = False
            await self.delivery.close()
            await self.jobs.close()

    def add(self, notice: Notice) -> str:
        self.store.add(notice)
        self.delivery.wake()
        return notice.notice_id

    async def reached(self, notice_id: str, state: NoticeState) -> Notice:
        await until(lambda: self.store.get(notice_id).state is state, f"a notice that is {state}")
        return self.store.get(notice_id)


@pytest.fixture
async def start(make_config: Make) -> AsyncIterator[Start]:
    senders: list[Sender] = []

    async def start(**settings: Any) -> Sender:
        defaults = {
            "webhook_allow_private": True,
            "webhook_allowed_ports": "any",
            "notice_retry_seconds": 0.05,
            "poll_interval": 0.1,
        }
        sender = Sender(make_config(**{**defaults, **settings}))
        senders.append(sender)
        await sender.start()
        return sender

    yield start
    for sender in senders:
        await sender.stop()


async def test_a_mail_server_that_was_down_gets_the_message_when_it_is_back(
    start: Start, mail: MailServer
) -> None:
    await mail.stop()
    sender = await start(**mail.settings(), notice_max_attempts=1000, notice_retry_seconds=0.01)
    notice_id = sender.add(make_notice(email("ops@example.org")))
    await until(lambda: sender.store.get(notice_id).attempts >= 2, "two attempts")
    waiting = sender.store.get(notice_id)
    assert waiting.state is NoticeState.PENDING
    assert waiting.last_error == "The mail server cannot be reached."
    assert waiting.next_attempt_at is not None
    await mail.start()
    sent = await sender.reached(notice_id, NoticeState.SENT)
    assert len(mail.messages) == 1
    assert (sent.last_error, sent.next_attempt_at) == (None, None)
    assert sent.sent_at is not None


async def test_after_the_last_attempt_it_has_failed_and_is_kept(start: Start, receiver: Receiver) -> None:
    receiver.answers = [web.Response(status=500) for _ in range(10)]
    sender = await start(notice_max_attempts=3)
    failed = await sender.reached(sender.add(make_notice(webhook(receiver.url))), NoticeState.FAILED)
    assert (failed.attempts, failed.last_error) == (3, "The webhook answered 500.")
    assert len(receiver.requests) == 3
    assert len({request.headers["X-AiohttpJobs-Notice"] for request in receiver.requests}) == 1


async def test_what_will_not_help_is_not_repeated(start: Start, receiver: Receiver) -> None:
    receiver.answers = [web.Response(status=404)]
    sender = await start()
    failed = await sender.reached(sender.add(make_notice(webhook(receiver.url))), NoticeState.FAILED)
    assert failed.attempts == len(receiver.requests) == 1


async def test_only_those_who_have_not_got_it_are_written_to_again(start: Start, mail: MailServer) -> None:
    mail.refused = {"b@example.org": "450 Busy"}
    sender = await start(**mail.settings(), notice_max_attempts=1000)
    notice_id = sender.add(make_notice(email("a@example.org", "b@example.org")))
    await until(lambda: sender.store.get(notice_id).attempts >= 2, "two attempts")
    mail.refused = {}
    await sender.reached(notice_id, NoticeState.SENT)
    assert [envelope.rcpt_tos for envelope in mail.received] == [["a@example.org"], ["b@example.org"]]


async def test_retry_after_is_obeyed_but_not_for_ever(start: Start, receiver: Receiver) -> None:
    receiver.answers = [web.Response(status=429, headers={"Retry-After": "999999999"})]
    sender = await start()
    notice_id = sender.add(make_notice(webhook(receiver.url)))
    await until(lambda: sender.store.get(notice_id).attempts, "an attempt")
    next_attempt_at = sender.store.get(notice_id).next_attempt_at
    assert next_attempt_at is not None
    assert timedelta(minutes=50) < next_attempt_at - utc_now() <= timedelta(hours=1)


async def test_two_processes_send_each_notice_once(start: Start, receiver: Receiver) -> None:
    senders = [await start(), await start()]
    notices = [
        make_notice(webhook(receiver.url), job_id=f"{n:08}-1111-4111-8111-111111111111") for n in range(40)
    ]
    for number, notice in enumerate(notices):
        senders[number % 2].add(notice)
    for notice in notices:
        await senders[1].reached(notice.notice_id, NoticeState.SENT)
    ids = [request.headers["X-AiohttpJobs-Notice"] for request in receiver.requests]
    assert sorted(ids) == sorted(notice.notice_id for notice in notices)


async def test_the_other_process_goes_on_when_one_leaves(start: Start, receiver: Receiver) -> None:
    first, second = await start(), await start()
    await first.stop()
    await second.reached(second.add(make_notice(webhook(receiver.url))), NoticeState.SENT)


async def test_what_waits_is_sent_after_a_restart(start: Start, receiver: Receiver) -> None:
    await receiver.stop()
    sender = await start(notice_max_attempts=1000)
    notice_id = sender.add(make_notice(webhook(receiver.url)))
    await until(lambda: sender.store.get(notice_id).attempts, "an attempt")
    await sender.stop()
    await receiver.start()
    assert receiver.requests == []
    sender = await start(notice_max_attempts=1000)
    await sender.reached(notice_id, NoticeState.SENT)


async def test_one_deleted_while_it_is_sent_does_not_come_back(start: Start, receiver: Receiver) -> None:
    sender = await start()
    notice = make_notice(webhook(receiver.url))
    sender.add(notice)
    await until(lambda: receiver.requests, "a request")
    sender.store.remove([notice.notice_id])
    await asyncio.sleep(0.3)
    assert sender.store.all() == []


async def test_a_silent_mail_server_does_not_hold_up_webhooks(start: Start, receiver: Receiver) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with serving(say_nothing) as port:
        sender = await start(
            smtp_host="127.0.0.1", smtp_port=port, smtp_security="none", smtp_from="a@b.c", smtp_timeout=60
        )
        ids = [f"{number:08}-1111-4111-8111-111111111111" for number in range(21)]
        mails = [sender.add(make_notice(email("ops@example.org"), job_id=job_id)) for job_id in ids[1:]]
        await sender.reached(sender.add(make_notice(webhook(receiver.url), job_id=ids[0])), NoticeState.SENT)
        assert {sender.store.get(notice_id).state for notice_id in mails} == {NoticeState.PENDING}
        await sender.stop()


async def test_old_notices_and_too_many_are_cleared_away(start: Start) -> None:
    sender = await start(notice_max_kept=3, notice_keep_sent=3600, notice_keep_failed=7200)
    await sender.stop()

    def add(number: int, state: NoticeState, minutes: int, user_id: str = "alice") -> str:
        notice = make_notice(
            webhook("https://example.org"), job_id=f"{number:08}-1111-4111-8111-111111111111", user_id=user_id
        )
        created = utc_now() - timedelta(minutes=minutes)
        sender.store.add(notice.model_copy(update={"state": state, "created_at": created}))
        return notice.notice_id

    kept = [add(n, NoticeState.SENT, n) for n in range(3)]
    for number in range(3, 6):
        add(number, NoticeState.SENT, number)
    kept.append(add(6, NoticeState.SENT, 59, "bob"))
    add(7, NoticeState.SENT, 61, "bob")
    kept.append(add(8, NoticeState.FAILED, 119))
    add(9, NoticeState.FAILED, 121)
    sender = await start(notice_max_kept=3, notice_keep_sent=3600, notice_keep_failed=7200)
    await until(lambda: len(sender.store.all()) == len(kept), "clearing away")
    assert {notice.notice_id for notice in sender.store.all()} == set(kept)
