"""Templates: requests in camelCase, the record in PascalCase. Does no I/O."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_serializer,
    model_validator,
)
from pydantic.alias_generators import to_camel

from .job import (
    ONE_START_TIME,
    ChosenInterpreter,
    ConcurrencyKey,
    DelaySeconds,
    DescriptionText,
    ExecutionMode,
    FilledCommand,
    InterpreterName,
    Labels,
    Name,
    OneLine,
    Priority,
    RetryPolicy,
    StartTime,
    SubmitRequest,
    TimeoutSeconds,
    UtcDatetime,
    one_start_time,
)
from .notice_rules import NotifyRules
from .parameters import HIDES_NOTHING, Parameter
from .record import OwnedRecord
from .schema_extras import HOST_LIMIT

MAX_PARAMETERS = 50
MAX_RUN_ROLES = 50


def _distinct(parameters: tuple[Parameter, ...]) -> tuple[Parameter, ...]:
    # Without regard to case, as Windows has its environment variables.
    names = [parameter.name.lower() for parameter in parameters]
    if len(set(names)) < len(names):
        raise ValueError("must have names that differ in more than upper and lower case")
    return parameters


Parameters = Annotated[tuple[Parameter, ...], Field(max_length=MAX_PARAMETERS), AfterValidator(_distinct)]
Role = Annotated[OneLine, StringConstraints(min_length=1, max_length=100)]
RunRoles = Annotated[tuple[Role, ...], Field(max_length=MAX_RUN_ROLES)]


_NAMES: dict[str, Any] = {
    "anyOf": [
        {
            HOST_LIMIT: {"required": "fields_of_no_python"},
            "properties": {"interpreter": {HOST_LIMIT: {"enum": "interpreters_but_python"}}},
        },
        {"properties": {"parameters": {"items": {"properties": {"name": {"pattern": HIDES_NOTHING}}}}}},
    ]
}
"""In a schema: the parameters of a Python command hide none of Python's builtins from it."""


class TemplateRequest(BaseModel):
    """The body of ``POST /templates`` and ``PUT /templates/{id}``.

    Fields that `SubmitRequest` has too mean the same, and are passed on to each job.
    """

    model_config = ConfigDict(
        defer_build=True,
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        json_schema_extra=_NAMES,
    )

    name: Name
    description: DescriptionText = ""
    command: FilledCommand
    execution_mode: ExecutionMode
    interpreter: ChosenInterpreter | None = None
    timeout_seconds: TimeoutSeconds | None = None
    priority: Priority | None = None
    concurrency_key: ConcurrencyKey | None = None
    labels: Labels = ()
    retry: RetryPolicy | None = None
    notify: NotifyRules = ()
    parameters: Parameters = ()
    run_roles: RunRoles = ()


class RunRequest(BaseModel):
    """The body of ``POST /templates/{id}/run``. The template validates the values."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        json_schema_extra=ONE_START_TIME,
    )

    values: dict[str, Any] = Field(default_factory=dict, repr=False)
    job_name: Name | None = None
    priority: Priority | None = None
    run_at: StartTime | None = None
    delay_seconds: DelaySeconds | None = None

    _one_start_time = model_validator(mode="after")(one_start_time)


class Template(OwnedRecord):
    """A template as it is stored in ``Templates/<TemplateID>.json``.

    Its owner is whoever wrote it last.
    """

    template_id: Annotated[str, AfterValidator(lambda text: str(uuid.UUID(text)))]
    name: str
    description: str = ""
    command: str
    execution_mode: ExecutionMode
    interpreter: InterpreterName
    timeout_seconds: float | None = None
    priority: int | None = None
    concurrency_key: str | None = None
    labels: tuple[str, ...] = ()
    retry: RetryPolicy | None = None
    notify: NotifyRules = ()
    parameters: tuple[Parameter, ...] = ()
    run_roles: tuple[str, ...] = ()
    created_at: UtcDatetime
    updated_at: UtcDatetime
    updated_by: str

    @field_serializer("parameters")
    def _as_given(self, parameters: tuple[Parameter, ...]) -> list[dict[str, Any]]:
        return [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in parameters]

    @property
    def record_id(self) -> str:
        return self.template_id

    @property
    def digest(self) -> str:
        """A digest of what a run approves: the command, how it runs, and its parameters."""
        record = self.to_record()
        names = ("Command", "ExecutionMode", "Interpreter", "Parameters")
        text = json.dumps([record[name] for name in names], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def problem(self) -> str | None:
        """A sentence that says why it cannot run until it is changed; ``None`` if it can."""
        hidden = [each.name for each in self.parameters if each.hides_builtin]
        if self.interpreter is not InterpreterName.PYTHON or not hidden:
            return None
        return (
            f"This template does not run, because its parameter {hidden[0]} would hide Python's own from the "
            "command. Give the parameter another name, in the command too."
        )

    def submission(self, run: RunRequest) -> SubmitRequest:
        """The job to submit for `run`."""
        shared = SubmitRequest.model_fields.keys() & Template.model_fields.keys()
        fields = {field: getattr(self, field) for field in shared}
        fields |= {"job_name": run.job_name or self.name, "run_at": run.run_at}
        fields |= {"delay_seconds": run.delay_seconds}
        if run.priority is not None:
            fields["priority"] = run.priority
        return SubmitRequest.model_validate(fields)
