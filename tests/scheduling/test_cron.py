"""Cron lines against known facts about clocks, and against every minute around the changes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiohttp_jobs.errors import InvalidFieldsError
from aiohttp_jobs.scheduling.cron import MAX_LENGTH, check_cron, read_cron
from tests.cases import cases

from .support import utc

MINUTE = timedelta(minutes=1)


def local_times(cron: str, zone: str, start: str, end: str) -> list[str]:
    """The moments from `start` to `end` (in UTC) as the clock on the wall shows them."""
    times = read_cron(cron, zone)
    found = []
    moment = times.after(utc(start) - timedelta(seconds=1))
    while moment is not None and moment <= utc(end):
        found.append(times.local(moment)[:16].replace("T", " ")[5:] + times.local(moment)[19:])
        moment = times.after(moment)
    return found


# --- known facts


def test_daily_in_berlin_when_the_hour_is_skipped() -> None:
    assert local_times("30 2 * * *", "Europe/Berlin", "2026-03-28 00:00", "2026-03-30 12:00") == [
        "03-28 02:30+01:00",
        "03-29 03:00+02:00",
        "03-30 02:30+02:00",
    ]


def test_daily_in_berlin_when_the_hour_is_doubled() -> None:
    assert local_times("30 2 * * *", "Europe/Berlin", "2026-10-24 00:00", "2026-10-26 12:00") == [
        "10-24 02:30+02:00",
        "10-25 02:30+02:00",
        "10-26 02:30+01:00",
    ]


def test_daily_in_new_york_when_the_hour_is_skipped() -> None:
    assert local_times("30 2 * * *", "America/New_York", "2026-03-07 05:00", "2026-03-09 12:00") == [
        "03-07 02:30-05:00",
        "03-08 03:00-04:00",
        "03-09 02:30-04:00",
    ]


def test_daily_in_new_york_when_the_hour_is_doubled() -> None:
    assert local_times("30 1 * * *", "America/New_York", "2026-10-31 05:00", "2026-11-02 12:00") == [
        "10-31 01:30-04:00",
        "11-01 01:30-04:00",
        "11-02 01:30-05:00",
    ]


def test_hourly_in_berlin_is_every_hour_of_real_time_through_both_changes() -> None:
    assert local_times("0 * * * *", "Europe/Berlin", "2026-03-28 23:30", "2026-03-29 02:30") == [
        "03-29 01:00+01:00",
        "03-29 03:00+02:00",
        "03-29 04:00+02:00",
    ]
    assert local_times("0 * * * *", "Europe/Berlin", "2026-10-24 23:30", "2026-10-25 02:30") == [
        "10-25 02:00+02:00",
        "10-25 02:00+01:00",
        "10-25 03:00+01:00",
    ]


def test_every_quarter_in_new_york_runs_in_both_of_the_doubled_hours() -> None:
    found = local_times("*/15 * * * *", "America/New_York", "2026-11-01 05:00", "2026-11-01 06:59")
    assert [time[6:] for time in found] == [
        *("01:00-04:00", "01:15-04:00", "01:30-04:00", "01:45-04:00"),
        *("01:00-05:00", "01:15-05:00", "01:30-05:00", "01:45-05:00"),
    ]


def test_lord_howe_skips_and_doubles_half_an_hour() -> None:
    assert local_times("15 2 * * *", "Australia/Lord_Howe", "2026-10-02 14:00", "2026-10-04 14:00") == [
        "10-03 02:15+10:30",
        "10-04 02:30+11:00",
    ]
    assert local_times("45 1 * * *", "Australia/Lord_Howe", "2026-04-03 13:00", "2026-04-05 14:00") == [
        "04-04 01:45+11:00",
        "04-05 01:45+11:00",
    ]
    assert local_times("45 * * * *", "Australia/Lord_Howe", "2026-10-03 14:50", "2026-10-03 17:00") == [
        "10-04 01:45+10:30",
        "10-04 02:45+11:00",
        "10-04 03:45+11:00",
    ]
    assert local_times("*/30 * * * *", "Australia/Lord_Howe", "2026-04-04 14:00", "2026-04-04 16:00") == [
        "04-05 01:00+11:00",
        "04-05 01:30+11:00",
        "04-05 01:30+10:30",
        "04-05 02:00+10:30",
        "04-05 02:30+10:30",
    ]


def test_kolkata_is_half_an_hour_off_and_never_changes() -> None:
    assert local_times("0 9 * * *", "Asia/Kolkata", "2026-03-28 00:00", "2026-03-30 00:00") == [
        "03-28 09:00+05:30",
        "03-29 09:00+05:30",
    ]
    assert read_cron("0 9 * * *", "Asia/Kolkata").after(utc("2026-03-28 00:00")) == utc("2026-03-28 03:30")


@pytest.mark.parametrize(
    ("form", "first", "second"),
    [
        ("@yearly", "2027-01-01 00:00", "2028-01-01 00:00"),
        ("@annually", "2027-01-01 00:00", "2028-01-01 00:00"),
        ("@monthly", "2026-06-01 00:00", "2026-07-01 00:00"),
        ("@weekly", "2026-05-24 00:00", "2026-05-31 00:00"),
        ("@daily", "2026-05-21 00:00", "2026-05-22 00:00"),
        ("@midnight", "2026-05-21 00:00", "2026-05-22 00:00"),
        ("@HOURLY", "2026-05-20 11:00", "2026-05-20 12:00"),
    ],
)
def test_the_at_forms(form: str, first: str, second: str) -> None:
    times = read_cron(form, "UTC")
    assert times.after(utc("2026-05-20 10:30")) == utc(first)
    assert times.after(utc(first)) == utc(second)


def test_names_lists_steps_and_the_last_day() -> None:
    assert read_cron("0 0 * JAN,jul mon-fri", "UTC").after(utc("2026-02-01 00:00")) == utc("2026-07-01 00:00")
    assert read_cron("10-30/10 5 * * *", "UTC").after(utc("2026-02-01 05:10")) == utc("2026-02-01 05:20")
    assert read_cron("0 0 L 2 *", "UTC").after(utc("2028-02-01 00:00")) == utc("2028-02-29 00:00")


def test_the_29th_of_february_comes_every_fourth_year() -> None:
    assert read_cron("0 0 29 2 *", "UTC").after(utc("2026-01-01 00:00")) == utc("2028-02-29 00:00")


# --- against every minute


def every_minute(cron: str, zone: str, start: datetime, end: datetime) -> Iterator[datetime]:
    """What Debian's cron would do, minute by minute: slow, and obviously right."""
    minute, hour = cron.split()[:2]
    follows_wall = minute.startswith("*") or hour.startswith("*")
    minutes, hours = numbers(minute, 60), numbers(hour, 24)
    moment, shown = start, wall(start, zone)
    while moment < end:
        moment, before = moment + MINUTE, shown
        shown = wall(moment, zone)
        is_second = moment.astimezone(ZoneInfo(zone)).fold == 1
        if follows_wall:
            fires = shown.minute in minutes and shown.hour in hours
        else:
            reached = [shown] if shown <= before else [*each_minute(before, shown)]
            fires = not is_second and any(each.minute in minutes and each.hour in hours for each in reached)
        if fires:
            yield moment


def wall(moment: datetime, zone: str) -> datetime:
    return moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def each_minute(after: datetime, until: datetime) -> Iterator[datetime]:
    while after < until:
        after += MINUTE
        yield after


def numbers(field: str, most: int) -> set[int]:
    if field == "*":
        return set(range(most))
    if field.startswith("*/"):
        return set(range(0, most, int(field[2:])))
    return {int(number) for number in field.split(",")}


@pytest.mark.parametrize(
    "cron",
    [
        *("30 2 * * *", "0 2 * * *", "45 1 * * *", "0,30 1,2,3 * * *", "59 23 * * *", "0 0 * * *"),
        *("0 * * * *", "45 * * * *", "*/15 * * * *", "*/15 2 * * *", "*/15 3 * * *", "20 */6 * * *"),
        "*/7 */3 * * *",
    ],
)
@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Europe/Berlin", "2026-03-28"),
        ("Europe/Berlin", "2026-10-24"),
        ("America/New_York", "2026-03-07"),
        ("America/New_York", "2026-10-31"),
        ("Australia/Lord_Howe", "2026-10-03"),
        ("Australia/Lord_Howe", "2026-04-04"),
        ("Antarctica/Troll", "2026-03-28"),
        ("Africa/Cairo", "2026-10-29"),
        ("Asia/Kolkata", "2026-03-28"),
    ],
)
def test_agrees_with_every_minute_around_a_change(cron: str, zone: str, day: str) -> None:
    start = utc(f"{day} 00:00")
    end = start + timedelta(days=2)
    expected = list(every_minute(cron, zone, start, end))
    times = read_cron(cron, zone)
    found = []
    moment = times.after(start)
    while moment is not None and moment <= end:
        found.append(moment)
        moment = times.after(moment)
    assert found == expected
    for start_late in (timedelta(minutes=37 * step, seconds=step) for step in range(60)):
        asked = start + start_late
        assert times.after(asked) == next(each for each in [*expected, times.after(end)] if each > asked)
        past = [each for each in expected if each <= asked]
        assert times.latest(start, asked) == (past[-1] if past else None)


@given(
    minute=st.sampled_from(["*", "*/5", "*/7", "0", "30", "1,31"]),
    hour=st.sampled_from(["*", "*/2", "2", "1,3"]),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/Santiago"]),
    start=st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)),
    length=st.timedeltas(timedelta(seconds=1), timedelta(days=3)),
)
def test_every_moment_is_later_than_asked_and_the_latest_is_the_last_of_them(
    minute: str, hour: str, zone: str, start: datetime, length: timedelta
) -> None:
    times = read_cron(f"{minute} {hour} * * *", zone)
    after = start.replace(tzinfo=UTC)
    until = after + length
    moments = []
    moment = times.after(after)
    while moment is not None and moment <= until:
        assert moment > (moments[-1] if moments else after)
        assert (moment.second, moment.microsecond) == (0, 0)
        moments.append(moment)
        moment = times.after(moment)
    assert times.latest(after, until) == (moments[-1] if moments else None)


# --- refused


@pytest.mark.parametrize(
    ("cron", "sentence"),
    [
        ("60 * * * *", "cron has a bad minute field: '60'."),
        ("0 24 * * *", "cron has a bad hour field: '24'."),
        ("0 0 0 * *", "cron has a bad day-of-month field: '0'."),
        ("0 0 * 13 *", "cron has a bad month field: '13'."),
        ("0 0 * * FOO", "cron has a bad day-of-week field: 'FOO'."),
        ("*/0 * * * *", "cron has a bad minute field: '*/0', as a step of 0 leads nowhere."),
        ("0 0 30 2 *", "cron never fires: no date fits '30 2 *' (day-of-month month day-of-week)."),
        ("0 0 31 4,6 *", "cron never fires: no date fits '31 4,6 *' (day-of-month month day-of-week)."),
        ("* * */20 * 1L", "cron never fires: no date fits '*/20 * 1L' (day-of-month month day-of-week)."),
        ("0" * (MAX_LENGTH + 1), f"cron must have at most {MAX_LENGTH} characters."),
    ],
)
def test_says_what_is_wrong_with_a_line(cron: str, sentence: str) -> None:
    with pytest.raises(InvalidFieldsError) as refused:
        read_cron(cron, "UTC")
    assert refused.value.message == sentence
    assert [fault["field"] for fault in refused.value.details or []] == ["cron"]


@pytest.mark.parametrize("case", cases("cron"), ids=lambda case: case["line"])
def test_lines_that_people_met(case: dict[str, Any]) -> None:
    if case["taken"]:
        check_cron(case["line"])
        assert read_cron(case["line"], "UTC").line == case["as"]
    else:
        with pytest.raises(InvalidFieldsError, match="more than the"):
            check_cron(case["line"])


@pytest.mark.parametrize(
    ("cron", "reason"),
    [
        ("*/61 * * * *", "'*/61', as a step of 61 is more than the 60 there are"),
        ("0 0 * * */8", "'*/8', as a step of 8 is more than the 7 there are"),
        ("0 0 * * 1,*/9", "'1,*/9', as a step of 9 is more than the 7 there are"),
        ("5/90 * * * *", "as a step of 90 is more than the 60 there are"),
        ("10-20/15 * * * *", "as a step of 15 leads out of 10-20"),
        ("5-5/3 * * * *", "as a step of 3 leads out of 5-5"),
        ("0 0 * jan-mar/4 *", "as a step of 4 leads out of JAN-MAR"),
        ("0 0 * * FRI-SUN/3", "as a step of 3 leads out of 5-7"),
        ("5-70/100 * * * *", "bad minute field: '5-70/100'"),
        ("0 0 L/2 * *", "as the last day takes no step"),
        ("10-5 * * * *", "'10-5', as a range ends before it starts"),
        ("0 22-6 * * *", "'22-6', as a range ends before it starts"),
        ("*/0 * * * *", "'*/0', as a step of 0 leads nowhere"),
        ("0 0 * * FRI-MON", "bad day-of-week field"),
        ("0 0 30 2 *", "never fires"),
        ("0 0 30 2 MON", "names a day that never comes: no month of '2' has more than 29 days"),
        ("0 0 15,31 2,4 *", "names a day that never comes: no month of '2,4' has more than 30 days"),
    ],
)
def test_a_line_that_means_something_else_than_it_says_is_refused_with_the_reason(
    cron: str, reason: str
) -> None:
    with pytest.raises(InvalidFieldsError) as refused:
        check_cron(cron)
    assert reason in refused.value.message
    assert [fault["field"] for fault in refused.value.details or []] == ["cron"]


@pytest.mark.parametrize(
    ("cron", "same"),
    [
        ("0 9 * * FRI-SUN", "0 9 * * 5,6,0"),
        ("0 9 * * mon-sun", "0 9 * * *"),
        ("0 9 * * 5-SUN", "0 9 * * 5-7"),
        ("0 9 * * MON,SAT-SUN", "0 9 * * 0,1,6"),
        ("0 9 * * MON-SUN/2", "0 9 * * 1,3,5,7"),
        ("0 9 * * SUN-TUE", "0 9 * * 0-2"),
        ("0\t9  *\t* *", "0 9 * * *"),
        ("0 */24 * * *", "0 0 * * *"),
        ("*/60 * * * *", "0 * * * *"),
    ],
)
def test_lines_that_say_the_same_fire_at_the_same_times(cron: str, same: str) -> None:
    check_cron(cron)
    found = [local_times(line, "UTC", "2026-01-01 00:00", "2026-02-01 00:00") for line in (cron, same)]
    assert found[0] == found[1] != []


def test_a_line_that_was_kept_before_it_was_refused_fires_on() -> None:
    times = read_cron("*/90 * * * *", "UTC")
    assert times.after(utc("2026-01-01 00:00")) == utc("2026-01-01 01:00")


@pytest.mark.parametrize("cron", ["", "* * * *", "0 * * * * *", "@reboot", "@every 5m", "daily"])
def test_names_the_fields_to_someone_who_writes_too_few_or_too_many(cron: str) -> None:
    with pytest.raises(InvalidFieldsError, match="minute hour day-of-month month day-of-week"):
        read_cron(cron, "UTC")


@pytest.mark.parametrize(
    "zone",
    [
        *("Europe/Berln", "europe/berlin", "Europe", "CEST+1", "", ".", "../Europe/Berlin", "/etc/localtime"),
        *("localtime", "posixrules", "right/Europe/Berlin", "posix/Europe/Berlin", "tzdata.zi"),
        *("Europe/Berlin\0", "Ünïx", "A" * 5000),
    ],
)
def test_refuses_what_is_no_iana_zone(zone: str) -> None:
    with pytest.raises(InvalidFieldsError, match="known IANA time zone") as refused:
        read_cron("@daily", zone)
    assert [fault["field"] for fault in refused.value.details or []] == ["timezone"]


def test_names_both_when_both_are_wrong() -> None:
    with pytest.raises(InvalidFieldsError) as refused:
        read_cron("nonsense", "Nowhere")
    assert [fault["field"] for fault in refused.value.details or []] == ["cron", "timezone"]


@given(st.text(max_size=40) | st.text("0123456789*/,-LW# ", max_size=30))
def test_any_text_is_either_refused_with_a_sentence_or_fires(cron: str) -> None:
    message, times = "", None
    try:
        times = read_cron(cron, "UTC")
    except InvalidFieldsError as error:
        message = error.message
    if times is None:
        assert message.startswith("cron ")
    else:
        assert times.after(utc("2026-01-01 00:00")) is not None
