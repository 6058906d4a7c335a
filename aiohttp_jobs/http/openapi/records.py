"""Models of what is answered: ``{"success": true, …}``, errors, and records that are shown but not stored.

They describe what ``envelope``, the services and their ``streams.serializers`` return; nothing is validated
with them. Only the document needs them, so nothing but ``document`` imports this.
"""

from __future__ import annotations

from types import GenericAlias
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.alias_generators import to_camel, to_pascal

from ...model.api_key import ApiKey
from ...model.functions import FunctionParameter
from ...model.identity import Proof
from ...model.job import (
    ExecutionMode,
    InterpreterName,
    JobPhase,
    JobResult,
    JobStatus,
    RetryPolicy,
    UtcDatetime,
)
from ...model.notice import Notice
from ...model.progress import MOST_TEXT
from ...model.record import record_name
from ...model.schedule import Schedule
from ...model.session import SessionRecord
from ...model.template import Template
from ...model.template_trigger import TemplateTrigger
from ..answers import Answering, NamedModel


class Described(BaseModel):
    """A shape in the API's description, with which nothing is validated.

    A validator would be memory for nothing (3 MB for all of them): none is made before one is asked for its
    schema.
    """

    model_config = ConfigDict(defer_build=True)


class Success(Described):
    """What every answer that is no failure has."""

    model_config = ConfigDict(extra="forbid")

    success: Literal[True]


class Done(Success):
    """A successful response without data."""

    message: str


class FieldFault(Described):
    """What is wrong with one field, named by its path in the body, or with one parameter."""

    model_config = ConfigDict(extra="forbid")

    field: str
    message: str


class Limit(Described):
    """The limit that was reached: a setting's name in camelCase, what it allows, and how much is used."""

    model_config = ConfigDict(extra="forbid")

    name: str
    value: int
    used: int


class Failure(Described):
    """Why a request was not carried out: a sentence for a person, and a code for a program."""

    model_config = ConfigDict(extra="forbid")

    success: Literal[False]
    error: str
    code: str
    details: list[FieldFault] = Field(default_factory=list)
    limit: Limit | None = None


Submitted = create_model(
    "Submitted",
    __base__=Success,
    __doc__="",
    jobId=(str, ...),
    message=(str, ...),
    executionMode=(ExecutionMode, ...),
    result=(JobResult | None, None),
)


class _Shown(Described):
    model_config = ConfigDict(alias_generator=record_name, extra="forbid")


def _without(name: str, model: type[BaseModel], *hidden: str, **added: Any) -> type[BaseModel]:
    """`model` under a new `name`, without the `hidden` fields, with others `added`: (type, default)."""
    shown: dict[str, Any] = {
        field: (info.annotation, info) for field, info in model.model_fields.items() if field not in hidden
    }
    extra = model.model_config.get("extra")
    config = ConfigDict(
        alias_generator=model.model_config["alias_generator"],
        extra="allow" if extra == "allow" else "forbid",
        defer_build=True,
    )
    return create_model(name, __config__=config, __doc__="", **shown, **added)


class _Job(Described):
    job_id: str
    job_name: str
    user_id: str


class HealthFinding(_Shown):
    """The result of one readiness check."""

    name: str
    good: bool
    message: str


class WaitingJob(_Job):
    """A waiting job. `Position` 1 starts next; it is null while the job is not due yet."""

    model_config = ConfigDict(alias_generator=record_name, extra="forbid")

    execution_mode: ExecutionMode | None
    submitted_at: UtcDatetime
    priority: int
    run_at: UtcDatetime | None
    concurrency_key: str | None
    attempt: int
    position: int | None


class ProgressView(_Shown):
    """The progress that a running job reports, from 0 to 1; null if unknown."""

    share: Annotated[float, Field(ge=0, le=1)] | None
    text: Annotated[str, Field(max_length=MOST_TEXT)]


class JobView(_Job):
    """A job in any state. Which optional fields it has depends on the state.

    An ended job has the fields of its result, without ``Output``.
    """

    model_config = ConfigDict(alias_generator=record_name, extra="allow")

    execution_mode: ExecutionMode | str | None
    status: JobStatus | JobPhase
    submitted_at: UtcDatetime | None = None
    priority: int = 5
    run_at: UtcDatetime | None = None
    concurrency_key: str | None = None
    attempt: int = 1
    position: int | None = None
    cancelling: bool = False
    date_started: UtcDatetime | None = None
    runtime: float | None = None
    worker: int | None = None
    output_size: int = 0
    progress: Annotated[ProgressView | None, Field(description="Absent unless the job reports it.")] = None
    waiting_for: Annotated[
        str | None, Field(description="Why the job cannot start, while no live worker can run it.")
    ] = None
    labels: Annotated[
        tuple[str, ...], Field(description="The labels that a worker must have to run it.")
    ] = ()
    command: str = ""
    description: str = ""
    interpreter: InterpreterName | str | None = None
    timeout_seconds: float | None = None
    retry: RetryPolicy | None = None
    traceparent: str | None = None
    function: str | None = None
    function_values: dict[str, Any] | None = None
    success: bool | None = None
    exit_code: int | None = None


class QueueView(Described):
    """The queue in order. Of other users' jobs only the numbers are shown, except to administrators."""

    model_config = ConfigDict(extra="forbid")

    paused: bool
    queued: int
    pending: int
    running: int
    limits: dict[str, int | None]
    jobs: list[WaitingJob]


class RunspaceView(_Shown):
    """A warm worker. The job it runs is shown to the job's owner and to those who may see all jobs."""

    worker: Annotated[int, Field(description="The process id.")]
    busy: bool
    user_id: str | None
    job_id: str | None
    jobs_served: int
    memory_bytes: int | None
    started_at: UtcDatetime


class RunningThereView(_Shown):
    """A job that a host or worker runs."""

    job_id: str
    job_name: str
    user_id: str


class WorkerView(_Shown):
    """A host or a worker that shares the work.

    ``Running`` counts its jobs, ``Jobs`` lists those that the caller may see. ``Places`` is how many jobs it
    runs at once, by kind. ``Alive`` is false when its last heartbeat is too long ago.
    """

    worker_id: str
    kind: Literal["host", "worker"]
    name: str
    machine: str
    pid: int | None
    version: str
    labels: list[str]
    places: dict[str, int]
    running: int
    jobs: list[RunningThereView]
    draining: bool
    alive: bool
    started_at: UtcDatetime
    last_heard_at: UtcDatetime


class ScheduleView(Schedule):
    """A schedule and its next run."""

    next_run_at: UtcDatetime | None


class ScheduledRun(_Shown):
    """A future run: in UTC, in the schedule's time zone, and with jitter."""

    scheduled_for: UtcDatetime
    local: str
    fires_at: UtcDatetime


ResultSummary = _without("ResultSummary", JobResult, "output", "return_value", snippet=(str | None, None))
"""A result in a list. It has a snippet where words are looked for: text around the first of them."""
NoticeView = _without(
    "NoticeView", Notice, "rule", "remaining", "job", "submitted_with", "traceparent", "tracestate"
)
ApiKeyView = _without("ApiKeyView", ApiKey, "sha256")
SessionView = _without(
    "SessionView", SessionRecord, "sha256", last_used_at=(UtcDatetime, ...), current=(bool, ...)
)
"""A session, when it was last used (to the minute), and whether it is that of the request."""
TemplateView = _without(
    "TemplateView",
    Template,
    "roles",
    "submitted_with",
    "session_id",
    may_run=(bool, ...),
    may_edit=(bool, ...),
    problem=(str | None, None),
)
"""A template, what the caller may do with it, and, if it does not run, the ``Problem``."""
TriggerView = _without(
    "TriggerView",
    TemplateTrigger,
    "roles",
    "submitted_with",
    "session_id",
    "sealed_secret",
    "deliveries",
    last_used_at=(UtcDatetime | None, None),
    last_job_id=(str | None, None),
    may_rotate=(bool, ...),
    path=(str, ...),
)
"""A trigger, when it was used last and for which job, and the path of its address."""


class FunctionView(_Shown):
    """One of the host's functions.

    `Modes` are those that the caller may use; the first is the default. `Parameters` describe a form,
    `Schema` is the JSON schema of the object of all values.
    """

    name: str
    title: str
    description: str
    modes: list[ExecutionMode]
    roles: list[str]
    timeout_seconds: float | None
    concurrency_key: str | None
    priority: int | None
    labels: Annotated[
        list[str], Field(description="What a worker must have to run it, unless a run says so.")
    ]
    old_names: list[str]
    parameters: list[FunctionParameter]
    json_schema: Annotated[dict[str, Any], Field(alias="Schema")]
    schedule: dict[str, Any] | None


class CountedBucket(_Shown):
    """How many jobs ended with each status, from ``Start`` until the next bucket."""

    start: UtcDatetime
    succeeded: int
    failed: int
    timed_out: int
    cancelled: int
    interrupted: int
    rejected: int


class Runtimes(Described):
    """In seconds: what half of the jobs, 90 % and 99 % of them did not exceed, and the longest."""

    model_config = ConfigDict(alias_generator=str.capitalize, extra="forbid")

    count: int
    p50: float | None
    p90: float | None
    p99: float | None
    max: float | None


class NameCount(Described):
    """Jobs of one name: how many, how many of them without success, and the median runtime."""

    model_config = ConfigDict(alias_generator=to_pascal, extra="forbid")

    job_name: str
    count: int
    failed: int
    p50: float | None


class ResultStatistics(Described):
    """How jobs ended over time, how long they took, and the ten names that were most frequent."""

    model_config = ConfigDict(extra="forbid")

    buckets: list[CountedBucket]
    runtime: Runtimes
    names: list[NameCount]


class OwnLimits(Described):
    """What a submission may have: sizes in bytes or characters, times in seconds."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")

    max_command_bytes: int
    max_name_length: int
    max_description_length: int
    max_timeout: float
    default_timeout: float


class SeenConnection(Described):
    """The caller's own request as the server sees it, behind whatever proxies there are.

    API keys' ``AllowedIPs`` are compared with ``remote``.
    """

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")

    scheme: str
    host: str
    remote: str | None


class SessionCookie(Described):
    """The plugin's own session cookie; ``secure`` as it is configured."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")

    name: str
    secure: bool


class Me(Described):
    """Who the caller is and what they may do. ``permissions`` are names of the endpoint role table.

    ``permissions`` are names of the table of endpoint roles. ``functions`` tells whether they may run any of
    the host's functions. ``sessionCookie`` is null where the host has its own sessions.
    """

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")

    user_id: str
    roles: list[str]
    proof: Proof
    modes: list[ExecutionMode]
    interpreters: list[InterpreterName]
    default_interpreter: InterpreterName
    max_priority: int
    capabilities: Annotated[
        list[str],
        Field(description="Optional features of this installation: labels, manyMachines, droppedFiles."),
    ]
    permissions: list[str]
    functions: bool
    limits: OwnLimits
    server_time: UtcDatetime
    connection: SeenConnection
    session_cookie: SessionCookie | None


class AnswerModels:
    """The models of successful responses, as one document has them: each response has one model in it."""

    def __init__(self) -> None:
        self._made: dict[Answering, type[BaseModel]] = {}

    def model_of(self, answer: NamedModel | Answering) -> type[BaseModel]:
        """The model of a successful response.

        Its name ends with "Answer" where the response is none of the records, so that client generators do
        not give a type and its one field the same name.
        """
        if isinstance(answer, NamedModel):
            return _record(answer)
        if answer not in self._made:
            required: dict[str, Any] = {field: (_type_of(kind), ...) for field, kind in answer.fields}
            name = f"{answer.name}Answer"
            self._made[answer] = create_model(name, __base__=Success, __doc__="", **required)
        return self._made[answer]


def _record(named: NamedModel) -> type[BaseModel]:
    found: type[BaseModel] = globals()[named.name]
    return found


def _type_of(kind: Any) -> Any:
    if not isinstance(kind, NamedModel):
        return kind
    record = _record(kind)
    return GenericAlias(list, (record,)) if kind.is_list else record
