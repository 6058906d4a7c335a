"""What can be asked of results, read from a query or from the body of a deletion."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

from aiohttp import web
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from ..models import ExecutionMode, JobStatus, OneLine, Text, utc_now
from ..store.index import Bucket, ResultFilter, Sort, StatsFilter, Term, parse_search
from .envelope import invalid_fields

MOST_PAGE = 1000
_MOST_IDS = 1000
_MOST_BUCKETS = 1000
_BUCKETS = {"hour": Bucket.HOUR, "day": Bucket.DAY}
_DEFAULT_BUCKETS = {Bucket.HOUR: 48, Bucket.DAY: 30}
_REPEATED = {"status", "mode"}
Query = TypeVar("Query", bound=BaseModel)


def _moment(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("must be a date such as '2026-01-23T10:30:00Z'")
    try:
        # In a query a '+' that was not escaped has become a space.
        moment = datetime.fromisoformat(value.strip().replace(" ", "+") if "T" in value else value.strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be a date such as '2026-01-23T10:30:00Z'") from None


def _terms(text: str) -> tuple[Term, ...]:
    return parse_search(text)


Moment = Annotated[datetime, BeforeValidator(_moment)]
Words = Annotated[Text, Field(max_length=1000), AfterValidator(_terms)]


class ResultConditions(BaseModel):
    """Which results: all of these hold. `from` is included, `to` is not; `name` may end with ``*``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: Annotated[list[JobStatus], Field(max_length=20)] = []
    mode: Annotated[list[ExecutionMode], Field(max_length=20)] = []
    name: Annotated[OneLine, Field(min_length=1, max_length=1000)] | None = None
    since: Annotated[Moment | None, Field(alias="from")] = None
    until: Annotated[Moment | None, Field(alias="to")] = None
    success: bool | None = None
    q: Words | None = None

    def filter(self, user_id: str | None) -> ResultFilter:
        name = self.name
        return ResultFilter(
            user_id,
            statuses=tuple(sorted({status.value for status in self.status})),
            modes=tuple(sorted({mode.value for mode in self.mode})),
            name=name.removesuffix("*") if name else None,
            name_is_prefix=bool(name and name.endswith("*")),
            since=self.since,
            until=self.until,
            success=self.success,
            terms=self.q or (),  # type: ignore[arg-type]  # made of the text by its validator
        )


class ResultQuery(ResultConditions):
    """The query of ``GET /results``."""

    cursor: Annotated[str, Field(max_length=4000)] | None = None
    limit: Annotated[int, Field(ge=1, le=MOST_PAGE)] = 50
    sort: Sort = Sort.COMPLETED_DOWN
    scope: Annotated[str, Field(pattern="^(own|all)$")] = "own"
    user: Annotated[Text, Field(min_length=1, max_length=1000)] | None = None

    def filter_for(self, caller: str) -> ResultFilter:
        return self.filter(self.user or (None if self.scope == "all" else caller))


class StatsQuery(BaseModel):
    """The query of ``GET /results/stats``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    since: Annotated[Moment | None, Field(alias="from")] = None
    until: Annotated[Moment | None, Field(alias="to")] = None
    bucket: Annotated[str, Field(pattern="^(hour|day)$")] = "day"
    scope: Annotated[str, Field(pattern="^(own|all)$")] = "own"
    name: Annotated[OneLine, Field(min_length=1, max_length=1000)] | None = None

    @model_validator(mode="after")
    def _not_too_many(self) -> StatsQuery:
        since, until = self._times
        if until <= since:
            raise ValueError("from must be before to")
        if (until - since) / timedelta(seconds=_BUCKETS[self.bucket].value) > _MOST_BUCKETS:
            raise ValueError(f"from and to must not be more than {_MOST_BUCKETS} {self.bucket}s apart")
        return self

    @property
    def _times(self) -> tuple[datetime, datetime]:
        bucket = _BUCKETS[self.bucket]
        length = timedelta(seconds=bucket.value * _DEFAULT_BUCKETS[bucket])
        try:
            until = self.until or (self.since + length if self.since else utc_now())
            return self.since or until - length, until
        except OverflowError:
            raise ValueError("from and to must be dates of our time") from None

    def filter_for(self, caller: str) -> StatsFilter:
        since, until = self._times
        user_id = None if self.scope == "all" else caller
        return StatsFilter(user_id, since, until, _BUCKETS[self.bucket], self.name)


class DeletionRequest(BaseModel):
    """The body of ``POST /results/delete``: the jobs by their ids, or by conditions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    job_ids: Annotated[
        list[Annotated[str, Field(pattern="^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$")]] | None,
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


def read_query(request: web.Request, model: type[Query]) -> Query:
    """The request's query as a `model`. Raises `InvalidFieldsError`."""
    try:
        return model.model_validate(_values(request), by_alias=True, by_name=False)
    except ValidationError as error:
        raise invalid_fields(error) from None


def _values(request: web.Request) -> Mapping[str, Any]:
    """Lists separated by commas or given repeatedly; of anything else the first value."""
    return {
        name: [value for text in request.query.getall(name) for value in text.split(",")]
        if name in _REPEATED
        else request.query[name]
        for name in request.query
    }
