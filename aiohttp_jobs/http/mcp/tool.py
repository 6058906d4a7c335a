"""A tool as agents see and call it: name, schemas, side effects, and who may use it.

``catalogue`` lists the tools, ``methods`` calls them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from aiohttp import web
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from ...model.identity import Identity
from ..openapi.schemas import schema_of
from ..request_keys import IDENTITY

LONGEST_NAME = 64
"""The protocol allows 128 characters; several agents take no more than this."""
_MARK = 8

Tell = Callable[[float, float | None, str], Awaitable[None]]
"""Tells whoever asked how far it is: so much, of so much, and a text for people."""


class ToolModel(BaseModel):
    """The arguments or the answer of a tool. Field names are camelCase, as in HTTP requests."""

    # Not made before the first agent asks: most hosts have none.
    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", populate_by_name=True, defer_build=True
    )


@dataclass(frozen=True, slots=True)
class Changes:
    """The side effects of a tool, for agents that ask a person before some of them."""

    nothing: bool = False
    destroys: bool = False
    same_when_repeated: bool = False
    reaches_out: bool = False

    def to_json(self, title: str) -> dict[str, Any]:
        return {
            "title": title,
            "readOnlyHint": self.nothing,
            "destructiveHint": self.destroys,
            "idempotentHint": self.nothing or self.same_when_repeated,
            "openWorldHint": self.reaches_out,
        }


READS = Changes(nothing=True)
RUNS = Changes(destroys=True, reaches_out=True)
"""Any command may do anything, so that an agent is to take care."""
ENDS = Changes(destroys=True, same_when_repeated=True)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool with its arguments. `tell` reports progress, if the caller wants it."""

    request: web.Request
    arguments: Mapping[str, Any]
    tell: Tell | None = None

    @property
    def app(self) -> web.Application:
        return self.request.app

    @property
    def identity(self) -> Identity:
        return self.request[IDENTITY]


class ToolFunction(Protocol):
    """The implementation of a tool: a function whose name is the tool's."""

    __name__: str

    def __call__(self, call: Call, /) -> Awaitable[dict[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool. `call` returns a JSON object that fits `answers`, or raises a `JobsError` as routes do."""

    name: str
    title: str
    description: str
    takes: Mapping[str, Any]
    answers: Mapping[str, Any]
    changes: Changes
    call: Callable[[Call], Awaitable[dict[str, Any]]]
    right: str | None = None
    """What `AccessPolicy` has to allow, beside what the call itself looks at."""
    tells: bool = False
    """Whether it takes time, and tells how far it is."""

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "inputSchema": self.takes,
            "outputSchema": self.answers,
            "annotations": self.changes.to_json(self.title),
        }


def make_tool(
    call: ToolFunction,
    title: str,
    description: str,
    takes: type[BaseModel],
    answers: type[BaseModel],
    changes: Changes,
    *,
    right: str | None = None,
    tells: bool = False,
    limits: Mapping[str, Any] = MappingProxyType({}),
) -> Tool:
    """The tool that is implemented by `call` and has its name; `limits` are the settings that its schema
    shows.
    """
    return Tool(
        call.__name__,
        title,
        description,
        schema_of(takes, "validation", limits),
        schema_of(answers, "serialization", limits),
        changes,
        call,
        right,
        tells,
    )


def answered(answer: BaseModel) -> dict[str, Any]:
    """`answer` as the JSON object that a tool's `call` returns."""
    return answer.model_dump(mode="json", by_alias=True)


def tool_name(kind: str, text: str, mark: str = "") -> str:
    """A valid tool name: the letters and digits of `text`, followed by `mark`, which makes it unique.

    A name that is too long is cut and ends with a digest of the whole.
    """
    words = re.sub(r"[^A-Za-z0-9_]+", "_", text).strip("_")
    end = f"_{mark}" if mark else ""
    name = f"{kind}_{words}{end}" if words else f"{kind}{end}"
    if len(name) <= LONGEST_NAME:
        return name
    end = end or f"_{hashlib.sha256(text.encode()).hexdigest()[:_MARK]}"
    return f"{name[: LONGEST_NAME - len(end)].rstrip('_')}{end}"


def brief(value: Any, most: int) -> Any:
    """`record` with each text cut to `most` characters, because an agent has to read all of it."""
    if isinstance(value, str):
        left = len(value) - most
        return value if left <= 0 else f"{value[:most]}… ({left} more characters)"
    if isinstance(value, dict):
        return {name: brief(each, most) for name, each in value.items()}
    return [brief(each, most) for each in value] if isinstance(value, list) else value


def brief_json(value: Any, most: int) -> Any:
    """`value` or, if its JSON is longer than `most` characters, that text, cut."""
    text = json.dumps(value, ensure_ascii=False)
    return value if len(text) <= most else brief(text, most)
