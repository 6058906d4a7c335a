"""Submissions and results, as the specification defines them. Does no I/O.

Requests are camelCase, stored records PascalCase (``JobID``, ``UserID``).
"""

from __future__ import annotations

import re
import ssl
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol, Self, TypedDict, TypeVar

import orjson
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel

from .notice_rules import NotifyRules
from .record import record_name
from .schema_extras import SchemaExtras, limited
from .trace import TraceContext, valid_state
from .words import ExecutionMode, InterpreterName, JobStatus

DEFAULT_PRIORITY = 5
"""Of 0 (last) to 9 (first)."""


class JobPhase(StrEnum):
    """The state of a job that has not ended. ``Pending``: not due yet. ``Queued``: waiting to start."""

    PENDING = "Pending"
    QUEUED = "Queued"
    RUNNING = "Running"
    ENDED = "Ended"


def utc_now() -> datetime:
    return datetime.now(UTC)


def format_utc(moment: datetime) -> str:
    """A time as ISO 8601 in UTC with ``Z`` and microseconds, so that text order is time order."""
    in_utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    if in_utc.microsecond and type(in_utc) is datetime:  # orjson leaves out a fraction of nothing
        return orjson.dumps(in_utc, option=orjson.OPT_UTC_Z)[1:-1].decode()
    return in_utc.isoformat("T", "microseconds")[: -len("+00:00")] + "Z"


def _assume_utc(moment: datetime) -> datetime:
    try:
        if moment.tzinfo is UTC:
            return moment
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be a date that exists in UTC") from None


UtcDatetime = Annotated[
    datetime,
    AfterValidator(_assume_utc),
    PlainSerializer(format_utc, return_type=str, when_used="always"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


def _sent_as_text(value: Any) -> Any:
    if isinstance(value, datetime) or (isinstance(value, str) and re.match("[0-9]{4}-", value)):
        return value
    raise ValueError("must be a valid datetime with a UTC offset, such as '2030-01-31T08:00:00+01:00'")


def _in_calendar(moment: datetime) -> datetime:
    if not 1 < moment.year < 9999:  # `SAFE_YEARS`
        raise ValueError("must lie in the years 2 to 9998")
    return moment.astimezone(UTC)


SentDatetime = Annotated[AwareDatetime, BeforeValidator(_sent_as_text)]
"""In a request: text, not a number of seconds."""
SAFE_YEARS = "(000[2-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-8][0-9]{3}|9[0-8][0-9]{2}|99[0-8][0-9]|999[0-8])"
"""A pattern: the years that no time zone leads out of the calendar."""
StartTime = Annotated[
    SentDatetime, AfterValidator(_in_calendar), SchemaExtras({"pattern": f"^{SAFE_YEARS}-"})
]


_CONTROL = r"\x00-\x1f\x7f-\x9f"
_BLANK = r"\s\x1c-\x1f\x85\ufeff"  # what either Python or ECMA 262, and so JSON Schema, takes for a space


_HAS_CONTROL = re.compile(f"[{_CONTROL}]").search
_HAS_MORE_THAN_BLANKS = re.compile(f"[^{_BLANK}]").search


def _no_control_characters(text: str) -> str:
    if _HAS_CONTROL(text):
        raise ValueError("must be one line without control characters")
    return text


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain a NUL character")
    return text


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("must be valid Unicode text (it has a lone surrogate)") from None
    return value


Text = Annotated[str, BeforeValidator(_encodable), StringConstraints(strict=True)]
OneLine = Annotated[
    Text, AfterValidator(_no_control_characters), SchemaExtras({"pattern": f"^[^{_CONTROL}]*$"})
]
CommandText = Annotated[Text, AfterValidator(_no_nul), SchemaExtras({"pattern": r"^[^\x00]*$"})]


DelaySeconds = Annotated[float, Field(ge=0, le=366 * 86400, allow_inf_nan=False, strict=True)]
ConcurrencyKey = Annotated[OneLine, StringConstraints(min_length=1, max_length=200)]
SHARED_KEY = "shared:"
"""What a concurrency key starts with that is the same key for all users; any other is its user's own."""


def is_shared_key(key: str | None) -> bool:
    """Whether the concurrency key is shared by all users."""
    return key is not None and key.startswith(SHARED_KEY)


def _not_blank(text: str) -> str:
    if not _HAS_MORE_THAN_BLANKS(text):
        raise ValueError("must not be empty")
    return text


FilledLine = Annotated[
    OneLine,
    AfterValidator(_not_blank),
    SchemaExtras({"pattern": f"^[^{_CONTROL}]*[^{_BLANK}{_CONTROL}][^{_CONTROL}]*$"}),
]
"""One line that is not blank."""
Name = Annotated[FilledLine, limited("maxLength", "max_name_length")]
FilledCommand = Annotated[
    CommandText,
    AfterValidator(_not_blank),
    SchemaExtras({"pattern": rf"^[^\x00]*[^{_BLANK}\x00][^\x00]*$"}),
    limited("x-maxBytes", "max_command_bytes"),
]
DescriptionText = Annotated[CommandText, limited("maxLength", "max_description_length")]
ChosenInterpreter = Annotated[InterpreterName, limited("enum", "interpreters")]
TimeoutSeconds = Annotated[
    float, Field(gt=0, allow_inf_nan=False, strict=True), limited("maximum", "max_timeout")
]


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
"""For a whole number in a request. JSON does not tell 5 from 5.0, and some programs write the latter."""
Priority = Annotated[int, Field(ge=0, le=9, strict=True), WHOLE]


_LABEL = "^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$"
Label = Annotated[Text, StringConstraints(pattern=_LABEL), SchemaExtras({"pattern": _LABEL})]
"""What a worker says of itself, such as ``linux``, ``gpu`` or ``site-berlin``, and a job asks for."""
MAX_LABELS = 16
_LABELS = "What a worker must have to run it. Not in MainLoop, which is the host's own and no worker's."
Labels = Annotated[
    tuple[Label, ...],
    Field(max_length=MAX_LABELS, description=_LABELS),
    limited("maxItems", "max_labels"),
]


class JobStatusOnRetry(StrEnum):
    """The outcomes after which a job may be retried."""

    FAILED = "Failed"
    TIMED_OUT = "TimedOut"
    INTERRUPTED = "Interrupted"


class RetryPolicy(BaseModel):
    """How often a job is retried, with which delay, and after which outcomes.

    The delay before attempt n + 1 is ``backoffSeconds * backoffFactor ** (n - 1)``, at most a day.
    """

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True, populate_by_name=True)

    count: Annotated[int, Field(ge=1, le=20, strict=True), WHOLE]
    backoff_seconds: Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False, strict=True)] = 10.0
    backoff_factor: Annotated[float, Field(ge=1, le=10, allow_inf_nan=False, strict=True)] = 2.0
    on: Annotated[tuple[JobStatusOnRetry, ...], Field(min_length=1)] = (
        JobStatusOnRetry.FAILED,
        JobStatusOnRetry.TIMED_OUT,
    )

    def delay(self, attempt: int) -> float:
        """The delay in seconds after attempt number `attempt`; the first is 1."""
        return float(min(86400.0, self.backoff_seconds * self.backoff_factor ** (attempt - 1)))

    def covers(self, status: JobStatus, attempt: int) -> bool:
        return attempt <= self.count and status.value in {outcome.value for outcome in self.on}


def _null(field: str) -> dict[str, Any]:
    return {"properties": {field: {"type": "null"}}}


ONE_START_TIME: dict[str, Any] = {"anyOf": [_null("runAt"), _null("delaySeconds")]}
"""In a schema: ``runAt`` or ``delaySeconds``, not both."""


class Startable(Protocol):
    """A request that may say when its job starts."""

    @property
    def run_at(self) -> datetime | None: ...
    @property
    def delay_seconds(self) -> float | None: ...


S = TypeVar("S", bound=Startable)


def one_start_time(request: S) -> S:
    """A validator. Raises ``ValueError`` for a request with both a start time and a delay."""
    if request.run_at is not None and request.delay_seconds is not None:
        raise ValueError("must not have both runAt and delaySeconds")
    return request


class SubmitRequest(BaseModel):
    """The body of ``POST /jobs/submit``. The service checks lengths against the configuration."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        json_schema_extra=ONE_START_TIME,
    )

    job_name: Name
    command: FilledCommand
    execution_mode: ExecutionMode
    description: DescriptionText = ""
    interpreter: ChosenInterpreter | None = None
    timeout_seconds: TimeoutSeconds | None = None
    priority: Priority | None = None
    concurrency_key: ConcurrencyKey | None = None
    labels: Labels = ()
    run_at: StartTime | None = None
    delay_seconds: DelaySeconds | None = None
    retry: RetryPolicy | None = None
    notify: NotifyRules = ()

    _one_start_time = model_validator(mode="after")(one_start_time)

    def with_command(self, command: str) -> Self:
        """The same request for another command, which is not validated. `model_copy` takes three times as
        long.
        """
        if command == self.command:
            return self
        made, set_attribute = type(self).__new__(type(self)), object.__setattr__
        set_attribute(made, "__dict__", {**self.__dict__, "command": command})
        set_attribute(made, "__pydantic_fields_set__", self.__pydantic_fields_set__)
        set_attribute(made, "__pydantic_extra__", None)
        set_attribute(made, "__pydantic_private__", None)
        return made


_CANONICAL_ID = re.compile("[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


def _job_id(text: str) -> str:
    return text if _CANONICAL_ID.fullmatch(text) else str(uuid.UUID(text))


JobID = Annotated[str, AfterValidator(_job_id)]


TemplateValues = Mapping[str, str | int | None]
"""What a template's parameters are in one job, by name; a secret one only when it was not given."""


class TemplateOrigin(TypedDict):
    """What a submission stores about the template it was made from; see `Submission`."""

    template_id: str
    template_digest: str
    template_values: TemplateValues
    sealed_values: str | None
    concurrency_owner: str | None
    trigger_id: str | None


class _Record(BaseModel):
    """A stored record. More fields may be added by other programs and are kept."""

    model_config = ConfigDict(alias_generator=record_name, extra="allow", frozen=True, populate_by_name=True)

    _blank: ClassVar[dict[str, Any]]
    _names: ClassVar[set[str]]

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        cls._blank = {name: field.get_default() for name, field in cls.model_fields.items()}
        cls._names = set(cls.model_fields)

    if not TYPE_CHECKING:

        @classmethod
        def model_construct(cls, _fields_set: set[str] | None = None, **values: Any) -> Self:
            """As pydantic has it, in a third of the time; `values` are by the fields' own names, all of which
            count as set.
            """
            made = cls.__new__(cls)
            set_attribute = object.__setattr__
            set_attribute(made, "__dict__", {**cls._blank, **values})
            set_attribute(
                made, "__pydantic_fields_set__", _fields_set or cls._names
            )  # which `model_copy` copies
            set_attribute(made, "__pydantic_extra__", {})
            set_attribute(made, "__pydantic_private__", None)
            return made

    def to_record(self) -> dict[str, Any]:
        """The JSON object as it is stored: PascalCase names, dates as text."""
        # As `model_dump` does it, without passing on a dozen settings that are not given.
        record: dict[str, Any] = self.__pydantic_serializer__.to_python(self, mode="json", by_alias=True)
        return record


def _valid_parent(value: Any) -> Any:
    return value if isinstance(value, str) and TraceContext.of([value]) == TraceContext(value) else None


def _valid_state(value: Any) -> Any:
    return value if isinstance(value, str) and valid_state([value]) == value else None


Traceparent = Annotated[str | None, BeforeValidator(_valid_parent)]
Tracestate = Annotated[str | None, BeforeValidator(_valid_state)]
"""What is not valid counts as not there: https://www.w3.org/TR/trace-context/."""


class Submission(_Record):
    """An accepted job as it is stored in ``JobSubmission/`` (specification, "Submission File").

    ``SubmittedWith`` is how the submitter was authenticated (``session`` or ``api_key:<KeyID>``).
    ``Traceparent`` and ``Tracestate`` are the request's trace context, or the span in which it was accepted.
    ``Signature`` is added by the store.

    A template's job has the template's id, the digest of the approved template, and the values; secret values
    are encrypted, and replaced by an empty text once the job has ended. Its concurrency key belongs to the
    template's owner, ``ConcurrencyOwner``. ``TriggerID`` is the trigger that submitted it, if any.

    A function's job has the function's name, ``Function``, and the values in the same way; ``Command`` shows
    the call. Where there are workers, it needs one with all its ``Labels``, and with the function in its
    ``FunctionVersion``.
    """

    job_id: JobID
    user_id: Annotated[CommandText, Field(min_length=1)]
    session_id: CommandText = ""
    job_name: Annotated[OneLine, AfterValidator(_not_blank)]
    command: Annotated[CommandText, AfterValidator(_not_blank)]
    description: CommandText = ""
    execution_mode: ExecutionMode
    interpreter: InterpreterName | None = None
    timeout_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    priority: Annotated[int, Field(ge=0, le=9)] = DEFAULT_PRIORITY
    concurrency_key: ConcurrencyKey | None = None
    labels: Labels = ()
    run_at: UtcDatetime | None = None
    retry: RetryPolicy | None = None
    notify: NotifyRules = ()
    attempt: Annotated[int, Field(ge=1, le=21)] = 1
    schedule_id: str | None = None
    trigger_id: str | None = None
    roles: tuple[str, ...] = ()
    submitted_with: str = ""
    submitted_at: UtcDatetime
    status: str = "Pending"
    traceparent: Traceparent = None
    tracestate: Tracestate = None
    template_id: JobID | None = None
    template_digest: str | None = None
    template_values: TemplateValues | None = None
    sealed_values: str | None = None
    concurrency_owner: str | None = None
    function: str | None = None
    function_version: str | None = None
    function_values: dict[str, Any] | None = None


class AttemptSummary(_Record):
    """One attempt of a job with retries."""

    attempt: int
    date_started: UtcDatetime
    date_completed: UtcDatetime
    runtime: float
    status: JobStatus
    exit_code: int | None = None


class JobResult(_Record):
    """An ended job as it is stored in ``JobResults/`` (specification, "Result File").

    ``Runtime`` is in seconds, by a monotonic clock. ``ExitCode`` is the process's, negative for a signal (-9
    for SIGKILL), and absent when nothing was started.
    """

    job_id: JobID
    user_id: str
    session_id: str
    job_name: str
    command: str
    description: str
    execution_mode: ExecutionMode | str
    interpreter: InterpreterName | str | None = None
    date_started: UtcDatetime
    date_completed: UtcDatetime
    runtime: float
    output: str
    success: bool
    status: JobStatus
    exit_code: int | None = None
    output_truncated: bool = False
    output_size: int = 0
    submitted_at: UtcDatetime | None = None
    traceparent: str | None = None
    tracestate: str | None = None
    priority: int = DEFAULT_PRIORITY
    attempt: int = 1
    attempts: tuple[AttemptSummary, ...] = ()
    cancelled_by: str | None = None
    notify: NotifyRules = ()
    template_id: str | None = None
    template_values: dict[str, Any] | None = None
    schedule_id: str | None = None
    trigger_id: str | None = None
    function: str | None = None
    function_values: dict[str, Any] | None = None
    return_value: Any = None


LONG_FIELDS = ("Output", "ReturnValue")
"""Of a result as it is stored: what lists do without."""


def new_job_id() -> str:
    """A random UUID (RFC 9562, version 4).

    Not by `uuid.uuid4`: that asks the kernel, and lets another thread have the interpreter meanwhile.
    """
    digits = ssl.RAND_bytes(16).hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
