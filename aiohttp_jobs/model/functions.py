"""The host's functions as data: their parameters as form fields, and the request of a run. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, NamedTuple, TypedDict

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from .identity import Identity
from .job import (
    DescriptionText,
    ExecutionMode,
    Labels,
    RetryPolicy,
    TimeoutSeconds,
)
from .notice_rules import NotifyRules
from .template import RunRequest

FUNCTION_NAME = "[A-Za-z_][A-Za-z0-9_]{0,63}"
"""A pattern: what a function, or a parameter of one, may be called."""
FUNCTIONS_KEY_OWNER = "\0functions"
"""Whose the concurrency keys of functions are. No user has this id, as none may contain a NUL."""
HOST_USER = "host"
"""Whose jobs those are that the host's code submits for nobody in particular."""
FROM_CODE = "code"
"""What ``SubmittedWith`` says of jobs that the host's own code has submitted. No request can claim it."""


class FunctionOrigin(TypedDict):
    """What a submission stores about the function it runs; see `Submission`."""

    function: str
    function_version: str
    function_values: dict[str, Any]
    sealed_values: str | None
    concurrency_owner: str | None
    schedule_id: str | None


class HostCode(Identity):
    """The identity of the host's own code, which submits as a user. It needs no role, and no request can have
    it.
    """

    __slots__ = ()

    @property
    def submitted_with(self) -> str:
        return FROM_CODE


FunctionName = Annotated[str, StringConstraints(strict=True, pattern=f"^{FUNCTION_NAME}$")]


class FunctionParameterType(StrEnum):
    """The form field of a parameter: an ``object`` is entered as JSON, a ``list`` item by item."""

    STRING = "string"
    INT = "int"
    NUMBER = "number"
    DECIMAL = "decimal"
    BOOL = "bool"
    CHOICE = "choice"
    DATE = "date"
    DATETIME = "datetime"
    TIME = "time"
    UUID = "uuid"
    SECRET = "secret"  # noqa: S105 - the name of a type
    LIST = "list"
    OBJECT = "object"


class FunctionItem(BaseModel):
    """The values that a list, or a parameter, accepts. Limits that are ``None`` do not exist.

    `minimum` and `maximum` are inclusive; exclusive limits are only in the JSON schema, as is everything
    about an ``object``.
    """

    # Finished with the host's first function, which is checked before anything else runs.
    model_config = ConfigDict(alias_generator=to_camel, frozen=True, populate_by_name=True, defer_build=True)

    type: FunctionParameterType
    choices: tuple[str | int | float | bool, ...] | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    pattern: str | None = None
    min_length: int | None = None
    max_length: int | None = None
    items: FunctionItem | None = None
    min_items: int | None = None
    max_items: int | None = None
    json_schema: Annotated[
        dict[str, Any] | None, Field(alias="schema", description="Of an object: its JSON schema.")
    ] = None


class FunctionParameter(FunctionItem):
    """One parameter. An optional one may be omitted, a `nullable` one may be null; `default` is JSON."""

    name: str
    description: str = ""
    required: bool = False
    nullable: bool = False
    default: Any = None
    allow_leading_dash: bool = True

    def to_json(self) -> dict[str, Any]:
        """The parameter as the API shows it, without limits that are ``None``."""
        shown = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {"default": None, **shown}


class FunctionRunRequest(RunRequest):
    """The body of ``POST /functions/{name}/run``. The function's signature validates the values."""

    execution_mode: ExecutionMode | None = None
    description: DescriptionText = ""
    timeout_seconds: TimeoutSeconds | None = None
    labels: Labels = ()
    retry: RetryPolicy | None = None
    notify: NotifyRules = ()


class Checked(NamedTuple):
    """The validated values of one run, as JSON by name: secret values, and all others."""

    plain: dict[str, Any]
    secret: dict[str, str]

    @property
    def all(self) -> dict[str, Any]:
        return {**self.plain, **self.secret}
