"""Queries for results and their answers: filters, sorts, statistics, retention rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, StrEnum

from .job import JobStatus
from .search import Term


class Sort(StrEnum):
    """The order of results; a leading ``-`` means descending."""

    COMPLETED_DOWN = "-completed"
    COMPLETED = "completed"
    STARTED_DOWN = "-started"
    STARTED = "started"
    RUNTIME_DOWN = "-runtime"
    RUNTIME = "runtime"
    NAME = "name"
    NAME_DOWN = "-name"

    @property
    def column(self) -> str:
        return self.value.removeprefix("-")

    @property
    def down(self) -> bool:
        return self.value.startswith("-")


@dataclass(frozen=True, slots=True)
class ResultFilter:
    """Which results to find: those of `user_id`, or of all users (``None``).

    With `name_is_prefix`, `name` is a prefix. `since` is inclusive, `until` exclusive; job ids begin with
    `id_digits`.
    """

    user_id: str | None
    statuses: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    name: str | None = None
    name_is_prefix: bool = False
    since: datetime | None = None
    until: datetime | None = None
    success: bool | None = None
    terms: tuple[Term, ...] = ()
    id_digits: str = ""

    @classmethod
    def telling(cls, user_id: str, name: str, before: datetime) -> ResultFilter:
        """The filter for the user's earlier jobs of that name that ended before `before` and were not
        cancelled.
        """
        statuses = (status.value for status in JobStatus if status is not JobStatus.CANCELLED)
        return cls(user_id, statuses=tuple(statuses), name=name, until=before)

    @property
    def only_failures(self) -> bool:
        return self.success is False or (bool(self.statuses) and JobStatus.SUCCEEDED not in self.statuses)


class Bucket(Enum):
    """The lengths of the periods of statistics, in seconds; days are in UTC."""

    HOUR = 3600
    DAY = 86400


@dataclass(frozen=True, slots=True)
class StatsFilter:
    """Results completed from `since` (inclusive) to `until` (exclusive), of `user_id` or of all users."""

    user_id: str | None
    since: datetime
    until: datetime
    bucket: Bucket
    name: str | None = None

    @property
    def starts(self) -> list[datetime]:
        """The start of each bucket."""
        step = timedelta(seconds=self.bucket.value)
        first = self.since.timestamp() // self.bucket.value * self.bucket.value
        start, starts = datetime.fromtimestamp(first, UTC), []
        while start < self.until:
            starts.append(start)
            start += step
        return starts


@dataclass(frozen=True, slots=True)
class RetentionRules:
    """How much is kept: `age` in seconds, and bytes including outputs beside the results. ``None`` means no
    limit.
    """

    age: float | None = None
    count_per_user: int | None = None
    count: int | None = None
    bytes_per_user: int | None = None
    bytes: int | None = None

    @property
    def keeps_all(self) -> bool:
        return self == RetentionRules()


@dataclass(frozen=True, slots=True)
class ResultPage:
    """A page of results. `records` are JSON texts; `cursor` requests the next page, if there is one.

    A page that is not the last may have fewer results than requested, even none. `indexing`: there may be
    more results than are indexed so far.
    """

    records: list[bytes]
    cursor: str | None
    indexing: bool
