"""Hands a message to the configured SMTP server. What is in it is left to ``email``."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Sequence

import aiosmtplib

from ..config import JobsConfig
from .channel import DeliveryError

_QUIT_SECONDS = 2.0


async def transmit(
    config: JobsConfig, tls: ssl.SSLContext | None, message: bytes, recipients: Sequence[str]
) -> None:
    """Send `message` from ``smtp_from`` to `recipients`, with the ``smtp_*`` settings of `config`.

    Raises `DeliveryError`: where some of them were refused, with those that are left.
    """
    client = aiosmtplib.SMTP(
        hostname=config.smtp_host,
        port=config.smtp_port,
        timeout=config.smtp_timeout,
        use_tls=config.smtp_security == "tls",
        start_tls=config.smtp_security == "starttls",
        tls_context=tls,
    )
    try:
        await _transmit(client, config, message, recipients)
    finally:
        client.close()


async def _transmit(
    client: aiosmtplib.SMTP, config: JobsConfig, message: bytes, recipients: Sequence[str]
) -> None:
    try:
        async with asyncio.timeout(config.smtp_timeout):
            await client.connect()
            if config.smtp_username is not None:
                await client.login(config.smtp_username, config.smtp_password or "")
            refused, _ = await client.sendmail(config.smtp_from or "", list(recipients), message)
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        raise _explained(error) from None
    # It is sent, whatever becomes of the farewell.
    with contextlib.suppress(aiosmtplib.SMTPException, OSError):
        await client.quit(timeout=_QUIT_SECONDS)
    if refused:
        raise _refusal({address: answer.code for address, answer in refused.items()})


def _refusal(refused: dict[str, int]) -> DeliveryError:
    """Some got it. The others are tried again if the server said that this may help."""
    later = tuple(address for address, code in refused.items() if code < 500)
    names = ", ".join(f"{address} ({code})" for address, code in refused.items())
    return DeliveryError(
        f"The mail server refused {names}.", is_final=not later, remaining=later or tuple(refused)
    )


def _explained(error: Exception) -> DeliveryError:
    match error:
        case aiosmtplib.SMTPAuthenticationError():
            # What the server says is left out: it may repeat what it was sent.
            return DeliveryError(
                f"The mail server did not accept the user name and password ({error.code}).",
                is_final=error.code >= 500,
            )
        case aiosmtplib.SMTPRecipientsRefused():
            return _refusal({each.recipient: each.code for each in error.recipients})
        case aiosmtplib.SMTPResponseException():
            answer = f"The mail server answered {error.code}: {error.message}"
            return DeliveryError(answer, is_final=500 <= error.code < 600)
        case aiosmtplib.SMTPNotSupported():
            return DeliveryError(f"The mail server cannot do what is needed: {error.message}", is_final=True)
        case _:
            return DeliveryError(_why_unreachable(error))


def _why_unreachable(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "The mail server did not answer in time."
    cause = error.__cause__ or error.__context__ or error
    if isinstance(cause, ssl.SSLError):
        reason = getattr(cause, "verify_message", "") or cause.reason
        return f"No secure connection to the mail server: {reason}."
    return "The mail server cannot be reached."
