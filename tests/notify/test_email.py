"""Messages, and the mail servers that take or refuse them: real ones, in every mode of security."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from aiohttp_jobs import JobsConfig
from aiohttp_jobs.errors import ConfigurationError
from aiohttp_jobs.model.job import JobStatus
from aiohttp_jobs.model.notice import Notice
from aiohttp_jobs.model.notice_events import Event
from aiohttp_jobs.notify.channel import DeliveryError
from aiohttp_jobs.notify.email import EmailChannel

from ..cases import cases
from ..raw_streams import serving
from .support import Authority, MailServer, email, make_notice

Make = Callable[..., JobsConfig]
SEEN = [case for case in cases("terminal") if case["from"] in ("rundeck #436", "moby #37366", "gcc", "curl")]
RULE = email("ops@example.org")


async def send(config: JobsConfig, notice: Notice) -> None:
    channel = EmailChannel(config)
    await channel.open()
    await channel.send(notice)


async def failure(config: JobsConfig, notice: Notice) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await send(config, notice)
    return caught.value


async def test_a_message_says_what_happened(mail: MailServer, make_config: Make) -> None:
    config = make_config(**mail.settings(notify_base_url="https://jobs.example.org/", notice_title="Plant 7"))
    notice = make_notice(email("ops@example.org", "boss@example.org"))
    await send(config, notice)
    (message,) = mail.messages
    assert message["Subject"] == "[Plant 7] Backup failed"
    assert message["From"] == "Plant 7 <jobs@example.org>"
    assert message["To"] == "ops@example.org, boss@example.org"
    assert message["Message-ID"] == f"<{notice.notice_id}@example.org>"
    assert message["Auto-Submitted"] == "auto-generated"
    text = message.get_content()
    for part in ("alice", "Failed", "1.5 s", "Exit code: 1", "disk full", notice.job_id):
        assert part in text
    assert f"https://jobs.example.org/apps/WebHostTaskManagement/#/job/{notice.job_id}" in text
    assert "hunter2" not in text
    assert mail.received[0].rcpt_tos == ["ops@example.org", "boss@example.org"]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"rows": 3, "note": "é\x1b"}, 'Returned:  {"rows": 3, "note": "\\u00e9\\u001b"}'),
        (["x" * 2000], "Returned:  more than fits here"),
        (None, "Job ID:    11111111-1111-4111-8111-111111111111\n\n"),
    ],
)
async def test_a_message_says_what_a_function_was_called_with_and_has_returned(
    mail: MailServer, make_config: Make, value: Any, told: str
) -> None:
    fields = {"function": "rebuild", "command": "rebuild(index='users', password=…)", "return_value": value}
    await send(make_config(**mail.settings()), make_notice(email("ops@example.org"), **fields))
    text = mail.messages[0].get_content().replace("\r\n", "\n")
    assert "Function:  rebuild(index='users', password=…)\n" in text
    assert told in text


@pytest.mark.parametrize(
    ("status", "event", "subject"),
    [
        (JobStatus.SUCCEEDED, Event.SUCCESS, "Backup succeeded"),
        (JobStatus.SUCCEEDED, Event.RECOVERY, "Backup succeeded again"),
        (JobStatus.TIMED_OUT, Event.FAILURE, "Backup timed out"),
        (JobStatus.CANCELLED, Event.CANCELLED, "Backup was cancelled"),
    ],
)
async def test_the_subject_says_how_it_ended(
    mail: MailServer, make_config: Make, status: JobStatus, event: Event, subject: str
) -> None:
    await send(make_config(**mail.settings()), make_notice(RULE, event, status=status))
    assert mail.messages[0]["Subject"] == f"[aiohttp-jobs] {subject}"


@pytest.mark.parametrize("case", SEEN, ids=lambda case: case["from"])
async def test_the_output_is_told_as_a_terminal_shows_it(
    mail: MailServer, make_config: Make, case: dict[str, Any]
) -> None:
    await send(make_config(**mail.settings()), make_notice(RULE, output=case["prints"]))
    text = mail.messages[0].get_content().replace("\r\n", "\n")
    assert text.endswith("The end of its output:\n\n" + "\n".join(case["lines"]).rstrip() + "\n")


async def test_a_notice_that_was_kept_by_an_older_release_is_told_so_too(
    mail: MailServer, make_config: Make
) -> None:
    notice = make_notice(RULE)
    older = {**notice.to_record(), "Job": {**notice.job, "OutputTail": "10%\r100%\rerror: disk full\n"}}
    await send(make_config(**mail.settings()), Notice.model_validate(older))
    assert mail.messages[0].get_content().endswith(":\r\n\r\nerror: disk full\r\n")


async def test_any_name_and_output_can_be_sent(mail: MailServer, make_config: Make) -> None:
    output = "x" * 5000 + "\n\x1b[31mröd\x1b[0m \0\x07 \ud800 日本\r\n.\r\nDATA\r\n" + "y" * 1500
    notice = make_notice(RULE, job_name="Überprüfung\u2028" + "ä" * 300, output=output)
    await send(make_config(**mail.settings()), notice)
    (message,) = mail.messages
    assert message["Subject"].startswith("[aiohttp-jobs] Überprüfung ä")
    text = message.get_content()
    assert "röd" in text
    assert "日本\n.\nDATA\ny" in text.replace("\r\n", "\n")
    assert not set("\x1b\0\x07") & set(text)
    assert 2000 <= len(text) < 3500


async def test_sent_again_it_has_the_same_message_id(mail: MailServer, make_config: Make) -> None:
    notice = make_notice(RULE)
    for _ in range(2):
        await send(make_config(**mail.settings()), notice)
    assert len({message["Message-ID"] for message in mail.messages}) == 1


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_over_tls_with_a_login(authority: Authority, make_config: Make, security: str) -> None:
    context = await asyncio.to_thread(authority.server_context)
    login = ("jobs", "sesame street") if security == "starttls" else None
    mail = MailServer(security, context, login)
    await mail.start()
    settings = mail.settings(smtp_ca_file=authority.path)
    if login:
        settings |= {"smtp_username": login[0], "smtp_password": login[1]}
    await send(make_config(**settings), make_notice(RULE))
    assert len(mail.messages) == 1
    await mail.stop()


async def test_a_wrong_password_is_final_and_not_repeated_to_anybody(
    authority: Authority, make_config: Make
) -> None:
    mail = MailServer("starttls", await asyncio.to_thread(authority.server_context), ("jobs", "right"))
    await mail.start()
    config = make_config(
        **mail.settings(smtp_ca_file=authority.path, smtp_username="jobs", smtp_password="wr0ng-one")
    )
    error = await failure(config, make_notice(RULE))
    assert error.is_final
    assert "password" in str(error)
    assert "wr0ng-one" not in str(error) + repr(config)
    assert mail.received == []
    await mail.stop()


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_server_with_a_certificate_nobody_knows_gets_nothing(
    authority: Authority, make_config: Make, security: str
) -> None:
    mail = MailServer(security, await asyncio.to_thread(authority.server_context))
    await mail.start()
    error = await failure(make_config(**mail.settings()), make_notice(RULE))
    assert "secure connection" in str(error)
    assert mail.received == []
    await mail.stop()


async def test_without_starttls_on_the_server_nothing_is_sent_in_clear(
    mail: MailServer, make_config: Make
) -> None:
    await failure(make_config(**mail.settings(smtp_security="starttls")), make_notice(RULE))
    assert mail.received == []


@pytest.mark.parametrize(("answer", "is_final"), [("451 Later", False), ("554 Never", True)])
async def test_4xx_is_for_now_and_5xx_is_final(
    mail: MailServer, make_config: Make, answer: str, is_final: bool
) -> None:
    mail.answers = [answer]
    error = await failure(make_config(**mail.settings()), make_notice(RULE))
    assert error.is_final is is_final
    assert answer.split(maxsplit=1)[0] in str(error)


@pytest.mark.parametrize(("answer", "is_final"), [("450 Busy", False), ("550 Unknown", True)])
async def test_one_refused_address_does_not_keep_the_others_from_getting_it(
    mail: MailServer, make_config: Make, answer: str, is_final: bool
) -> None:
    mail.refused = {"b@example.org": answer}
    rule = email("a@example.org", "b@example.org", "c@example.org")
    error = await failure(make_config(**mail.settings()), make_notice(rule))
    assert mail.received[0].rcpt_tos == ["a@example.org", "c@example.org"]
    assert (error.remaining, error.is_final) == (("b@example.org",), is_final)
    assert "b@example.org" in str(error)


async def test_all_addresses_refused(mail: MailServer, make_config: Make) -> None:
    mail.refused = {"ops@example.org": "550 Unknown"}
    error = await failure(make_config(**mail.settings()), make_notice(RULE))
    assert (error.is_final, error.remaining) == (True, ("ops@example.org",))


async def test_a_server_that_is_down_or_silent(mail: MailServer, make_config: Make) -> None:
    await mail.stop()
    error = await failure(make_config(**mail.settings()), make_notice(RULE))
    assert (str(error), error.is_final) == ("The mail server cannot be reached.", False)

    left = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        left.set()

    async with serving(say_nothing) as port:
        settings = mail.settings(smtp_port=port, smtp_timeout=0.2)
        error = await failure(make_config(**settings), make_notice(RULE))
        assert (str(error), error.is_final) == ("The mail server did not answer in time.", False)
        await left.wait()


async def test_without_a_mail_server_it_is_said_what_to_do(make_config: Make) -> None:
    error = await failure(make_config(), make_notice(RULE))
    assert error.is_final
    assert "smtp_host" in str(error)


async def test_settings_that_do_not_go_together_are_refused(make_config: Make) -> None:
    for settings in (
        {"smtp_host": "mail"},
        {"smtp_host": "mail", "smtp_from": "a@b.c\nBcc: d@e.f"},
        {"smtp_username": "u", "smtp_security": "none"},
        {"notify_base_url": "javascript:alert(1)"},
        {"webhook_secret": "short"},
    ):
        with pytest.raises(ValidationError):
            make_config(**settings)
    with pytest.raises(ConfigurationError, match="smtp_ca_file"):
        await EmailChannel(make_config(smtp_host="m", smtp_from="a@b.c", smtp_ca_file="/no/such")).open()


def test_a_wrong_setting_does_not_show_the_password(make_config: Make) -> None:
    with pytest.raises(ValidationError) as caught:
        make_config(smtp_host="mail", smtp_password="s3cret-word")
    assert "s3cret-word" not in str(caught.value)
