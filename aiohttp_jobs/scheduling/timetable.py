"""Timetable: when one schedule fires, from its cron line, start, end and jitter."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from ..model.job import format_utc
from ..model.schedule import Schedule
from .cron import CronTimes, read_cron

_INSTANT = timedelta(microseconds=1)
_BEFORE_ALL = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Timetable:
    """The moments of `schedule`. Moments are nominal; `fire_at` adds the jitter."""

    schedule: Schedule
    times: CronTimes

    @classmethod
    def of(cls, schedule: Schedule) -> Timetable:
        """The timetable of a schedule.

        Raises `InvalidFieldsError` for a bad cron line or time zone. May block.
        """
        return cls(schedule, read_cron(schedule.cron, schedule.timezone))

    def after(self, moment: datetime) -> datetime | None:
        """The first moment later than `moment`."""
        found = self.times.after(max(moment, self._start))
        end = self.schedule.end_at
        return None if found is None or (end is not None and found > end) else found

    def fire_at(self, moment: datetime) -> datetime:
        """`moment` with its jitter, the same in every process and never beyond the next moment."""
        most = timedelta(seconds=self.schedule.jitter_seconds)
        if not most:
            return moment
        following = self.times.after(moment)
        if following is not None:
            most = min(most, following - moment)
        seed = f"{self.schedule.schedule_id} {moment.isoformat()}".encode()
        return moment + most * (int.from_bytes(hashlib.sha256(seed).digest()[:4]) / 2**32)

    def due(self, handled: datetime, now: datetime) -> datetime | None:
        """The last moment after `handled` that should have been fired by `now`."""
        after = max(handled, self._start)
        until = now if self.schedule.end_at is None else min(now, self.schedule.end_at)
        while (moment := self.times.latest(after, until)) is not None and self.fire_at(moment) > now:
            until = moment - _INSTANT
        return moment

    def upcoming(self, now: datetime) -> Iterator[datetime]:
        """The moments to be fired after `now`; none when the schedule is disabled."""
        if not self.schedule.enabled:
            return
        jitter = timedelta(seconds=self.schedule.jitter_seconds)
        moment = self.after(max(self.schedule.active_since, now - jitter))
        while moment is not None:
            if self.fire_at(moment) > now:
                yield moment
            moment = self.after(moment)

    def view(self, now: datetime) -> dict[str, Any]:
        """The schedule as the API shows it, with its next moment."""
        following = next(self.upcoming(now), None)
        text = None if following is None else format_utc(following)
        return {**self.schedule.to_record(), "NextRunAt": text}

    def next_runs(self, now: datetime, count: int) -> list[dict[str, Any]]:
        """The next `count` moments: in UTC, in the time zone, and with jitter."""
        return [
            shown_run(self.times, moment, self.fire_at(moment))
            for moment in islice(self.upcoming(now), count)
        ]

    @property
    def _start(self) -> datetime:
        start = self.schedule.start_at
        return _BEFORE_ALL if start is None else start - _INSTANT


def moments_between(
    times: CronTimes, now: datetime, start: datetime | None, end: datetime | None
) -> Iterator[datetime]:
    """The moments after `now`, from `start` to `end`."""
    moment = times.after(now if start is None else max(now, start - _INSTANT))
    while moment is not None and (end is None or moment <= end):
        yield moment
        moment = times.after(moment)


def shown_run(times: CronTimes, moment: datetime, fires_at: datetime) -> dict[str, Any]:
    """A moment as the API shows it: in UTC, in the time zone, and with jitter."""
    return {
        "ScheduledFor": format_utc(moment),
        "Local": times.local(moment),
        "FiresAt": format_utc(fires_at),
    }
