"""Query and header parameters. Each object both documents and reads one, so that the two cannot differ."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from ..errors import InvalidFieldsError
from ..model.field_faults import what_is_wrong
from .request_keys import request_key

T = TypeVar("T")

UUID_PATTERN = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"
_EXAMPLE_ID = "a7f3e8d9-4b2c-4f5a-9e7d-6c8b3a2f1e0d"

VALUES: web.RequestKey[dict[str, Any]] = request_key("aiohttp_jobs.parameters", dict)
"""The values that `operations.read_parameters` has read from a request."""


@dataclass(frozen=True, kw_only=True)
class RequestParameter(Generic[T]):
    """One parameter. Handlers read it by `of`, once it is declared in their `operation`."""

    name: str
    description: str = ""
    location: ClassVar[str] = "query"
    explode: ClassVar[bool] = False
    is_required: ClassVar[bool] = False

    def of(self, request: web.Request) -> T:
        """Its value in this request.

        Raises ``LookupError`` when the handler's operation does not declare it.
        """
        value: T = request[VALUES][self.name]
        return value

    def read(self, request: web.Request) -> T:
        """Parse its value. Raises `InvalidFieldsError`, which names the parameter."""
        raise NotImplementedError

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of what `read` accepts."""
        raise NotImplementedError

    def text(self, request: web.Request) -> str | None:
        """The text that was sent for it, if any. Raises `InvalidFieldsError` if it was sent repeatedly."""
        source = request.query if self.location == "query" else request.headers
        values = source.getall(self.name, [])
        if len(values) > 1:
            raise InvalidFieldsError.of_one(self.name, "must be given only once")
        return values[0] if values else None


@dataclass(frozen=True, kw_only=True)
class Count(RequestParameter[int]):
    """A whole number from 1 to `most`."""

    default: int
    most: int

    def read(self, request: web.Request) -> int:
        text = self.text(request)
        if text is None:
            return self.default
        if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= self.most:
            raise InvalidFieldsError.of_one(self.name, f"must be a whole number from 1 to {self.most}")
        return int(text)

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": 1, "maximum": self.most, "default": self.default}


@dataclass(frozen=True, kw_only=True)
class Seconds(RequestParameter[int]):
    """A whole number of seconds from 0, the default, to `most`."""

    most: int

    def read(self, request: web.Request) -> int:
        text = self.text(request)
        if text is None:
            return 0
        if not re.fullmatch("[0-9]{1,9}", text) or int(text) > self.most:
            raise InvalidFieldsError.of_one(
                self.name, f"must be a whole number of seconds from 0 to {self.most}"
            )
        return int(text)

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": 0, "maximum": self.most, "default": 0}


@dataclass(frozen=True, kw_only=True)
class Offset(RequestParameter[int | None]):
    """A number of bytes."""

    def read(self, request: web.Request) -> int | None:
        text = self.text(request)
        if text is None:
            return None
        if not re.fullmatch("[0-9]{1,15}", text):
            raise InvalidFieldsError.of_one(self.name, "must be a number of bytes, 0 or more")
        return int(text)

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": 0, "maximum": 10**15 - 1}


@dataclass(frozen=True, kw_only=True)
class Choice(RequestParameter[str]):
    """One of `choices`."""

    choices: Sequence[str]
    default: str

    def read(self, request: web.Request) -> str:
        text = self.text(request)
        if text is None:
            return self.default
        if text not in self.choices:
            raise InvalidFieldsError.of_one(self.name, f"must be one of {', '.join(self.choices)}")
        return text

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.choices), "default": self.default}


@dataclass(frozen=True, kw_only=True)
class Choices(RequestParameter[list[str]]):
    """Some of `choices`, comma-separated or repeated."""

    choices: Sequence[str]
    explode: ClassVar[bool] = True

    def read(self, request: web.Request) -> list[str]:
        values = [value for text in request.query.getall(self.name, []) for value in text.split(",")]
        if not set(values) <= set(self.choices):
            raise InvalidFieldsError.of_one(
                self.name, f"must be some of {', '.join(self.choices)}, separated by commas"
            )
        return values

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": {"type": "string", "enum": list(self.choices)}}


@dataclass(frozen=True, kw_only=True)
class Identifier(RequestParameter[str]):
    """A required id, read in its canonical form. `kind` says what it identifies."""

    kind: str
    is_required: ClassVar[bool] = True

    def read(self, request: web.Request) -> str:
        return identifier(self.name, self.text(request) or "", self.kind)

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "uuid"}


@dataclass(frozen=True, kw_only=True)
class OptionalIdentifier(RequestParameter[str | None]):
    """An optional id, read in its canonical form."""

    kind: str

    def read(self, request: web.Request) -> str | None:
        text = self.text(request)
        return None if text is None else identifier(self.name, text, self.kind)

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "uuid"}


@dataclass(frozen=True, kw_only=True)
class Flag(RequestParameter[bool | None]):
    """``true`` or ``false``."""

    def read(self, request: web.Request) -> bool | None:
        text = self.text(request)
        if text not in (None, "true", "false"):
            raise InvalidFieldsError.of_one(self.name, "must be true or false")
        return None if text is None else text == "true"

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True, kw_only=True)
class Value(RequestParameter[T | None]):
    """An optional value that pydantic parses, of a type that has its own JSON schema."""

    adapter: TypeAdapter[Any]

    def read(self, request: web.Request) -> T | None:
        text = self.text(request)
        try:
            return None if text is None else self.adapter.validate_python(text)
        except ValidationError as error:
            raise InvalidFieldsError.of_one(self.name, what_is_wrong(error.errors()[0])) from None

    @property
    def schema(self) -> dict[str, Any]:
        return self.adapter.json_schema()


@dataclass(frozen=True, kw_only=True)
class RequiredValue(Value[T]):
    """A required value that pydantic parses."""

    is_required: ClassVar[bool] = True

    def read(self, request: web.Request) -> T | None:
        if self.name not in request.query:
            raise InvalidFieldsError.of_one(self.name, "must be given")
        return super().read(request)


@dataclass(frozen=True, kw_only=True)
class Matching(RequestParameter[re.Match[str] | None]):
    """A text that matches `pattern` as a whole; `message` says what it must be."""

    pattern: str
    message: str
    example: str

    def read(self, request: web.Request) -> re.Match[str] | None:
        text = self.text(request)
        if text is None:
            return None
        match = re.fullmatch(self.pattern, text)
        if match is None:
            raise InvalidFieldsError.of_one(self.name, self.message)
        return match

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{self.pattern}$", "examples": [self.example]}


@dataclass(frozen=True, kw_only=True)
class MatchingHeader(Matching):
    """A header whose value matches `pattern` as a whole."""

    location: ClassVar[str] = "header"


@dataclass(frozen=True, kw_only=True)
class Header(RequestParameter[str | None]):
    """A header that is read as HTTP says: any text is accepted, and a value without meaning is ignored."""

    example: str
    location: ClassVar[str] = "header"

    def read(self, request: web.Request) -> str | None:
        values = request.headers.getall(self.name, [])
        return ", ".join(values) if values else None

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "examples": [self.example]}


SCOPE = Choice(
    name="scope",
    choices=("own", "all"),
    default="own",
    description="`all`: those of all users, for callers who may see them.",
)


def identifier(name: str, text: str, kind: str) -> str:
    """The id `text` in canonical form. Raises `InvalidFieldsError`."""
    if not re.fullmatch(UUID_PATTERN, text):
        raise InvalidFieldsError.of_one(name, f"must be a {kind}, a UUID such as '{_EXAMPLE_ID}'")
    return text.lower()


def require_known(request: web.Request, parameters: tuple[RequestParameter[Any], ...]) -> None:
    """Raise `InvalidFieldsError` for query parameters other than these."""
    # A condition that is misspelt must not be taken for no condition.
    unknown = sorted(set(request.query) - {parameter.name for parameter in parameters})
    if unknown:
        known = ", ".join(sorted(parameter.name for parameter in parameters))
        message = f"is not a parameter of this list; there are {known}"
        raise InvalidFieldsError.of_one(unknown[0][:64], message)
