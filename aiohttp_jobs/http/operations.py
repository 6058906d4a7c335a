"""What a handler says of itself, next to it: summary, parameters, body, answers and errors.

Its parameters are read by that; ``openapi.document`` makes the API's description of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel

from ..errors import JobsError
from .answers import Answering, NamedModel
from .parameters import VALUES, RequestParameter

ROOT = "/api/v1"
_OPERATION = "_aiohttp_jobs_operation"
_UNLISTED = "_aiohttp_jobs_unlisted"

H = TypeVar("H", bound=Handler)


@dataclass(frozen=True)
class Content:
    """A response that is not one of the API's JSON objects.

    `headers` maps names to schemas; `media_type` is ``None`` for an empty body.
    """

    media_type: str | None
    description: str
    headers: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})


Answer = NamedModel | Answering | Content


@dataclass(frozen=True)
class Operation:
    """One handler's part of the document; made by `operation`."""

    summary: str
    answers: Mapping[int, Answer]
    body: type[BaseModel] | None
    parameters: tuple[RequestParameter[Any], ...]
    errors: tuple[type[JobsError], ...]
    makes: Mapping[str, str]
    example: Mapping[str, Any] | None


def operation(
    summary: str,
    answers: Mapping[int, Answer],
    *,
    body: type[BaseModel] | None = None,
    parameters: tuple[RequestParameter[Any], ...] = (),
    errors: tuple[type[JobsError], ...] = (),
    makes: Mapping[str, str] | None = None,
    example: Mapping[str, Any] | None = None,
) -> Callable[[H], H]:
    """Describe a handler. Its docstring becomes the description, its module's name the tag.

    `parameters` are read before the handler runs (`read_parameters`), which has them by
    ``PARAMETER.of(request)``.
    `errors` are the handler's own; those for a missing identity, a foreign origin and invalid bodies,
    parameters or ids are added to every operation. `makes` says where the response has the ids of what was
    created: ``{"jobId": "/jobId"}`` maps a path parameter to a JSON pointer (RFC 6901).
    `example` is a body that the handler accepts.
    """
    described = Operation(summary, answers, body, parameters, errors, makes or {}, example)

    def describe(handler: H) -> H:
        setattr(handler, _OPERATION, described)
        return handler

    return describe


def read_parameters(request: web.Request, handler: Any) -> None:
    """Read the parameters that `handler` declares. Raises `InvalidFieldsError`, which names the wrong one."""
    described = operation_of(handler)
    if described is not None:
        request[VALUES] = {each.name: each.read(request) for each in described.parameters}


def unlisted(handler: H) -> H:
    """Mark a handler that is not part of the API, such as one for the page's files."""
    setattr(handler, _UNLISTED, True)
    return handler


def operation_of(handler: Any) -> Operation | None:
    """The `Operation` of a handler, if it has one."""
    found: Operation | None = getattr(handler, _OPERATION, None)
    return found


def is_unlisted(handler: Any) -> bool:
    return bool(getattr(handler, _UNLISTED, False))
