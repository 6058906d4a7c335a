"""The connection of a client: requests, credentials, and errors."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self

from aiohttp import ClientResponse, ClientSession, ClientTimeout, ContentTypeError

Record = dict[str, Any]
"""A record as the API answers it, with the specification's PascalCase names."""


class ClientError(Exception):
    """The server refused a request.

    The message is the server's sentence or, with the code ``http_error`` or ``not_aiohttp_jobs``, says that
    something else has answered. `details` names the fields at fault. `limit` has the ``name``,
    ``value`` and ``used`` of a limit that was reached; `retry_after` is the number of seconds after which to
    try again.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: list[Record] | None,
        *,
        limit: Record | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.details = details or []
        self.limit = limit
        self.retry_after = retry_after


class Connection:
    """Sends requests to ``<url>/api/v1``, authenticated by an API key or a session cookie.

    See `JobsClient`.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        timeout: float = 60.0,
        session: ClientSession | None = None,
        proxy: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if (api_key is None) == (session is None):
            raise ValueError("give either an API key or a session that is signed in")
        self._api = url.rstrip("/") + "/api/v1"
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._timeout = ClientTimeout(total=timeout)
        self._given_session = session
        self._proxy = proxy
        self._more_headers = dict(headers or {})
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = self._given_session or ClientSession(headers=self._headers, timeout=self._timeout)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None and self._given_session is None:
            await self._session.close()

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Record:
        """Send any request below ``/api/v1`` that returns JSON."""
        async with self._request(method, path, json=json, params=params) as response:
            await raise_for(response)
            return await record_of(response)

    def _request(self, method: str, path: str, **options: Any) -> AbstractAsyncContextManager[ClientResponse]:
        """Any request below ``/api/v1``, with aiohttp's `options`."""
        if self._session is None:
            raise RuntimeError("use JobsClient as an async context manager")
        # With a session's cookie in place of a key, the server wants proof that no form sent it.
        headers = {"X-Requested-With": "aiohttp-jobs", **self._more_headers, **options.pop("headers", {})}
        return self._session.request(method, self._api + path, proxy=self._proxy, headers=headers, **options)


async def raise_for(response: ClientResponse, content_type: str | None = None) -> None:
    """Raise the `ClientError` for a refused request, or for an answer that is not of `content_type`."""
    if response.status < 400:
        if content_type not in (None, response.content_type):
            raise _not_from_the_api(response)
        return
    body = await record_of(response)
    try:
        code, sentence = body["code"], body["error"]
    except KeyError:
        raise _not_from_the_api(response) from None
    seconds = response.headers.get("Retry-After", "")
    raise ClientError(
        response.status,
        code,
        sentence,
        body.get("details"),
        limit=body.get("limit"),
        retry_after=int(seconds) if seconds.isdecimal() else None,
    )


async def record_of(response: ClientResponse) -> Record:
    """The answered record. Raises `ClientError` when it is none, as from any other page or program."""
    try:
        body = await response.json()
    except (ValueError, ContentTypeError):
        body = None
    if not isinstance(body, dict):
        raise _not_from_the_api(response)
    return body


def _not_from_the_api(response: ClientResponse) -> ClientError:
    """The error for an answer that is not the API's, such as a page or a proxy's refusal."""
    code = "not_aiohttp_jobs" if response.status < 400 else "http_error"
    sentence = (
        f"The server answered {response.status} at {response.url.with_query(None)}, but not as aiohttp-jobs "
        "does: something else is there, or in front of it. Check the URL, which ends with the plugin's "
        "prefix, such as /apps/WebHostTaskManagement."
    )
    return ClientError(response.status, code, sentence, None)


def given(**fields: Any) -> Record:
    """The fields that are not ``None``, so that the server uses its defaults for the others."""
    return {name: value for name, value in fields.items() if value is not None}


def scope(everyone: bool) -> str:
    return "all" if everyone else "own"
