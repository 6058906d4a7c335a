"""Checks a running host over HTTP: its clock, its proxies, and its cookies."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.cookies import CookieError, SimpleCookie
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar
from yarl import URL

from .finding import Finding, Status

_SECONDS = 15.0
_TOLERANCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    date: str | None
    cookies: list[str]
    body: Any
    asked_at: float
    answered_at: float


async def host_findings(url: str, api_key: str | None) -> list[Finding]:
    """Check the host whose plugin is mounted at `url`.

    Without `api_key`, only what anybody may see is checked. Sends only ``GET`` requests.
    """
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    address = url.rstrip("/")
    try:
        async with ClientSession(
            headers=headers, timeout=ClientTimeout(total=_SECONDS), cookie_jar=DummyCookieJar()
        ) as session:
            me = await _ask(session, f"{address}/api/v1/me")
            page = await _ask(session, f"{address}/")
    except (ClientError, OSError, TimeoutError, ValueError) as error:
        message = f"The host at {url} cannot be reached: {error or type(error).__name__}."
        return [
            Finding("host", Status.PROBLEM, message, "See whether it runs, and whether the URL is right.")
        ]
    found = [_reached(me, url, api_key), _clock(me), *_cookies([*me.cookies, *page.cookies], URL(url))]
    seen = me.body.get("me", {}) if isinstance(me.body, dict) else {}
    return [*found, *_proxy(seen.get("connection"), URL(url)), *_session_cookie(seen, URL(url))]


async def _ask(session: ClientSession, url: str) -> _Answer:
    asked = time.time()
    async with session.get(url, allow_redirects=False) as response:
        answered = time.time()
        is_json = response.content_type == "application/json"
        body = await response.json() if is_json else None
        cookies = response.headers.getall("Set-Cookie", [])
        return _Answer(response.status, response.headers.get("Date"), cookies, body, asked, answered)


def _reached(me: _Answer, url: str, api_key: str | None) -> Finding:
    if me.status == 200 and isinstance(me.body, dict):
        return Finding("host", Status.OK, f"The host at {url} answers and knows the key.")
    if me.status == 401 and api_key is None:
        advice = "Give --api-key or AIOHTTP_JOBS_API_KEY to have what it sees of a request looked at too."
        return Finding("host", Status.OK, f"The host at {url} answers.", advice)
    if me.status == 401:
        message = f"The host at {url} does not take the API key."
        return Finding("host", Status.PROBLEM, message, "See 'aiohttp-jobs api-key list'.")
    message = f"{url}/api/v1/me answers {me.status}, and not as the plugin does."
    return Finding("host", Status.PROBLEM, message, "Give the address at which the plugin is mounted.")


def _clock(answer: _Answer) -> Finding:
    try:
        told = parsedate_to_datetime(answer.date or "").timestamp()
    except ValueError:
        return Finding("host_clock", Status.OK, "The host does not say what time it is.")
    # The header is cut to whole seconds.
    apart = max(told - answer.answered_at, answer.asked_at - told - 1, 0)
    if apart <= _TOLERANCE_SECONDS:
        return Finding("host_clock", Status.OK, "The host's clock is this machine's.")
    side = "ahead of" if told > answer.answered_at else "behind"
    message = f"The host's clock is {apart:.0f} s {side} this machine's."
    advice = "Synchronise both. Sessions, schedules and signatures of webhooks go by the host's clock."
    return Finding("host_clock", Status.WARNING, message, advice)


def _proxy(connection: Mapping[str, Any] | None, url: URL) -> Iterator[Finding]:
    if not isinstance(connection, Mapping):
        return
    host, scheme, remote = connection.get("host"), connection.get("scheme"), connection.get("remote")
    faults = list(_proxy_faults(str(host), str(scheme), str(remote), url))
    yield from faults
    if not faults:
        yield Finding("proxy", Status.OK, f"The host sees this request as {scheme}://{host} from {remote}.")


def _proxy_faults(host: str, scheme: str, remote: str, url: URL) -> Iterator[Finding]:
    if _authority(host, url.scheme) != _authority(url.raw_authority.rpartition("@")[2], url.scheme):
        yield Finding(
            "proxy_host",
            Status.PROBLEM,
            f"The host sees requests for {url.raw_authority} as for {host}, and takes its own pages for "
            "another site's: nobody can change anything with a session.",
            f"Have the proxy pass the Host header on, or set trusted_origins=['{url.origin()}'].",
        )
    if scheme != url.scheme:
        yield Finding(
            "proxy_scheme",
            Status.WARNING,
            f"The host sees requests to {url.scheme}://{url.raw_authority} as {scheme}.",
            "Use aiohttp-remotes (XForwardedRelaxed, ForwardedRelaxed) to take the proxy's word for it.",
        )
    if _is_private(remote) and url.host is not None and not _is_near(url.host):
        yield Finding(
            "proxy_remote",
            Status.WARNING,
            f"The host sees these requests come from {remote}, which may be the proxy's own address.",
            "If it is, use aiohttp-remotes: AllowedIPs of API keys are compared with this address.",
        )


def _authority(text: str, scheme: str) -> str:
    return text.lower().removesuffix(":443" if scheme == "https" else ":80")


def _is_private(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_private
    except ValueError:
        return False


def _is_near(host: str) -> bool:
    return host == "localhost" or _is_private(host)


def _session_cookie(me: Mapping[str, Any], url: URL) -> Iterator[Finding]:
    cookie = me.get("sessionCookie")
    if not isinstance(cookie, Mapping):
        return
    name = cookie.get("name")
    if url.scheme == "https" and not cookie.get("secure"):
        message = f"The session cookie {name} is not Secure: browsers send it over plain HTTP too."
        advice = "Set session_secure=True (AIOHTTP_JOBS_SESSION_SECURE=true)."
        yield Finding("session_cookie", Status.PROBLEM, message, advice)
    else:
        flags = ", Secure" if cookie.get("secure") else ""
        yield Finding(
            "session_cookie", Status.OK, f"The session cookie {name} is HttpOnly, SameSite=Lax{flags}."
        )


def _cookies(headers: list[str], url: URL) -> Iterator[Finding]:
    """Of the host's own cookies, as they are served with the page."""
    for header in headers:
        try:
            jar = SimpleCookie(header)
        except CookieError:
            continue
        for name, cookie in jar.items():
            missing = [flag for flag in ("httponly", "samesite") if not cookie[flag]]
            if url.scheme == "https" and not cookie["secure"]:
                missing.append("secure")
            shown = ", ".join(
                {"httponly": "HttpOnly", "samesite": "SameSite", "secure": "Secure"}[m] for m in missing
            )
            if missing:
                message = f"The cookie {name} that the host sets has no {shown}."
                yield Finding("cookies", Status.WARNING, message, "If it signs users in, set them.")
