"""Webhooks against a real receiver; and the host's own network, which they must not reach."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from aiohttp_jobs import JobsConfig
from aiohttp_jobs.model.job import utc_now
from aiohttp_jobs.model.notice import Notice
from aiohttp_jobs.notify.channel import DeliveryError
from aiohttp_jobs.notify.webhook import DISABLED, REFUSED, WebhookChannel

from ..gate import PATIENCE_SECONDS
from ..raw_streams import serving
from .support import Names, Receiver, make_notice, webhook

Make = Callable[..., JobsConfig]
INTO_PRIVATE: dict[str, Any] = {"webhook_allow_private": True, "webhook_allowed_ports": "any"}
HOW_TO = Path(__file__).parents[2] / "docs/how-to/notices.md"


async def send(config: JobsConfig, notice: Notice, resolver: AbstractResolver | None = None) -> None:
    channel = WebhookChannel(config, resolver)
    await channel.open()
    await channel.send(notice)


async def failure(
    config: JobsConfig, notice: Notice, resolver: AbstractResolver | None = None
) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await send(config, notice, resolver)
    return caught.value


def verifier() -> Callable[..., bool]:
    """The how-to's function that checks signatures."""
    (code,) = re.findall(r"```python\n(import [^`]*?def verify.*?)```", HOW_TO.read_text(), re.DOTALL)
    scope: dict[str, Any] = {}
    exec(code, scope)
    verify: Callable[..., bool] = scope["verify"]
    return verify


async def test_a_webhook_tells_of_the_job(receiver: Receiver, make_config: Make) -> None:
    config = make_config(**INTO_PRIVATE, notify_base_url="https://jobs.example.org")
    notice = make_notice(webhook(receiver.url))
    await send(config, notice)
    (request,) = receiver.requests
    told = json.loads(request.body)
    assert (told["event"], told["noticeId"]) == ("failure", notice.notice_id)
    assert told["job"]["JobName"] == "Backup"
    assert (told["job"]["Status"], told["job"]["ExitCode"]) == ("Failed", 1)
    assert told["job"]["OutputTail"] == "disk full\n"
    assert told["job"]["Link"].startswith("https://jobs.example.org/apps/")
    assert told["sentAt"].endswith("Z")
    assert request.headers["X-AiohttpJobs-Notice"] == notice.notice_id
    assert request.headers["Content-Type"] == "application/json"
    assert b"hunter2" not in request.body


async def test_a_webhook_tells_what_a_function_was_called_with_and_has_returned(
    receiver: Receiver, make_config: Make
) -> None:
    call = {"function": "rebuild", "function_values": {"index": "users"}, "return_value": {"rows": 3}}
    notice = make_notice(webhook(receiver.url), command="rebuild(index='users', password=…)", **call)
    await send(make_config(**INTO_PRIVATE), notice)
    job = json.loads(receiver.requests[0].body)["job"]
    assert job["Command"] == "rebuild(index='users', password=…)"
    assert (job["Function"], job["FunctionValues"]) == ("rebuild", {"index": "users"})
    assert job["ReturnValue"] == {"rows": 3}


async def test_a_webhook_tells_the_last_lines_as_a_terminal_shows_them(
    receiver: Receiver, make_config: Make
) -> None:
    bar = "".join(f"\r{number:6} of 20000 {'#' * 40}" for number in range(20_000))
    notice = make_notice(webhook(receiver.url), output=f"Start\r\n{bar}\n\x1b[31merror\x1b[0m: disk full\r\n")
    await send(make_config(**INTO_PRIVATE), notice)
    tail = json.loads(receiver.requests[0].body)["job"]["OutputTail"]
    assert tail == f"Start\n 19999 of 20000 {'#' * 40}\nerror: disk full\n"


@pytest.mark.parametrize("secret", ["a secret of some length", None])
async def test_the_signature_is_checked_as_the_how_to_says(
    receiver: Receiver, make_config: Make, secret: str | None
) -> None:
    config = make_config(**INTO_PRIVATE, webhook_secret=secret)
    await send(config, make_notice(webhook(receiver.url)))
    (request,) = receiver.requests
    key = config.base_dir / "Secrets" / "webhook.key"
    assert key.exists() is (secret is None)
    secret = secret or key.read_text()
    header, verify = request.headers["X-AiohttpJobs-Signature"], verifier()
    assert verify(secret, header, request.body)
    assert not verify(secret + "x", header, request.body)
    assert not verify(secret, header, request.body.replace(b"failure", b"success"))
    moment = re.search(r"t=(\d+)", header)
    assert moment
    assert not verify(secret, header.replace(moment[1], str(int(moment[1]) - 1)), request.body)
    assert not verify(secret, header, request.body, tolerance=-1)
    assert abs(time.time() - int(moment[1])) < 60


def test_the_secret_is_not_shown(make_config: Make) -> None:
    assert "a secret of some" not in repr(make_config(webhook_secret="a secret of some length"))


@pytest.mark.parametrize(
    ("status", "is_final"),
    [
        (500, False), (502, False), (503, False), (408, False), (429, False),
        (400, True), (401, True), (404, True), (410, True), (301, True), (307, True), (304, True),
    ],
)  # fmt: skip
async def test_what_may_pass_is_tried_again_and_what_will_not_is_final(
    receiver: Receiver, make_config: Make, status: int, is_final: bool
) -> None:
    receiver.answers = [web.Response(status=status, headers={"Location": receiver.url})]
    error = await failure(make_config(**INTO_PRIVATE), make_notice(webhook(receiver.url)))
    assert error.is_final is is_final
    assert str(status) in str(error)
    assert receiver.url not in str(error)
    assert len(receiver.requests) == 1


async def test_retry_after_is_understood(receiver: Receiver, make_config: Make) -> None:
    date = format_datetime(utc_now() + timedelta(seconds=100), usegmt=True)
    for text, least, most in [("7", 7, 7), (date, 90, 100), ("soon", None, None), ("-5", None, None)]:
        receiver.answers = [web.Response(status=503, headers={"Retry-After": text})]
        error = await failure(make_config(**INTO_PRIVATE), make_notice(webhook(receiver.url)))
        if least is None:
            assert error.retry_after is None
        else:
            assert error.retry_after is not None
            assert least <= error.retry_after <= most


async def test_nobody_there_or_nobody_answering(receiver: Receiver, make_config: Make) -> None:
    await receiver.stop()
    error = await failure(make_config(**INTO_PRIVATE), make_notice(webhook(receiver.url)))
    assert (str(error), error.is_final) == ("The webhook's host cannot be reached.", False)

    left = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        left.set()

    config = make_config(**INTO_PRIVATE, webhook_timeout=0.3)
    async with serving(say_nothing, receiver.port):
        error = await failure(config, make_notice(webhook(receiver.url)))
        assert (str(error), error.is_final) == ("The webhook did not answer in time.", False)
        await left.wait()


class NoNames(Names):
    """A name server that knows nobody."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")


async def test_a_name_that_nobody_knows_is_tried_again(make_config: Make) -> None:
    error = await failure(make_config(), make_notice(webhook("https://example.org/")), NoNames())
    assert (str(error), error.is_final) == ("The webhook's host name cannot be resolved.", False)


async def test_a_name_that_cannot_be_one_is_final(make_config: Make) -> None:
    error = await failure(make_config(), make_notice(webhook(f"https://{'a' * 70}.example.org/")))
    assert (str(error), error.is_final) == ("The webhook's address cannot be used.", True)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "2130706433",
        "0x7f000001",
        "0x7f.1", "017700000001", "127.1", "127.0.0.1.", "0", "LOCALHOST", "[::ffff:7f00:1]",
    ],
)  # fmt: skip
async def test_a_webhook_into_the_host_itself_never_arrives(
    receiver: Receiver, make_config: Make, host: str
) -> None:
    error = await failure(
        make_config(webhook_allowed_ports="any", webhook_timeout=5),
        make_notice(webhook(f"http://{host}:{receiver.port}/hook")),
    )
    assert isinstance(error, DeliveryError)
    assert receiver.requests == []


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "169.254.169.254", "100.64.0.1", "192.168.0.1", "224.0.0.1",
        "0.0.0.0", "::1",
        "fd00::1", "fe80::1", "::ffff:127.0.0.1", "64:ff9b::a9fe:a9fe",
    ],
)  # fmt: skip
async def test_a_name_that_leads_into_a_private_network_is_refused(
    receiver: Receiver, make_config: Make, address: str
) -> None:
    notice = make_notice(webhook(f"http://hook.example.org:{receiver.port}/hook"))
    error = await failure(make_config(webhook_allowed_ports="any"), notice, Names(address))
    assert (str(error), error.is_final) == (REFUSED, True)
    assert receiver.requests == []


async def test_literal_private_addresses_are_refused_too(make_config: Make) -> None:
    for host in ("169.254.169.254", "10.0.0.1", "[fd00::1]", "[::ffff:10.0.0.1]"):
        error = await failure(make_config(), make_notice(webhook(f"http://{host}/latest/meta-data/")))
        assert str(error) == REFUSED


async def test_a_name_server_that_changes_its_mind_gains_nothing(
    receiver: Receiver, make_config: Make
) -> None:
    names = Names("192.0.2.1", "127.0.0.1")
    notice = make_notice(webhook(f"http://rebind.example.org:{receiver.port}/hook"))
    for _ in range(3):
        assert str(await failure(make_config(webhook_allowed_ports="any"), notice, names)) == REFUSED
    assert receiver.requests == []


async def test_webhooks_that_are_turned_off_are_not_sent(receiver: Receiver, make_config: Make) -> None:
    config = make_config(**INTO_PRIVATE, webhook_enabled=False)
    error = await failure(config, make_notice(webhook(receiver.url)))
    assert (str(error), error.is_final) == (DISABLED, True)
    assert receiver.requests == []


async def test_a_host_that_is_allowed_may_be_private_and_no_other(
    receiver: Receiver, make_config: Make
) -> None:
    config = make_config(webhook_allowed_hosts=["Hooks.Internal.Example"], webhook_allowed_ports="any")
    names = Names("127.0.0.1")
    await send(config, make_notice(webhook(f"http://hooks.internal.example:{receiver.port}/hook")), names)
    assert len(receiver.requests) == 1
    other = make_notice(webhook(f"http://x.hooks.internal.example:{receiver.port}/hook"))
    assert str(await failure(config, other, names)) == REFUSED
    assert len(receiver.requests) == 1


async def test_a_redirect_into_the_private_network_is_not_followed(
    receiver: Receiver, make_config: Make
) -> None:
    receiver.answers = [web.Response(status=307, headers={"Location": "http://127.0.0.1:9/"})]
    config = make_config(webhook_allowed_hosts=["127.0.0.1"])
    error = await failure(config, make_notice(webhook(receiver.url)))
    assert error.is_final
    assert "redirect" in str(error)


async def test_a_proxy_in_the_environment_is_not_used(
    receiver: Receiver, make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{receiver.port}/")
    notice = make_notice(webhook("http://hook.example.org/hook"))
    assert str(await failure(make_config(), notice, Names("10.0.0.1"))) == REFUSED
    assert receiver.requests == []


async def test_an_endless_answer_is_not_read(make_config: Make) -> None:
    gone = asyncio.Event()

    async def pour(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65536)
        except ConnectionError:
            gone.set()
        return response

    app = web.Application()
    app.router.add_post("/hook", pour)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    await send(make_config(**INTO_PRIVATE), make_notice(webhook(url)))
    await asyncio.wait_for(gone.wait(), PATIENCE_SECONDS)
    await runner.cleanup()
