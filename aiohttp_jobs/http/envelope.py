"""Builds JSON responses, and turns errors into JSON responses. Request bodies are read in ``bodies``."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from multidict import CIMultiDict

from ..errors import BusyError, JobsError
from ..system.guarded_files import LockBusyError
from ..system.jsontext import dumps
from ..system.one_by_one import one_by_one
from ..system.storage_faults import fault_of
from .app_keys import STORAGE
from .as_is import StreamAsIs, has_begun
from .open_streams import LARGE_BYTES, RevocableResponse, break_off, while_rights_last
from .parameters import identifier

_CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
_MESSAGES = {
    404: "There is nothing at this address. Check its spelling.",
    405: "This address does not take that method.",
}
_HEADERS = CIMultiDict(  # which an answer copies in a sixth of the time that a dict takes
    {
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Content-Type": "application/json; charset=utf-8",
    }
)
_AT_ONCE = 256 * 1024
OWN_ERROR = "The server met an error of its own; see its log."
_logger = logging.getLogger(__name__)


def answer(data: dict[str, Any], *, status: int = 200) -> web.Response:
    """A JSON response that is never cached."""
    return raw_answer(dumps(data), status=status)


def raw_answer(body: bytes, *, status: int = 200) -> web.Response:
    """A JSON response from bytes that are JSON already."""
    kind = RevocableResponse if len(body) > LARGE_BYTES else web.Response
    return kind(body=body, status=status, headers=_HEADERS)


async def encoded(records: Sequence[Mapping[str, Any]]) -> list[bytes]:
    """Encode each of `records` as JSON, in a thread, because they may be large."""
    return await one_by_one(dumps, records)


async def listed(request: web.Request, name: str, texts: Sequence[bytes], **more: Any) -> web.StreamResponse:
    """A JSON response with the list `name` of `texts`, each of which is JSON, followed by the fields `more`.

    A long list is streamed: joining a thousand long outputs would block the event loop. It is aborted when
    the caller loses their rights.
    """
    start = b'{"success":true,"count":%d,"%s":[' % (len(texts), name.encode())
    rest = b"]" + (b"," if more else b"") + dumps(more)[1:]
    size = len(start) + sum(map(len, texts)) + max(0, len(texts) - 1) + len(rest)
    if size <= _AT_ONCE:
        return raw_answer(start + b",".join(texts) + rest)
    response = StreamAsIs(headers=_HEADERS)
    response.content_length = size
    async with while_rights_last(request) as watch:
        with suppress(ConnectionError):  # whoever asked has left
            await response.prepare(request)
            if request.method != hdrs.METH_HEAD:
                for piece in _pieces(start, texts, rest):
                    await response.write(piece)
            await response.write_eof()
    return break_off(request) if watch.has_ended else response


def _pieces(start: bytes, texts: Sequence[bytes], rest: bytes) -> Iterator[bytes]:
    piece = bytearray(start)
    for index, text in enumerate(texts):
        if index:
            piece += b","
        if len(piece) + len(text) > _AT_ONCE:
            yield bytes(piece)
            piece.clear()
        for offset in range(0, len(text), _AT_ONCE):
            if piece and offset:
                yield bytes(piece)
                piece.clear()
            piece += text[offset : offset + _AT_ONCE]
    yield bytes(piece + rest)


@web.middleware
async def error_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every failure into ``{"success": false, "error": …, "code": …}``; never a stack trace.

    A response that is being streamed already is aborted instead.
    """
    try:
        return await handler(request)
    except Exception as error:
        if isinstance(error, web.HTTPException) and error.status < 400:
            raise
        failure = _failure_of(request, error)
        return break_off(request) if has_begun(request) else failure


def _failure_of(request: web.Request, error: Exception) -> web.Response:
    if isinstance(error, web.HTTPException):
        message = _MESSAGES.get(error.status, error.reason)
        response = _failure(error.status, message, _CODES.get(error.status, "http_error"))
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    refused = refusal_of(request, error)
    if refused is None:
        return _failure(500, OWN_ERROR, "internal_error")
    return _refusal(refused)


def refusal_of(request: web.Request, error: Exception) -> JobsError | None:
    """The error to send for `error`; ``None`` if it is the server's own fault.

    In that case it is logged, and the response is `OWN_ERROR`.
    """
    if isinstance(error, JobsError):
        return error
    if isinstance(error, LockBusyError):
        _logger.error("%s %s was refused: %s", request.method, request.path, error)
        return BusyError()
    fault = fault_of(error)
    if fault is not None and request.app[STORAGE].explains(error):
        return fault.error()
    _logger.error("%s %s failed", request.method, request.path, exc_info=error)
    return None


def _refusal(error: JobsError) -> web.Response:
    limit = dataclasses.asdict(error.limit) if error.limit else None
    response = _failure(error.status, error.message, error.code, details=error.details, limit=limit)
    response.headers.update(error.headers)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def _failure(status: int, message: str, code: str, **more: Any) -> web.Response:
    body: dict[str, Any] = {"success": False, "error": message, "code": code}
    body |= {name: value for name, value in more.items() if value}
    response = answer(body, status=status)
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def path_id(request: web.Request, what: str) -> str:
    """The id in the request's path, in canonical form; `what` is ``job``, ``schedule``, … Raises
    `InvalidFieldsError`.
    """
    return identifier(f"{what}Id", request.match_info[f"{what}_id"], f"{what} id")
