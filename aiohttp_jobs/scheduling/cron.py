"""Computes the moments of a cron line in a time zone. Parsing and matching are done by cronsim.

cronsim was chosen over croniter by comparing every minute of the clock changes in seven zones: croniter runs
a daily job twice on the night with a repeated hour, adds runs on the night with a skipped one, has no types,
and needs dateutil; cronsim behaves like Debian's cron. Its one defect, runs left out after a change that is
not a whole hour (Australia/Lord_Howe), is corrected here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from ..errors import InvalidFieldsError, field_error

if TYPE_CHECKING:
    from cronsim import CronSim

MAX_LENGTH = 200
_FORMS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FIELDS = ("minute", "hour", "day-of-month", "month", "day-of-week")
_SYNTAX = f"five fields ({' '.join(_FIELDS)}) or one of {', '.join(_FORMS)}"
_SIZES = (60, 24, 31, 12, 7)
_LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_UP_TO_SUNDAY = re.compile(r"(?<![^,])(MON|TUE|WED|THU|FRI|SAT|[1-6])-SUN(?![^,/])", re.IGNORECASE)
_MONTHS = ("", *["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"])
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_NOT_ZONES = re.compile(r"(right|posix)/|(localtime|posixrules|Factory)$")
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_WEEK = timedelta(days=7)
_WINDOWS = (timedelta(hours=1), timedelta(days=1), timedelta(days=32), timedelta(days=366))


@dataclass(frozen=True, slots=True)
class CronTimes:
    """The moments of one cron line in one time zone. All datetimes are aware and in UTC.

    As in Debian's cron, a line whose minute or hour starts with ``*`` follows wall-clock time: it runs in
    both of a repeated hour and not in a skipped one. Any other line runs once a night: in the first of a
    repeated hour, and right after a skipped one.
    """

    line: str
    zone: ZoneInfo

    def after(self, moment: datetime) -> datetime | None:
        """The first moment later than `moment`; ``None`` when there is none within 50 years."""
        try:
            follows_wall = any(field.startswith("*") for field in self.line.split()[:2])
            return self._on_the_wall(moment) if follows_wall else self._once_a_night(moment)
        except OverflowError:
            return None

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        """The last moment later than `after` and not later than `until`."""
        for window in (*_WINDOWS, until - after):
            start = max(after, until - window)
            found = None
            for moment in self._between(start, until):
                found = moment
            if found is not None or start == after:
                return found
        return None

    def local(self, moment: datetime) -> str:
        """`moment` in the time zone, with its UTC offset (ISO 8601)."""
        return moment.astimezone(self.zone).isoformat()

    def _between(self, start: datetime, until: datetime) -> Iterator[datetime]:
        moment = self.after(start)
        while moment is not None and moment <= until:
            yield moment
            moment = self.after(moment)

    def _once_a_night(self, moment: datetime) -> datetime | None:
        for found in _moments(self.line, moment.astimezone(self.zone)):
            # Asked within the second of a doubled hour, cronsim answers with the first.
            if found.astimezone(UTC) > moment:
                return found.astimezone(UTC)
        return None

    def _on_the_wall(self, moment: datetime) -> datetime | None:
        # One stretch without a change of the clock at a time, each at its fixed offset: this is what
        # keeps half-hour changes right.
        start, offset = moment, self._offset(moment)
        while True:
            found = next(_moments(self.line, start.astimezone(timezone(offset))), None)
            if found is None:
                return None
            change = self._first_change(start, found.astimezone(UTC), offset)
            if change is None:
                return found.astimezone(UTC)
            start, offset = change - _SECOND, self._offset(change)

    def _first_change(self, start: datetime, end: datetime, offset: timedelta) -> datetime | None:
        """The first second after `start`, up to `end`, at which the zone's offset is not `offset`."""
        low = start = start.replace(microsecond=0) + _SECOND
        while self._offset(low) == offset:
            if low >= end:
                return None
            low = min(low + _WEEK, end)
        high, low = low, max(start, low - _WEEK)
        while low < high:
            middle = low + (high - low) // (2 * _SECOND) * _SECOND
            if self._offset(middle) == offset:
                low = middle + _SECOND
            else:
                high = middle
        return high

    def _offset(self, moment: datetime) -> timedelta:
        return moment.astimezone(self.zone).utcoffset() or timedelta()


def _moments(line: str, start: datetime) -> CronSim:
    """The moments of `line` after `start`. Raises ``CronSimError`` for a bad line."""
    from cronsim import CronSim  # noqa: PLC0415 - a host without schedules does without it

    return CronSim(line, start)


@lru_cache(maxsize=1024)
def read_cron(line: str, timezone_name: str) -> CronTimes:
    """The moments of a cron line in an IANA time zone. Reads the zone's file, so it may block.

    Accepts lines that were stored before `check_cron` existed. Raises `InvalidFieldsError` for ``cron`` or
    ``timezone``.
    """
    faults: list[dict[str, Any]] = []
    expanded = _normalised(line)
    if (fault := _cron_fault(expanded)) is not None:
        faults.append(field_error("cron", fault))
    zone = _find_zone(timezone_name)
    if zone is None:
        message = "is not a known IANA time zone; write a name such as 'UTC' or 'Europe/Berlin'"
        faults.append(field_error("timezone", message))
    if zone is None or faults:
        raise InvalidFieldsError.of(faults)
    return CronTimes(expanded, zone)


def check_cron(line: str) -> None:
    """Raise `InvalidFieldsError` for a bad cron line, or one that fires at other times than it seems to say.

    Only for new lines: stored ones go on as they did.
    """
    fields = read_cron(line, "UTC").line.upper().split()
    faults = (_misleading(place, field) for place, field in enumerate(fields))
    fault = next(filter(None, faults), None) or _day_that_never_comes(fields)
    if fault is not None:
        raise InvalidFieldsError.of_one("cron", fault)


def _misleading(place: int, field: str) -> str | None:
    for term in field.split(","):
        if (reason := _term_fault(term, _SIZES[place])) is not None:
            return f"has a bad {_FIELDS[place]} field: {field!r}, {reason}"
    return None


def _term_fault(term: str, size: int) -> str | None:
    values, _, step = term.partition("/")
    if not step.isdecimal():
        return None
    if values in ("L", "LW"):
        return "as the last day takes no step"
    first, _, last = values.partition("-")
    if last and _number(last) - _number(first) < int(step):
        return f"as a step of {step} leads out of {values}"
    return f"as a step of {step} is more than the {size} there are" if int(step) > size else None


def _number(text: str) -> int:
    """The number that stands in a range; names count from Sunday or January."""
    names = _WEEKDAYS if text in _WEEKDAYS else _MONTHS
    return names.index(text) if text in names else int(text)


def _day_that_never_comes(fields: list[str]) -> str | None:
    # Where either day field may fit, the line fires on the weekday alone, and cronsim takes it.
    if not all(re.fullmatch("[0-9]+", day) for day in fields[2].split(",")):
        return None
    months = _moments(" ".join(["0 0 *", fields[3], "*"]), _EPOCH).months
    longest = max(_LONGEST_MONTHS[month - 1] for month in months)
    if any(int(day) > longest for day in fields[2].split(",")):
        return f"names a day that never comes: no month of '{fields[3]}' has more than {longest} days"
    return None


def _normalised(line: str) -> str:
    """`line` with its five fields and single spaces, and Sunday as the day that ends a week."""
    fields = _FORMS.get(line.strip().lower(), line).split()
    if len(fields) == len(_FIELDS):
        fields[4] = _UP_TO_SUNDAY.sub(_numbered, fields[4])
    return " ".join(fields)


def _numbered(found: re.Match[str]) -> str:
    return f"{_number(found[1].upper())}-7"


def _cron_fault(line: str) -> str | None:
    fields = line.split()
    if len(line) > MAX_LENGTH:
        return f"must have at most {MAX_LENGTH} characters"
    if len(fields) != len(_FIELDS):
        return f"must be {_SYNTAX}"
    for position, (name, field) in enumerate(zip(_FIELDS, fields, strict=True)):
        alone = ["*"] * len(_FIELDS)
        alone[position] = field
        if not _is_valid(" ".join(alone)):
            return f"has a bad {name} field: {field!r}{_reason(field)}"
    if not _is_valid(line) or next(_moments(line, _EPOCH), None) is None:
        return f"never fires: no date fits '{' '.join(fields[2:])}' ({' '.join(_FIELDS[2:])})"
    return None


def _reason(field: str) -> str:
    ranges = re.findall(r"([0-9]+)-([0-9]+)", field)
    if any(int(first) > int(last) for first, last in ranges):
        return ", as a range ends before it starts"
    return ", as a step of 0 leads nowhere" if re.search(r"/0+(?![0-9])", field) else ""


def _is_valid(line: str) -> bool:
    from cronsim import CronSimError  # noqa: PLC0415 - as in `_moments`

    try:
        _moments(line, _EPOCH)
    except CronSimError:
        return False
    return True


def _find_zone(name: str) -> ZoneInfo | None:
    # Besides zones, the system's folder holds copies that count leap seconds and links to its own zone.
    if _NOT_ZONES.match(name):
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None
