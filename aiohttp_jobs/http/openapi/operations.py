"""What a handler says of itself, next to it: its summary, parameters, body, answers and errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel

from ...errors import JobsError
from .parameters import VALUES, RequestParameter

_OPERATION = "_aiohttp_jobs_operation"
_UNLISTED = "_aiohttp_jobs_unlisted"

R = TypeVar("R", bound=web.StreamResponse)
JsonHandler = Callable[[web.Request], Awaitable[R]]


@dataclass(frozen=True)
class Content:
    """An answer that is not a JSON object of the API's own. `headers` have a schema each.

    `media_type` is ``None`` for an answer without a body.
    """

    media_type: str | None
    description: str
    headers: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})


Answer = type[BaseModel] | Content


@dataclass(frozen=True)
class Operation:
    """One handler's part of the document; see `operation`."""

    summary: str
    answers: Mapping[int, Answer]
    body: type[BaseModel] | None
    parameters: tuple[RequestParameter[Any], ...]
    errors: tuple[type[JobsError], ...]
    makes: Mapping[str, str]


def operation(
    summary: str,
    answers: Mapping[int, Answer],
    *,
    body: type[BaseModel] | None = None,
    parameters: tuple[RequestParameter[Any], ...] = (),
    errors: tuple[type[JobsError], ...] = (),
    makes: Mapping[str, str] | None = None,
) -> Callable[[JsonHandler[R]], JsonHandler[R]]:
    """Describe a handler. Its docstring is the description, its module's name the tag.

    `parameters` are read before the handler runs, which gets them with ``PARAMETER.of(request)``.
    `errors` are those of its own: a missing identity, a foreign origin and bad bodies, parameters or
    ids go without saying. `makes` tells where an answer holds the ids of what was made:
    ``{"jobId": "/jobId"}`` for a path parameter and a JSON pointer (RFC 6901).
    """
    described = Operation(summary, answers, body, parameters, errors, makes or {})

    def describe(handler: JsonHandler[R]) -> JsonHandler[R]:
        @wraps(handler)
        async def reading(request: web.Request) -> R:
            request[VALUES] = {each.name: each.read(request) for each in parameters}
            return await handler(request)

        setattr(reading, _OPERATION, described)
        return reading

    return describe


def unlisted(handler: JsonHandler[R]) -> JsonHandler[R]:
    """Mark a handler that is no part of the API, such as a page's files."""
    setattr(handler, _UNLISTED, True)
    return handler


def operation_of(handler: Any) -> Operation | None:
    """What `operation` said of a handler."""
    found: Operation | None = getattr(handler, _OPERATION, None)
    return found


def is_unlisted(handler: Any) -> bool:
    return bool(getattr(handler, _UNLISTED, False))
