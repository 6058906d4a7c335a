"""The query parameters and request bodies that select results."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from aiohttp import web
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema

from ..errors import InvalidFieldsError
from ..model.job import SAFE_YEARS, ExecutionMode, JobStatus, OneLine, Text, utc_now
from ..model.results import Bucket, ResultFilter, Sort, StatsFilter
from ..model.search import Term, parse_search
from .parameters import (
    SCOPE,
    UUID_PATTERN,
    Choice,
    Choices,
    Count,
    Flag,
    RequestParameter,
    Value,
    require_known,
)

_MOST_IDS = 1000
_MOST_BUCKETS = 1000
_BUCKETS = {"hour": Bucket.HOUR, "day": Bucket.DAY}
_DEFAULT_BUCKETS = {Bucket.HOUR: 48, Bucket.DAY: 30}
_DATE = re.compile(f"{SAFE_YEARS}-[0-9]{{2}}-[0-9]{{2}}")


def _moment(value: Any) -> Any:
    text = value.strip().upper() if isinstance(value, str) else ""
    try:
        if not _DATE.match(text):
            raise ValueError
        # In a query a '+' that was not escaped has become a space.
        moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be a date such as '2026-01-23T10:30:00Z'") from None


def _dates(*formats: str) -> WithJsonSchema:
    pattern = f"^{SAFE_YEARS}-"
    return WithJsonSchema(
        {"anyOf": [{"type": "string", "format": name, "pattern": pattern} for name in formats]}
    )


Moment = Annotated[datetime, BeforeValidator(_moment), _dates("date-time", "date")]
Words = Annotated[
    Text,
    Field(min_length=1, max_length=1000, json_schema_extra={"format": "search"}),
    AfterValidator(parse_search),
]
ResultName = Annotated[OneLine, Field(min_length=1, max_length=1000)]
_UserID = Annotated[Text, Field(min_length=1, max_length=1000)]
_Cursor = Annotated[Text, Field(min_length=1, max_length=2000, json_schema_extra={"format": "cursor"})]

_WHEN = "Only results completed {}: a date, or a date and time, in UTC if it has no offset."
_STATUS = Choices(name="status", choices=tuple(JobStatus), description="Only with these statuses.")
_MODE = Choices(name="mode", choices=tuple(ExecutionMode), description="Only of these modes.")
_NAME: Final = Value[str](
    name="name",
    adapter=TypeAdapter(ResultName),
    description="The whole name or, with `*` at the end, its beginning.",
)
_EXACT_NAME: Final = Value[str](name="name", adapter=TypeAdapter(ResultName), description="The whole name.")
_SINCE = Value[datetime](name="from", adapter=TypeAdapter(Moment), description=_WHEN.format("then or later"))
_UNTIL = Value[datetime](name="to", adapter=TypeAdapter(Moment), description=_WHEN.format("before then"))
_SUCCESS = Flag(name="success", description="true: only successful jobs; false: only the others.")
_Q = Value[tuple[Term, ...]](
    name="q",
    adapter=TypeAdapter(Words),
    description='Words, `beginnings*` and `"phrases"` that the name, command or output must all contain.',
)
_CURSOR = Value[str](
    name="cursor", adapter=TypeAdapter(_Cursor), description="`nextCursor` of the previous page."
)
_LIMIT = Count(name="limit", default=50, most=1000, description="The maximum number of results on the page.")
_SORT = Choice(
    name="sort",
    choices=tuple(Sort),
    default=Sort.COMPLETED_DOWN,
    description="The order; a leading `-` reverses it.",
)
_USER = Value[str](
    name="user",
    adapter=TypeAdapter(_UserID),
    description="Only this user's. Other users' need the right to see all.",
)
_BUCKET = Choice(
    name="bucket",
    choices=tuple(_BUCKETS),
    default="day",
    description="The length of each bucket; days are in UTC.",
)

LIST_PARAMETERS: tuple[RequestParameter[Any], ...] = (
    _CURSOR, _LIMIT, _SORT, SCOPE, _USER, _STATUS, _MODE, _NAME, _SINCE, _UNTIL, _SUCCESS, _Q,
)  # fmt: skip
STATS_PARAMETERS: tuple[RequestParameter[Any], ...] = (_SINCE, _UNTIL, _BUCKET, SCOPE, _EXACT_NAME)


class ResultConditions(BaseModel):
    """Conditions on results that all must hold.

    `from` is inclusive, `to` exclusive; `name` may end with ``*``.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"minProperties": 1}, defer_build=True
    )

    status: Annotated[list[JobStatus], Field(min_length=1, max_length=20)] | SkipJsonSchema[None] = None
    mode: Annotated[list[ExecutionMode], Field(min_length=1, max_length=20)] | SkipJsonSchema[None] = None
    name: ResultName | SkipJsonSchema[None] = None
    since: Annotated[Moment | SkipJsonSchema[None], Field(alias="from")] = None
    until: Annotated[Moment | SkipJsonSchema[None], Field(alias="to")] = None
    success: Annotated[bool, Field(strict=True)] | SkipJsonSchema[None] = None
    q: Words | SkipJsonSchema[None] = None

    @model_validator(mode="before")
    @classmethod
    def _no_nulls(cls, given: Any) -> Any:
        # One that takes everything must not come about by leaving a value empty.
        empty = [name for name, value in given.items() if value is None] if isinstance(given, dict) else []
        if empty:
            raise ValueError(f"{empty[0]} must not be null; leave it out")
        return given

    def filter(self, user_id: str) -> ResultFilter:
        return _filter(
            user_id,
            [status.value for status in self.status or ()],
            [mode.value for mode in self.mode or ()],
            name=self.name,
            since=self.since,
            until=self.until,
            success=self.success,
            terms=self.q,  # type: ignore[arg-type]  # made of the text by its validator
        )


class DeletionRequest(BaseModel):
    """The body of ``POST /results/delete``: the jobs by their ids, or by conditions."""

    model_config = ConfigDict(
        defer_build=True,
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "oneOf": [
                {"required": [name], "properties": {name: {"not": {"type": "null"}}, other: {"type": "null"}}}
                for name, other in (("jobIds", "filter"), ("filter", "jobIds"))
            ]
        },
    )

    job_ids: Annotated[
        list[Annotated[str, Field(pattern=UUID_PATTERN)]] | None,
        Field(alias="jobIds", min_length=1, max_length=_MOST_IDS),
    ] = None
    conditions: Annotated[ResultConditions | None, Field(alias="filter")] = None

    @model_validator(mode="after")
    def _one_of_them(self) -> DeletionRequest:
        if (self.job_ids is None) == (self.conditions is None):
            raise ValueError("give either jobIds or filter")
        if self.conditions is not None and not self.conditions.model_fields_set:
            raise ValueError("filter must name a condition; for all results until now give it as 'to'")
        return self


def result_filter(request: web.Request, caller: str) -> ResultFilter:
    """The filter that a request asks for. Raises `InvalidFieldsError`, also for unknown parameters."""
    require_known(request, LIST_PARAMETERS)
    return _filter(
        _USER.of(request) or (None if SCOPE.of(request) == "all" else caller),
        _STATUS.of(request),
        _MODE.of(request),
        name=_NAME.of(request),
        since=_SINCE.of(request),
        until=_UNTIL.of(request),
        success=_SUCCESS.of(request),
        terms=_Q.of(request),
    )


def result_page(request: web.Request) -> tuple[Sort, str | None, int]:
    """The order, cursor and size of the page that a request asks for."""
    return Sort(_SORT.of(request)), _CURSOR.of(request), _LIMIT.of(request)


def stats_filter(request: web.Request, caller: str) -> StatsFilter:
    """The filter and buckets of a request for statistics.

    Raises `InvalidFieldsError`, also for too many buckets.
    """
    require_known(request, STATS_PARAMETERS)
    bucket = _BUCKETS[_BUCKET.of(request)]
    since, until = _times(request, timedelta(seconds=bucket.value * _DEFAULT_BUCKETS[bucket]))
    if until <= since:
        raise InvalidFieldsError.of_one("from", "must be before to")
    if (until - since) / timedelta(seconds=bucket.value) > _MOST_BUCKETS:
        raise InvalidFieldsError.of_one(
            "from", f"must not be more than {_MOST_BUCKETS} {_BUCKET.of(request)}s before to"
        )
    user_id = None if SCOPE.of(request) == "all" else caller
    return StatsFilter(user_id, since, until, bucket, _EXACT_NAME.of(request))


def _times(request: web.Request, length: timedelta) -> tuple[datetime, datetime]:
    since, until = _SINCE.of(request), _UNTIL.of(request)
    until = until or (since + length if since else utc_now())
    return since or until - length, until


def _filter(
    user_id: str | None,
    statuses: list[str],
    modes: list[str],
    *,
    name: str | None,
    since: datetime | None,
    until: datetime | None,
    success: bool | None,
    terms: tuple[Term, ...] | None,
) -> ResultFilter:
    return ResultFilter(
        user_id,
        statuses=tuple(sorted(set(statuses))),
        modes=tuple(sorted(set(modes))),
        name=name.removesuffix("*") if name else None,
        name_is_prefix=bool(name and name.endswith("*")),
        since=since,
        until=until,
        success=success,
        terms=terms or (),
    )
