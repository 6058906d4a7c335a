"""Writes notices as e-mails. How one reaches the server is in ``smtp``, retries in ``delivery``."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from typing import Any

from ..config import JobsConfig
from ..errors import ConfigurationError
from ..model.job import utc_now
from ..model.notice import Notice
from ..model.notice_events import Event
from ..model.terminal import as_seen
from .channel import DeliveryError, one_line

NOT_SET_UP = "No mail server is set up here; an administrator can do that with smtp_host and smtp_from."
_MAX_SUBJECT = 200
_MAX_VALUE = 1000
"""Characters of a call, or of what it returned."""
_WORDS = {
    "Succeeded": "succeeded",
    "Failed": "failed",
    "TimedOut": "timed out",
    "Cancelled": "was cancelled",
    "Interrupted": "was interrupted",
    "Rejected": "was rejected",
}
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
# Lines as long as they come, on servers of any age: neither 8-bit nor folded in the body.
_POLICY = SMTP_POLICY.clone(cte_type="7bit")

Transmit = Callable[[JobsConfig, ssl.SSLContext | None, bytes, Sequence[str]], Coroutine[Any, Any, None]]
"""Sends a message, by the settings and over the TLS that are given, to addresses."""


class EmailChannel:
    """Sends with the ``smtp_*`` settings of `config`; certificates are verified."""

    def __init__(self, config: JobsConfig) -> None:
        self._config = config
        self._tls: ssl.SSLContext | None = None
        self._transmit = None if config.smtp_host is None else _transmission()

    async def open(self) -> None:
        if self._config.smtp_host is None or self._config.smtp_security == "none":
            return
        try:
            self._tls = await asyncio.to_thread(
                lambda: ssl.create_default_context(cafile=self._config.smtp_ca_file)
            )
        except OSError as error:
            raise ConfigurationError(f"smtp_ca_file cannot be read: {error.strerror or error}") from None

    async def close(self) -> None:
        """Do nothing: each message has its own connection, which is closed."""

    async def send(self, notice: Notice) -> None:
        config = self._config
        if self._transmit is None or config.smtp_from is None:
            raise DeliveryError(NOT_SET_UP, is_final=True)
        try:
            message = write_message(config, notice).as_bytes()
        except ValueError:
            raise DeliveryError("The message cannot be written.") from None
        await self._transmit(config, self._tls, message, notice.remaining)


def _transmission() -> Transmit:
    """How messages are sent; imported where there is a mail server: a third of a megabyte."""
    from .smtp import transmit  # noqa: PLC0415 - as said above

    return transmit


def write_message(config: JobsConfig, notice: Notice) -> EmailMessage:
    """Build the message. Its ``Message-ID`` is the same whenever it is sent again."""
    sender = config.smtp_from or ""
    message = EmailMessage(policy=_POLICY)
    message["From"] = Address(one_line(config.notice_title), addr_spec=sender)
    message["To"] = [Address(addr_spec=address) for address in getattr(notice.rule, "to", ())]
    message["Subject"] = _subject(config.notice_title, notice)
    message["Date"] = format_datetime(utc_now())
    message["Message-ID"] = f"<{notice.notice_id}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-AiohttpJobs-Notice"] = notice.notice_id
    message.set_content(_text(config, notice))
    return message


def job_link(config: JobsConfig, job_id: str) -> str | None:
    """A link to the job on the page; ``None`` without `notify_base_url`."""
    if config.notify_base_url is None:
        return None
    return f"{config.notify_base_url.rstrip('/')}{config.prefix}/#/job/{job_id}"


def _subject(title: str, notice: Notice) -> str:
    ended = _WORDS.get(str(notice.job.get("Status")), "ended")
    if notice.event is Event.RECOVERY:
        ended += " again"
    return one_line(f"[{title}] {notice.job_name} {ended}")[:_MAX_SUBJECT]


def _text(config: JobsConfig, notice: Notice) -> str:
    job = notice.job
    lines = [
        f"Job:       {one_line(notice.job_name)}",
        f"Status:    {job.get('Status')}{_EXPLAINED.get(notice.event, '')}",
        f"User:      {one_line(notice.user_id)}",
        f"Started:   {job.get('DateStarted')}",
        f"Completed: {job.get('DateCompleted')}",
        f"Runtime:   {_duration(job.get('Runtime'))}",
        f"Exit code: {'none' if job.get('ExitCode') is None else job['ExitCode']}",
        f"Job ID:    {notice.job_id}",
    ]
    if job.get("Function"):
        lines.insert(1, f"Function:  {one_line(job['Command'])[:_MAX_VALUE]}")
        lines += _returned(job)
    if job.get("CancelledBy"):
        lines.append(f"Cancelled by: {one_line(job['CancelledBy'])}")
    link = job_link(config, notice.job_id)
    lines += [f"Details:   {link}"] if link else []
    tail = _UNPRINTABLE.sub("", as_seen(str(job.get("OutputTail", ""))))
    lines += ["", "The end of its output:", "", tail.rstrip() or "(nothing)", ""]
    return "\n".join(lines)


def _returned(job: dict[str, Any]) -> list[str]:
    if job.get("ReturnValue") is None:
        return []
    text = json.dumps(job["ReturnValue"])  # ASCII, on one line
    return [f"Returned:  {text if len(text) <= _MAX_VALUE else 'more than fits here'}"]


_EXPLAINED = {
    Event.FIRST_FAILURE: " (for the first time)",
    Event.RECOVERY: " (it had failed before)",
}


def _duration(seconds: Any) -> str:
    if not isinstance(seconds, int | float):
        return "unknown"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return str(timedelta(seconds=round(seconds)))
