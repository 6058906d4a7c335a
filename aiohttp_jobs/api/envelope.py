"""The shapes around every answer: errors as JSON, bodies read within limits, fields validated."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeVar

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ..errors import InvalidFieldsError, JobsError, MalformedJSONError, NotJSONError, TooLargeError
from ..jsontext import dumps
from ..limits import field_error
from ..openapi.parameters import identifier

Model = TypeVar("Model", bound=BaseModel)

_CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
_MESSAGES = {
    404: "There is nothing at this address. Check its spelling.",
    405: "This address does not take that method.",
}
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_UNREADABLE = (HttpProcessingError, web.RequestPayloadError, ConnectionError)
_logger = logging.getLogger(__name__)


def answer(data: dict[str, Any], *, status: int = 200) -> web.Response:
    """A JSON answer that no cache keeps."""
    return raw_answer(dumps(data), status=status)


def raw_answer(body: bytes, *, status: int = 200) -> web.Response:
    """The same for what is JSON already."""
    return web.Response(
        body=body, status=status, content_type="application/json", charset="utf-8", headers=_HEADERS
    )


@web.middleware
async def error_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns every failure into ``{"success": false, "error": …, "code": …}``; never a stack trace."""
    try:
        return await handler(request)
    except JobsError as error:
        return _refusal(error)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        message = _MESSAGES.get(error.status, error.reason)
        response = _failure(error.status, message, _CODES.get(error.status, "http_error"))
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except Exception:
        _logger.exception("%s %s failed", request.method, request.path)
        return _failure(500, "The server met an error of its own; see its log.", "internal_error")


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


async def read_model(request: web.Request, model: type[Model], max_bytes: int) -> Model:
    """The request's JSON body as a `model`.

    Raises `NotJSONError`, `TooLargeError`, `MalformedJSONError` or `InvalidFieldsError`.
    """
    if request.content_type != "application/json":
        raise NotJSONError
    body = await _read_body(request, max_bytes)
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise MalformedJSONError from None
    if not isinstance(data, dict):
        raise InvalidFieldsError("The body must be a JSON object.")
    try:
        return model.model_validate(data, by_alias=True, by_name=False)
    except ValidationError as error:
        raise invalid_fields(error) from None


async def glance(request: web.Request, most: int, seconds: float) -> bytes:
    """The request's body if it has at most `most` bytes and comes within `seconds`, else what came of it.

    For refusals alone: nothing is judged, and nobody is waited for any longer.
    """
    body = bytearray()
    if (request.content_length or 0) > most:
        return b""
    with suppress(TimeoutError, *_UNREADABLE):
        async with asyncio.timeout(seconds):
            while len(body) <= most and (chunk := await request.content.readany()):
                body += chunk
    return bytes(body[:most])


async def _read_body(request: web.Request, max_bytes: int) -> bytes:
    message = f"The request body is larger than {max_bytes} bytes."
    if (request.content_length or 0) > max_bytes:
        raise TooLargeError(message)
    body = bytearray()
    try:
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > max_bytes:
                raise TooLargeError(message)
    except _UNREADABLE:
        raise MalformedJSONError("The request body could not be read as it was encoded.") from None
    return bytes(body)


def invalid_fields(error: ValidationError) -> InvalidFieldsError:
    """The error that names each field that pydantic found fault with."""
    faults = error.errors(include_url=False)
    details = [
        field_error(".".join(map(str, fault["loc"])) or "body", _what_is_wrong(fault))
        for fault in faults
        if not _follows_from(fault, faults)
    ]
    text = "; ".join(f"{fault['field']}: {fault['message']}" for fault in details)
    return InvalidFieldsError(f"{text}.", details=details)


def _follows_from(fault: ErrorDetails, faults: Sequence[ErrorDetails]) -> bool:
    """Whether a list is found too short only because entries of it are wrong, which are named already."""
    depth = len(fault["loc"])
    return fault["type"] == "too_short" and any(
        len(other["loc"]) > depth and other["loc"][:depth] == fault["loc"] for other in faults
    )


def _what_is_wrong(fault: ErrorDetails) -> str:
    """pydantic's message, in a reader's words where its own are about Python."""
    limits = fault.get("ctx", {})
    unit = "characters" if isinstance(fault["input"], str) else "entries"
    match fault["type"]:
        case "too_short" if limits["min_length"] == 1:
            return "must not be empty"
        case "too_short":
            return f"must have at least {limits['min_length']} {unit}"
        case "too_long":
            return f"must have at most {limits['max_length']} {unit}"
        case "extra_forbidden":
            return "is not a field here; check its spelling"
        case "tuple_type":
            return "must be a list"
        case _:
            return fault["msg"].removeprefix("Value error, ")


def path_id(request: web.Request, what: str) -> str:
    """The id in the request's path, in its canonical form; `what` is ``job``, ``schedule``, …

    Raises `InvalidFieldsError`.
    """
    return identifier(f"{what}Id", request.match_info[f"{what}_id"], f"{what} id")
