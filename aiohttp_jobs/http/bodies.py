"""Reads request bodies within limits of size and time, and validates them without holding up other requests.

What the fields mean is in the models; errors become responses in ``envelope``.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from threading import Lock
from typing import Any, TypeVar

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ..errors import (
    InvalidFieldsError,
    MalformedJSONError,
    NotJSONError,
    RightsUnavailableError,
    TooLargeError,
    field_error,
)
from ..model.field_faults import details_of
from .open_streams import require_rights_still, while_rights_last

Model = TypeVar("Model", bound=BaseModel)
T = TypeVar("T")

MOST_TOKENS = 25_000
"""Strings, commas, colons and opening brackets in one body; a template of the largest has 21,000."""
MOST_ENTRIES = 1000
"""Entries of one list; as many as there may be ids in a deletion."""
MOST_FIELDS = 200
"""Fields of one object."""

_MOST_FAULTS = 200
_LONGEST_NUMBER = 1000
_SMALL = 4096
_FEW_BYTES = 1000
"""A body up to this size has no room for more values, entries or fields than it may have."""
_DEEP = b"[" * 100
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_SEPARATORS = (b",", b":", b"[", b"{")
_PROMPT_SECONDS = 1.0
_UNDECODABLE = "The request body could not be read as it was encoded."
UNREADABLE = (HttpProcessingError, web.RequestPayloadError, ConnectionError)


async def read_model(request: web.Request, model: type[Model], max_bytes: int) -> Model:
    """Read the JSON body as a `model`.

    Raises `NotJSONError`, `TooLargeError`, `MalformedJSONError` or `InvalidFieldsError`.
    """
    finished(model)
    return await _read(request, max_bytes, lambda body: parse_model(body, model))


_finishing = Lock()


def finished(model: type[Model]) -> type[Model]:
    """`model`, which may have ``defer_build`` because requests with it are seldom, ready to validate.

    Blocks for 3 ms the first time. Two threads must not do it at a time: pydantic's own way at first use let
    one of them validate by the parent class (pydantic issue 11849).
    """
    if not model.__pydantic_complete__:
        with _finishing:
            model.model_rebuild()
    return model


async def read_object(request: web.Request, max_bytes: int) -> dict[str, Any]:
    """Read the JSON body as an object with any fields. Raises what `read_model` does."""
    return await _read(request, max_bytes, _parse_object)


async def _read(request: web.Request, max_bytes: int, parse: Callable[[bytes], T]) -> T:
    if request.content_type != "application/json":
        raise NotJSONError
    body = await _read_body(request, max_bytes)
    return parse(body) if len(body) <= _SMALL else await asyncio.to_thread(parse, body)


def parse_model(body: bytes, model: type[Model]) -> Model:
    """Parse the JSON text `body` as a `model`; takes 50 ms at most, whatever the body is.

    Raises `TooLargeError`, `MalformedJSONError` or `InvalidFieldsError`.
    """
    return as_model(_parse_object(body), model)


def _parse_object(body: bytes) -> dict[str, Any]:
    is_long = len(body) > _FEW_BYTES
    if is_long:
        _require_few_tokens(body)
    try:
        data = _DECODER.decode(body.decode(json.detect_encoding(body), "surrogatepass"))
    except (ValueError, RecursionError):
        raise MalformedJSONError from None
    if not isinstance(data, dict):
        raise InvalidFieldsError("The body must be a JSON object.")
    if is_long:
        _require_small_containers(data)
    return data


def as_model(data: Mapping[str, Any], model: type[Model]) -> Model:
    """The JSON object `data` as a `model`. Raises `InvalidFieldsError`."""
    try:
        return model.model_validate(data, by_alias=True, by_name=False)
    except ValidationError as error:
        raise invalid_fields(error) from None


async def glance(request: web.Request, most: int, seconds: float) -> bytes:
    """Up to `most` bytes of the body, as far as they come within `seconds`; for refusals. Never raises."""
    if (request.content_length or 0) > most:
        return b""
    if not request.can_read_body:
        return (await request.read())[:most]
    body = bytearray()
    with suppress(TimeoutError, *UNREADABLE):
        async with asyncio.timeout(seconds):
            while len(body) <= most and (chunk := await request.content.readany()):
                body += chunk
    return bytes(body[:most])


async def _read_body(request: web.Request, max_bytes: int) -> bytes:
    if (request.content_length or 0) > max_bytes:
        raise _too_large(max_bytes)
    if not request.can_read_body:  # a middleware of the host's has read it, and the request keeps it
        body = await request.read()
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
        return body
    if request.content.is_eof():  # all of it has come with the headers, so there is nothing to wait for
        return _whole(request.content, max_bytes)
    return await _receive_body(request, max_bytes)


def _whole(content: StreamReader, max_bytes: int) -> bytes:
    """A body of which nothing more is to come. Raises `TooLargeError` or `MalformedJSONError`."""
    body = b""
    try:
        while (piece := content.read_nowait()) and len(body) <= max_bytes:
            body += piece
    except UNREADABLE:
        raise MalformedJSONError(_UNDECODABLE) from None
    if len(body) > max_bytes:
        raise _too_large(max_bytes)
    return body


async def _receive_body(request: web.Request, max_bytes: int) -> bytes:
    body = b""
    clock = asyncio.get_running_loop().time
    end = clock() + _PROMPT_SECONDS
    async with while_rights_last(request) as rights:
        body = await _joined(request, max_bytes)
    # Whoever sends a body slowly may have been signed out before its end.
    if rights.has_ended or clock() > end:
        await require_rights_still(request)
    if rights.has_ended:  # as it seemed when that could not be found out
        raise RightsUnavailableError
    return body


async def _joined(request: web.Request, max_bytes: int) -> bytes:
    """All pieces of the body. Raises `TooLargeError` or `MalformedJSONError`."""
    body = bytearray()
    try:
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > max_bytes:
                raise _too_large(max_bytes)
    except UNREADABLE:
        raise MalformedJSONError(_UNDECODABLE) from None
    return bytes(body)


def _too_large(max_bytes: int) -> TooLargeError:
    return TooLargeError(f"The request body is larger than {max_bytes} bytes.")


def _require_few_tokens(body: bytes) -> None:
    """Raise `TooLargeError` for more values than any request has: a megabyte of ``[]`` takes 0.3 s to read.

    Stops counting when there are too many.
    """
    if _count(body) + body.count(b'"') <= MOST_TOKENS:
        return
    tokens = position = 0
    while (start := body.find(b'"', position)) >= 0 and tokens <= MOST_TOKENS:
        string = _STRING.match(body, start)
        if string is None:
            raise MalformedJSONError
        tokens += 1 + _count(body, position, start)
        position = string.end()
    if tokens + _count(body, position) > MOST_TOKENS:
        if _DEEP in body:
            raise MalformedJSONError
        raise TooLargeError("The request body has more values than any request here can have.")


def _count(body: bytes, start: int = 0, end: int | None = None) -> int:
    return sum(body.count(each, start, end) for each in _SEPARATORS)


def _whole_number(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:  # reading it takes time that grows with the square of its length
        raise ValueError("a number of too many digits")
    return int(text)


_DECODER = json.JSONDecoder(parse_int=_whole_number)


def _require_small_containers(data: dict[str, Any]) -> None:
    """Raise `InvalidFieldsError` for a list or object so long that naming its faults would take seconds."""
    waiting: list[tuple[str, Any]] = [("body", data)]
    while waiting:
        name, value = waiting.pop()
        is_object = isinstance(value, dict)
        most = MOST_FIELDS if is_object else MOST_ENTRIES
        if len(value) > most:
            message = f"must have at most {most} {'fields' if is_object else 'entries'}"
            raise InvalidFieldsError.of_one(name, message)
        inner = value.items() if is_object else ((name, each) for each in value)
        waiting += [(str(key)[:64], each) for key, each in inner if isinstance(each, dict | list)]


def invalid_fields(error: ValidationError) -> InvalidFieldsError:
    """The error that names each field that pydantic rejected; of very many, only their number."""
    count = error.error_count()
    if count > _MOST_FAULTS:
        message = f"has {count} faults; compare it with the description of the API (openapi.json)"
        return InvalidFieldsError(f"The body {message}.", details=[field_error("body", message)])
    faults = error.errors(include_url=False)
    return InvalidFieldsError.of(details_of(each for each in faults if not _follows_from(each, faults)))


def _follows_from(fault: ErrorDetails, faults: Sequence[ErrorDetails]) -> bool:
    """Whether a list is found too short only because entries of it are wrong, which are named already."""
    depth = len(fault["loc"])
    return fault["type"] == "too_short" and any(
        len(other["loc"]) > depth and other["loc"][:depth] == fault["loc"] for other in faults
    )
