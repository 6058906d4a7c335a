"""Schedules: requests in camelCase, the record in PascalCase. Does no I/O.

``scheduling.cron`` validates cron lines and time zones, the service rights.
"""

from __future__ import annotations

import copy
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    create_model,
    field_serializer,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticUndefined

from .functions import FunctionName, FunctionRunRequest
from .job import Name, OneLine, SentDatetime, Startable, SubmitRequest, UtcDatetime
from .record import OwnedRecord
from .schema_extras import SchemaExtras
from .words import MisfirePolicy, OverlapPolicy

J = TypeVar("J", bound=Startable)

DEFAULT_GRACE_SECONDS = 60.0
MAX_JITTER_SECONDS = 3600.0
MOST_RUNS = 100
_YEARS = range(1970, 2200)


def _stripped(text: str) -> str:
    return text.strip()


def _tabs_as_spaces(text: object) -> object:
    return text.replace("\t", " ") if isinstance(text, str) else text


def _single_spaces(text: str) -> str:
    return " ".join(text.split())


def _in_range(moment: datetime) -> datetime:
    if moment.year not in _YEARS:
        raise ValueError(f"must lie in the years {_YEARS.start} to {_YEARS.stop - 1}")
    return moment.astimezone(UTC)


Moment = Annotated[
    SentDatetime,
    AfterValidator(_in_range),
    SchemaExtras({"pattern": "^(19[7-9][0-9]|20[0-9]{2}|21[0-9]{2})-"}),
]


CronLine = Annotated[
    OneLine,
    BeforeValidator(_tabs_as_spaces),
    AfterValidator(_single_spaces),
    WithJsonSchema({"type": "string", "format": "cron"}),
]
TimeZone = Annotated[OneLine, WithJsonSchema({"type": "string", "format": "time-zone"})]


def _without_start_time(schema: dict[str, Any]) -> None:
    """For the cron line tells when."""
    schema["properties"] |= {"runAt": {"type": "null"}, "delaySeconds": {"type": "null"}}


class _Scheduled(BaseModel):
    """What both kinds of scheduled jobs have in common."""

    model_config = ConfigDict(json_schema_extra=_without_start_time)

    def body(self) -> dict[str, Any]:
        """The fields that were given, as JSON in camelCase."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _no_start_time(job: J) -> J:
    if job.run_at is not None or job.delay_seconds is not None:
        raise ValueError("must not have runAt or delaySeconds: the cron line tells when it runs")
    return job


class ScheduledJob(SubmitRequest, _Scheduled):
    """What is submitted at each moment: the body of ``POST /jobs/submit`` without its start time.

    A field that is added to `SubmitRequest` becomes a field of schedules too.
    """

    _no_start_time = model_validator(mode="after")(_no_start_time)


class ScheduledFunction(FunctionRunRequest, _Scheduled):
    """A function to run at each moment: its name and the body of ``POST /functions/{name}/run``.

    Secret values are not allowed in schedules, which the service checks.
    """

    function: FunctionName

    _no_start_time = model_validator(mode="after")(_no_start_time)


def _either(value: Any, _: ValidatorFunctionWrapHandler) -> ScheduledJob | ScheduledFunction:
    # By hand, so that faults are told of one kind, by the fields' own places.
    if isinstance(value, ScheduledJob | ScheduledFunction):
        return value
    is_function = isinstance(value, dict) and "function" in value
    kind = ScheduledFunction if is_function else ScheduledJob
    return kind.model_validate(value, by_alias=True, by_name=False)


ScheduledWork = ScheduledJob | ScheduledFunction
"""What is submitted at each moment: a command, or one of the host's functions."""
_of_one_kind = field_validator("job", mode="wrap")(_either)


class ScheduleRequest(BaseModel):
    """The body of ``POST /schedules``. Seconds are real numbers; times need a UTC offset."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", frozen=True, populate_by_name=True, defer_build=True
    )

    name: Annotated[Name, AfterValidator(_stripped)]
    job: ScheduledWork
    cron: CronLine
    timezone: TimeZone = "UTC"
    enabled: Annotated[bool, Field(strict=True)] = True
    overlap_policy: OverlapPolicy = OverlapPolicy.SKIP
    misfire_policy: MisfirePolicy = MisfirePolicy.SKIP
    misfire_grace_seconds: Annotated[float, Field(ge=1, le=86400, allow_inf_nan=False, strict=True)] = (
        DEFAULT_GRACE_SECONDS
    )
    jitter_seconds: Annotated[float, Field(ge=0, le=MAX_JITTER_SECONDS, allow_inf_nan=False, strict=True)] = (
        0.0
    )
    start_at: Moment | None = None
    end_at: Annotated[
        Moment | None,
        Field(description="Later than startAt, and than the next moment that the cron line fits."),
    ] = None

    _of_one_kind = _of_one_kind

    @field_validator("end_at")
    @classmethod
    def _after_start(cls, end: datetime | None, info: ValidationInfo) -> datetime | None:
        start = info.data.get("start_at")
        if start is not None and end is not None and end <= start:
            raise ValueError("must be later than startAt")
        return end


@dataclass(frozen=True, slots=True)
class Preview:
    """A request for the next `count` runs of such a schedule."""

    cron: str
    timezone: str
    start_at: datetime | None
    end_at: datetime | None
    count: int


def _nothing() -> Any:
    return None


def _all_optional(name: str, model: type[BaseModel], **replaced: Any) -> type[BaseModel]:
    """`model` with every field optional (but no more nullable than it was), for PATCH."""
    fields: dict[str, Any] = {}
    for field, info in model.model_fields.items():
        optional = copy.copy(info)
        optional.default_factory = _nothing
        optional.default = PydanticUndefined
        fields[field] = (replaced.get(field, info.annotation), optional)
    return create_model(name, __config__=model.model_config, **fields)


def _of_one_kind_schema(schema: dict[str, Any]) -> None:
    _without_start_time(schema)
    no_command = {"properties": {"interpreter": {"type": "null"}, "concurrencyKey": {"type": "null"}}}
    schema["anyOf"] = [
        {"not": {"required": ["function"]}},
        {"not": {"required": ["command"]}, **no_command},
    ]


class _AnyJob(ScheduledJob):
    model_config = ConfigDict(json_schema_extra=_of_one_kind_schema, defer_build=True)

    function: FunctionName
    values: dict[str, Any]


JobChange = _all_optional("JobChange", _AnyJob)
ScheduleChange = _all_optional("ScheduleChange", ScheduleRequest, job=JobChange)
"""The body of ``PATCH /schedules/{id}``: fields left out stay as they are, in ``job`` too."""


def _stored_name(name: str) -> str:
    """``JobName`` for ``jobName``, ``TemplateID`` for ``templateId``."""
    stem = name[:-2] + "ID" if name.endswith("Id") else name
    return stem[:1].upper() + stem[1:]


def _request_name(name: str) -> str:
    stem = name[:-2] + "Id" if name.endswith("ID") else name
    return stem[:1].lower() + stem[1:]


class Schedule(OwnedRecord):
    """A schedule as it is stored in ``Schedules/<ScheduleID>.json``.

    ``ActiveSince``: moments up to then are ignored, because it was created, enabled or retimed then.
    ``LastFiredAt`` and ``LastSkippedAt`` are nominal moments, without jitter. ``DisabledBy`` is the user who
    disabled it, while it is disabled. ``FromCode``: it is declared in the host's code, for one of its
    functions.
    """

    schedule_id: Annotated[str, AfterValidator(lambda text: str(uuid.UUID(text)))]
    name: str
    job: ScheduledWork
    cron: str
    timezone: str
    enabled: bool
    overlap_policy: OverlapPolicy
    misfire_policy: MisfirePolicy
    misfire_grace_seconds: float
    jitter_seconds: float
    start_at: UtcDatetime | None = None
    end_at: UtcDatetime | None = None
    created_at: UtcDatetime
    updated_at: UtcDatetime
    updated_by: str
    active_since: UtcDatetime
    last_fired_at: UtcDatetime | None = None
    last_job_id: str | None = None
    last_skipped_at: UtcDatetime | None = None
    last_skip_reason: str | None = None
    last_error: str | None = None
    last_error_at: UtcDatetime | None = None
    disabled_by: str | None = None
    from_code: bool = False

    _of_one_kind = _of_one_kind

    @field_validator("job", mode="before")
    @classmethod
    def _from_stored(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {_request_name(name): field for name, field in value.items()}
        return value

    @field_serializer("job")
    def _to_stored(self, job: ScheduledJob | ScheduledFunction) -> dict[str, Any]:
        return {_stored_name(name): value for name, value in job.body().items()}

    @property
    def record_id(self) -> str:
        return self.schedule_id

    def request(self) -> dict[str, Any]:
        """The request that would create it again."""
        return {to_camel(field): getattr(self, field) for field in ScheduleRequest.model_fields}

    @property
    def own_key(self) -> str | None:
        """The concurrency key of its jobs if they must not overlap and have no other."""
        return None if self.overlap_policy is OverlapPolicy.SKIP else f"schedule:{self.schedule_id}"

    def submission(self) -> SubmitRequest:
        """The command to submit, with `own_key` if it has no key. Raises ``TypeError`` for a function."""
        if isinstance(self.job, ScheduledFunction):
            raise TypeError("this schedule runs a function")
        fields = self.job.model_dump(exclude_unset=True)
        if self.job.concurrency_key is None:
            fields["concurrency_key"] = self.own_key
        return SubmitRequest.model_validate(fields)


_CODE_SCHEDULES = uuid.UUID("5d6cf9a4-8f0b-4c2e-9b53-9a4a2f4a7c11")


def code_schedule_id(prefix: str, function: str) -> str:
    """The id of the schedule that the code declares for a function, for the plugin mounted at `prefix`."""
    return str(uuid.uuid5(_CODE_SCHEDULES, f"{prefix} {function}"))
