"""What is asked of many results at once, and what comes back: queries, sorts, statistics, retention rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, StrEnum

from .job import JobStatus
from .search import Term


class Sort(StrEnum):
    """By what results are sorted; with a leading ``-``, the latest, longest or last first."""

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
    """Which results are asked for: those of `user_id`, or of everybody (``None``).

    `name` with `name_is_prefix` is a beginning; completed from `since` on and before `until`; the
    digits of the job's id begin with `id_digits`.
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
        """How the user's jobs of that name ended which were completed before `before`, and not cancelled."""
        statuses = (status.value for status in JobStatus if status is not JobStatus.CANCELLED)
        return cls(user_id, statuses=tuple(statuses), name=name, until=before)

    @property
    def only_failures(self) -> bool:
        return self.success is False or (bool(self.statuses) and JobStatus.SUCCEEDED not in self.statuses)


class Bucket(Enum):
    """The stretches of time that are counted together, in seconds; days are those of UTC."""

    HOUR = 3600
    DAY = 86400


@dataclass(frozen=True, slots=True)
class StatsFilter:
    """Completed from `since` on and before `until`; of `user_id`, or of everybody."""

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
    """How much is kept: `age` in seconds, bytes with the outputs beside the results. ``None``: all."""

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
    """`records` are JSON texts; with `cursor` the next page is asked for, if there is one.

    There may be fewer than were asked for, even none, on a page that is not the last.
    `indexing`: the results are being indexed, there may be more than are known.
    """

    records: list[bytes]
    cursor: str | None
    indexing: bool
