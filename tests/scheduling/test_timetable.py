"""The moments of one schedule: start, end, jitter, and what is shown of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice, pairwise
from typing import Any

from aiohttp_jobs.scheduling.timetable import Timetable

from .support import START, make_schedule, utc


def timetable(cron: str = "0 * * * *", **fields: Any) -> Timetable:
    return Timetable.of(make_schedule(cron, **fields))


def upcoming(table: Timetable, now: datetime, count: int = 3) -> list[datetime]:
    return list(islice(table.upcoming(now), count))


def test_the_start_is_included_and_nothing_before_it() -> None:
    table = timetable(start_at=utc("2026-01-06 12:00"))
    assert upcoming(table, START, 1) == [utc("2026-01-06 12:00")]
    late = timetable(start_at=utc("2026-01-06 12:00") + timedelta(milliseconds=1))
    assert upcoming(late, START, 1) == [utc("2026-01-06 13:00")]


def test_the_end_is_included_and_nothing_after_it() -> None:
    table = timetable(end_at=utc("2026-01-05 10:00"))
    assert upcoming(table, START) == [utc("2026-01-05 09:00"), utc("2026-01-05 10:00")]
    assert table.due(START, utc("2026-01-09 00:00")) == utc("2026-01-05 10:00")


def test_due_is_the_last_moment_that_nobody_has_handled() -> None:
    table = timetable()
    assert table.due(START, utc("2026-01-05 08:59")) is None
    assert table.due(START, utc("2026-01-05 09:00")) == utc("2026-01-05 09:00")
    assert table.due(START, utc("2027-06-01 17:59")) == utc("2027-06-01 17:00")
    assert table.due(utc("2026-01-05 09:00"), utc("2026-01-05 09:30")) is None


def test_jitter_is_always_the_same_and_differs_between_schedules_and_moments() -> None:
    schedule = make_schedule(jitter_seconds=600.0)
    first, again = Timetable.of(schedule), Timetable.of(schedule.model_copy(update={"name": "renamed"}))
    moments = [START + timedelta(hours=hour) for hour in range(1, 25)]
    delays = [first.fire_at(moment) - moment for moment in moments]
    assert delays == [again.fire_at(moment) - moment for moment in moments]
    assert all(timedelta() <= delay < timedelta(seconds=600) for delay in delays)
    assert len(set(delays)) > 20
    other = timetable(jitter_seconds=600.0)
    assert delays != [other.fire_at(moment) - moment for moment in moments]


def test_jitter_never_reaches_beyond_the_next_moment() -> None:
    table = timetable("* * * * *", jitter_seconds=3600.0)
    moments = upcoming(table, START, 100)
    fired = [table.fire_at(moment) for moment in moments]
    assert all(before < after for before, after in pairwise(fired))
    assert all(at < moment + timedelta(minutes=1) for moment, at in zip(moments, fired, strict=True))


def test_a_moment_whose_jitter_has_not_passed_is_still_to_come() -> None:
    table = timetable(jitter_seconds=1800.0)
    moment = utc("2026-01-05 09:00")
    fires_at = table.fire_at(moment)
    before = fires_at - timedelta(microseconds=1)
    assert before > moment
    assert (table.due(START, before), upcoming(table, before, 1)) == (None, [moment])
    assert (table.due(START, fires_at), upcoming(table, fires_at, 1)) == (
        moment,
        [utc("2026-01-05 10:00")],
    )


def test_a_moment_before_is_due_while_the_jitter_of_the_last_has_not_passed() -> None:
    table = timetable(jitter_seconds=3600.0)
    assert table.due(START, utc("2026-01-06 12:00")) == utc("2026-01-06 11:00")


def test_nothing_is_upcoming_while_it_is_disabled() -> None:
    assert upcoming(timetable(enabled=False), START) == []
    assert timetable(enabled=False).view(START)["NextRunAt"] is None


def test_shows_moments_in_utc_on_the_wall_and_with_jitter() -> None:
    table = timetable("30 2 * * *", timezone="Europe/Berlin")
    assert table.next_runs(utc("2026-03-28 12:00"), 2) == [
        {
            "ScheduledFor": "2026-03-29T01:00:00.000000Z",
            "Local": "2026-03-29T03:00:00+02:00",
            "FiresAt": "2026-03-29T01:00:00.000000Z",
        },
        {
            "ScheduledFor": "2026-03-30T00:30:00.000000Z",
            "Local": "2026-03-30T02:30:00+02:00",
            "FiresAt": "2026-03-30T00:30:00.000000Z",
        },
    ]
