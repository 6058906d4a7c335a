"""The shapes of the host's functions: their parameters as forms have them, and one run's request. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

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


@dataclass(frozen=True, slots=True)
class FunctionOrigin:
    """What a submission keeps of the function that it runs: see `Submission`."""

    function: str
    function_version: str
    function_values: dict[str, Any]
    sealed_values: str | None = None
    concurrency_owner: str | None = None
    schedule_id: str | None = None


class HostCode(Identity):
    """Whoever the host's own code submits for. It needs no role, and no request has such an identity."""

    __slots__ = ()

    @property
    def submitted_with(self) -> str:
        return FROM_CODE


FunctionName = Annotated[str, StringConstraints(strict=True, pattern=f"^{FUNCTION_NAME}$")]


class FunctionParameterType(StrEnum):
    """What is entered for a parameter, and how: an ``object`` as JSON, a ``list`` item by item."""

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
    """What a list takes, or one parameter without its name. What is not told has no limit.

    `minimum` and `maximum` may be reached; limits that may not be are in the JSON schema only, as is all that
    is told of an ``object``.
    """

    model_config = ConfigDict(alias_generator=to_camel, frozen=True, populate_by_name=True)

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
    """One parameter. An optional one may be left out, a `nullable` one may be null; `default` is JSON."""

    name: str
    description: str = ""
    required: bool = False
    nullable: bool = False
    default: Any = None
    allow_leading_dash: bool = True

    def to_json(self) -> dict[str, Any]:
        """As the API shows it: without the limits that there are not."""
        shown = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {"default": None, **shown}


class FunctionRunRequest(RunRequest):
    """The body of ``POST /functions/{name}/run``. What the values must be is the function's to say."""

    execution_mode: ExecutionMode | None = None
    description: DescriptionText = ""
    timeout_seconds: TimeoutSeconds | None = None
    labels: Labels = ()
    retry: RetryPolicy | None = None
    notify: NotifyRules = ()
