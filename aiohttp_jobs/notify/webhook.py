"""Sends notices as signed POST requests. Allowed addresses are in ``model.webhook_targets``."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from inspect import signature as signature_of
from typing import Any

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from ..config import JobsConfig
from ..model.job import format_utc, utc_now
from ..model.notice import Notice
from ..model.trace import TRACEPARENT, TRACESTATE
from ..model.webhook_targets import is_plainly_private, is_public
from .channel import DeliveryError
from .email import job_link

SIGNATURE_HEADER = "X-AiohttpJobs-Signature"
NOTICE_HEADER = "X-AiohttpJobs-Notice"
REFUSED = "The webhook's address is not on the internet, and this server does not allow others."
DISABLED = "This server sends no webhooks."
_LOOK_UPS = 8
_HAS_SOCKET_FACTORY = "socket_factory" in signature_of(TCPConnector).parameters
_AGAIN = frozenset({408, 425, 429})


def signature(secret: bytes, body: bytes, moment: int) -> str:
    """The value of `SIGNATURE_HEADER`: HMAC-SHA256 of the time (Unix seconds), a dot, and the body."""
    digest = hmac.new(secret, b"%d." % moment + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={digest}"


class WebhookChannel:
    """Sends with the ``webhook_*`` settings of `config`; `resolver` resolves host names, by default the
    system's.

    Each request has its own connection, with its own check of the address. No proxy, cookies or redirects are
    used.
    """

    def __init__(self, config: JobsConfig, resolver: AbstractResolver | None = None) -> None:
        self._config = config
        self._resolver = resolver or _Resolver()
        self._targets = config.webhook_targets
        self._secret = b""

    async def open(self) -> None:
        if self._config.webhook_secret is not None:
            self._secret = self._config.webhook_secret.encode()
            return
        self._secret = await asyncio.to_thread(self._config.keys.get, "webhook.key")

    async def close(self) -> None:
        await self._resolver.close()

    async def send(self, notice: Notice) -> None:
        if not self._config.webhook_enabled:
            raise DeliveryError(DISABLED, is_final=True)
        url = URL(notice.target)
        if (fault := self._targets.port_fault(url)) is not None:
            raise DeliveryError(f"The webhook's address {fault}.", is_final=True)
        body = json.dumps(self._payload(notice)).encode()
        guard = _Guard(is_open=self._targets.may_be_private(url))
        timeout = ClientTimeout(total=self._config.webhook_timeout)
        try:
            async with ClientSession(
                connector=_connector(url, guard, self._resolver),
                timeout=timeout,
                cookie_jar=DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
            ) as session:
                headers = self._headers(notice, body)
                async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                    _require_accepted(response)
        except (ClientError, OSError, TimeoutError, ValueError) as error:
            if guard.has_refused:
                raise DeliveryError(REFUSED, is_final=True) from None
            raise _explained(error) from None

    def _payload(self, notice: Notice) -> dict[str, Any]:
        return {
            "event": notice.event,
            "noticeId": notice.notice_id,
            "job": {**notice.job, "Link": job_link(self._config, notice.job_id)},
            "sentAt": format_utc(utc_now()),
        }

    def _headers(self, notice: Notice, body: bytes) -> dict[str, str]:
        traces = {TRACEPARENT: notice.traceparent, TRACESTATE: notice.tracestate}
        return {
            **{name: value for name, value in traces.items() if value is not None},
            "Content-Type": "application/json",
            "User-Agent": "aiohttp-jobs",
            NOTICE_HEADER: notice.notice_id,
            SIGNATURE_HEADER: signature(self._secret, body, int(time.time())),
        }


class _Resolver(AbstractResolver):
    """The system's, in threads of its own: a lost name server must not fill up those that all share."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOK_UPS, thread_name_prefix="aiohttp-jobs-webhooks")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        look_up = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=family,
                proto=protocol,
                flags=socket.AI_NUMERICHOST,
            )
            for family, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Guard:
    """Makes sockets for one request: only to public addresses, unless it `is_open`.

    It sees the address that is connected to, however that was found or written, so that a name server
    which answers differently the second time gains nothing.
    """

    def __init__(self, *, is_open: bool) -> None:
        self._is_open = is_open
        self.has_refused = False

    def make_socket(self, info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = info
        self.check(is_refused=not is_public(str(address[0])))
        return socket.socket(family=family, type=kind, proto=protocol)

    def check(self, *, is_refused: bool) -> None:
        """Raise ``OSError``, and remember it, if that `is_refused` which only an open guard lets through."""
        if is_refused and not self._is_open:
            self.has_refused = True
            raise OSError("refused")


class _GuardedResolver(AbstractResolver):
    """Answers only with addresses that `guard` lets a request connect to."""

    def __init__(self, guard: _Guard, resolver: AbstractResolver) -> None:
        self._guard = guard
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        for address in found:
            self._guard.check(is_refused=not is_public(str(address["host"])))
        return found

    async def close(self) -> None:
        return None


def _connector(url: URL, guard: _Guard, resolver: AbstractResolver) -> TCPConnector:
    """For one request to `url`. Raises ``OSError`` when `guard` refuses it already."""
    if _HAS_SOCKET_FACTORY:
        return TCPConnector(
            resolver=resolver, socket_factory=guard.make_socket, force_close=True, use_dns_cache=False
        )
    # Before 3.12, aiohttp connects to just what the resolver answers, or to an address written in the URL.
    guard.check(is_refused=is_plainly_private(url.raw_host or ""))
    return TCPConnector(resolver=_GuardedResolver(guard, resolver), force_close=True, use_dns_cache=False)


def _require_accepted(response: ClientResponse) -> None:
    status = response.status
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        message = f"The webhook answered with a redirect ({status}), which is not followed."
        raise DeliveryError(message, is_final=True)
    again = status >= 500 or status in _AGAIN
    raise DeliveryError(
        f"The webhook answered {status}.",
        is_final=not again,
        retry_after=_retry_after(response.headers.get("Retry-After", "")) if again else None,
    )


def _retry_after(text: str) -> float | None:
    """Seconds from a ``Retry-After`` header, RFC 9110, section 10.2.3."""
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _explained(error: Exception) -> DeliveryError:
    match error:
        case ValueError():
            return DeliveryError("The webhook's address cannot be used.", is_final=True)
        case TimeoutError():
            return DeliveryError("The webhook did not answer in time.")
        case ClientConnectorCertificateError():
            return DeliveryError("The webhook's certificate is not trusted.")
        case ClientConnectorDNSError():
            return DeliveryError("The webhook's host name cannot be resolved.")
        case OSError():
            return DeliveryError("The webhook's host cannot be reached.")
        case _:
            return DeliveryError("The webhook's answer could not be understood.")
