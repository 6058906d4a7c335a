"""The page's sentence for a cron line, read as a person would, against the moments at which it fires."""

from __future__ import annotations

import calendar
import random
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, product

from playwright.async_api import expect

from aiohttp_jobs.errors import InvalidFieldsError
from aiohttp_jobs.scheduling.cron import check_cron, read_cron
from tests.cases import cases
from tests.conftest import Host
from tests.scheduling.support import utc

from .conftest import Visit, modules

Fits = Callable[[date], bool]
START = utc("2027-12-30 22:00")
RUNS = 20
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
NTH = ("first", "second", "third", "fourth", "fifth")
MINUTES = (
    "0",
    "30",
    "*",
    "*/5",
    "*/7",
    "*/45",
    "5,10",
    "5-10",
    "10-50/10",
    "3/20",
    "0,*/25",
    "1-59/2",
    "0,1,2,9",
)
HOURS = ("9", "*", "*/2", "*/5", "9-17", "9,17", "0,6,12,18", "22,23,0", "1-23/2", "*/24")
MONTHDAYS = ("*", "*", "*", "13", "1,15", "*/2", "1-7", "1-31", "L", "LW", "15,L", "10-20/5", "*/31", "28-31")
MONTHS = ("*", "*", "*", "6", "JAN,jul", "6-8", "*/3", "2,4-6,12", "*/7")
WEEKDAYS = (
    *("*", "*", "*", "5", "0", "7", "FRI-SUN", "mon-sun", "1-5", "6,0", "SUN-TUE", "*/2", "*/3", "1,3,5"),
    *("1#2", "5L", "0L", "MON#1,FRI#5", "7#3", "1-7/2", "0-6", "sat"),
)
FORMS = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@ANNUALLY", " 0\t9 * *  * ")


# --- what a sentence says, read without knowing the line


def moments(sentence: str) -> Iterator[datetime]:
    """Those that a sentence names, from `START` on. Raises ``ValueError`` for one that cannot be read."""
    parts = re.fullmatch(r"(.*?)(?:, (every day|on .*?))?(?:, in ([A-Z].*))?", sentence)
    assert parts
    times, fits = sorted(read_time(parts[1])), read_date(parts[2] or "every day")
    months = names(parts[3], list(calendar.month_name)) if parts[3] else range(1, 13)
    day = START.date()
    while day.year < 2200:
        if day.month in months and fits(day):
            for at in times:
                moment = datetime.combine(day, at, UTC)
                if moment > START:
                    yield moment
        day += timedelta(days=1)


def read_time(text: str) -> set[time]:
    if found := re.fullmatch(r"At (\d\d:\d\d(?:(?:, | and )\d\d:\d\d)*)", text):
        return {time.fromisoformat(each) for each in items(found[1])}
    found = re.fullmatch(
        r"(?:(Every minute)|Every (\d+) minutes|At minutes? (.*?))( of every hour| of the hours? (.*))?", text
    )
    if found is None:
        raise ValueError(text)
    every, step, minutes, _, hours = found.groups()
    chosen = list(numbers(minutes) if minutes else range(0, 60, 1 if every else int(step)))
    if step and 60 % int(step):
        raise ValueError(f"{text}: the last of an hour and the first of the next are nearer to each other")
    return {time(hour, minute) for hour in (numbers(hours) if hours else range(24)) for minute in chosen}


def read_date(text: str) -> Fits:
    if text == "every day":
        return lambda _: True
    pattern = r"on (.*?)(?: of the month(?:, if that is (.*)| or on (.*))?)?"
    days, both, either = re.fullmatch(pattern, text).groups()  # type: ignore[union-attr]
    if not re.match(r"days? |the last day", days):
        return read_weekdays(text.removeprefix("on "))
    of_month = read_monthdays(days)
    if both:
        weekday = read_weekdays(both.replace(" or ", " and "))
        return lambda day: of_month(day) and weekday(day)
    if either:
        weekday = read_weekdays(either)
        return lambda day: of_month(day) or weekday(day)
    return of_month


def read_monthdays(text: str) -> Fits:
    words = text.replace("the last day from Monday to Friday", "LW").replace("the last day", "L")
    special = set(re.findall("LW?", words))
    plain = re.sub(r"(^| and |, )LW?(?= and |, |$)", "", words)
    chosen = set(numbers(re.sub("^days? ", "", plain))) if plain else set()

    def fits(day: date) -> bool:
        last = date(day.year, day.month, calendar.monthrange(day.year, day.month)[1])
        working = last - timedelta(days=max(0, last.weekday() - 4))
        return day.day in chosen or ("L" in special and day == last) or ("LW" in special and day == working)

    return fits


def read_weekdays(text: str) -> Fits:
    chosen: set[tuple[str, int]] = set()
    for item in items(text):
        if found := re.fullmatch(r"the (\w+) (\w+)( of the month)?", item):
            chosen.add((found[1], DAYS.index(found[2])))
        else:
            chosen |= {("every", day) for day in names(item, DAYS)}

    def fits(day: date) -> bool:
        is_last = day.month != (day + timedelta(days=7)).month
        nth = NTH[(day.day - 1) // 7]
        return bool(chosen & {(word, day.weekday()) for word in ("every", nth, *["last"] * is_last)})

    return fits


def items(text: str) -> list[str]:
    return re.split(", | and ", text)


def names(text: str, known: Sequence[str]) -> list[int]:
    """The places in `known` of names and of ranges of them."""
    found: list[int] = []
    for item in items(text):
        first, _, last = item.partition(" to ")
        found += range(known.index(first), known.index(last or first) + 1)
    return found


def numbers(text: str) -> list[int]:
    if found := re.fullmatch(r"(\d+), (\d+), (\d+) … (\d+)", text):
        first, second, third, last = map(int, found.groups())
        assert third - second == second - first
        assert (last - first) % (second - first) == 0
        return list(range(first, last + 1, second - first))
    return names(text, [str(number) for number in range(60)])


# --- the lines


def lines() -> list[str]:
    every = list(product(MINUTES, HOURS, MONTHDAYS, MONTHS, WEEKDAYS))
    chosen = [" ".join(fields) for fields in random.Random(7).sample(every, 600)]
    alone = [f"0 9 {day} * {weekday}" for day in set(MONTHDAYS) for weekday in set(WEEKDAYS)]
    return [*FORMS, *(case["line"] for case in cases("cron") if case["taken"]), *sorted(alone), *chosen]


def is_taken(line: str) -> bool:
    try:
        check_cron(line)
    except InvalidFieldsError:
        return False
    return True


def fired(line: str) -> list[datetime]:
    times, found, moment = read_cron(line, "UTC"), [], START
    while len(found) < RUNS and (moment := times.after(moment)) is not None:  # type: ignore[assignment]
        found.append(moment)
    return found


async def test_the_sentence_names_the_next_twenty_moments_and_no_other(host: Host, visit: Visit) -> None:
    page, folder = await modules(host, visit)
    taken = [line for line in lines() if is_taken(line)]
    assert len(taken) > 500
    script = "async lines => { const { sentence } = await import(%r); return lines.map(sentence); }"
    sentences = await page.evaluate(script % f"{folder}/cron.js", taken)
    assert all(sentences), [line for line, said in zip(taken, sentences, strict=True) if not said]
    for line, said in zip(taken, sentences, strict=True):
        assert list(islice(moments(said), RUNS)) == fired(line), (line, said)


async def test_what_is_no_cron_line_has_no_sentence(host: Host, visit: Visit) -> None:
    page = await (await visit(host, "task_manager")).open("#/schedules/new")
    for line in (
        "*/15 * *",
        "10-5 * * * *",
        "61 * * * *",
        "0 9 * * FRI-MON",
        "5-5/3 * * * *",
        "0 9 * * x",
        "@reboot",
    ):
        await page.get_by_label("Cron line").fill(line)
        await expect(page.locator(".fault").first).to_be_visible()
    await page.get_by_label("Cron line").fill("0 9 13 * FRI")
    words = "At 09:00, on day 13 of the month or on Friday"
    await expect(page.get_by_text(words, exact=True)).to_be_visible()
    await expect(page.locator(".fault")).to_have_count(0)
