"""Searches results with statements that each read one index from where the last page ended.

In the order of completion, they cover periods, each much longer than the last: usually the newest, in one or
two months, suffice. What is rare is found by one call, which goes through all periods. The caller checks
whether a result with the words of a phrase has the phrase.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from ...model.job import utc_now
from ...model.results import ResultFilter, Sort
from ..searching import Key, candidate_words, first_id, microseconds
from .async_database import AsyncDatabase
from .months import ids_of, month_of
from .result_rows import owner_word, storable, word_in_index

_LAST_ID = (1 << 63) - 1
_DAY = first_id(timedelta(days=1) // timedelta(microseconds=1))
_PAGE_DAYS = (45, 576)
_INDEX_DAYS = (0, 1, 2, 4, 8, 32, 64, 128, 576)
"""How long the periods are that are read one after the other, before all that is left; 0: of one day."""
_MOST_DAYS = 4
"""So many days end with a day, and more of them with a month: to tell days apart takes longer then."""
_INDEX_SECONDS = 1.0
"""After so long, the index has not another period looked through before what was found is shown."""
_NEAR, _FARTHER = 200, 1600
"""How many results are walked over in search of some, and how many more where these had some."""
_RARE, _COMMON = 0.005, 0.1
"""What share of these has a rare word at most, and a common word at least."""
_MOST_COUNTED = 8
"""So many words of a search are counted in these."""
_MOST_AT_ONCE = 200
"""Batches grow to so many results: there is another where some of the last had not what is searched for."""
_MOST_CELLS = 40
"""For so many days the index tells them apart in other orders."""
_NOT_LONG = "'{}'"
_FOUND = """
SELECT * FROM aiohttp_jobs.{function}(%s::tsquery, %s::tsquery, %s::text[], %s::text[], %s, %s, %s, %s,
    %s::uuid, %s::uuid, %s, %s::bigint[], %s::bigint[], %s, %s, %s, %s, %s)
"""
_FEW_DIGITS = 2
"""What has so few digits of a job's id in common is met by walking sooner than it could be sorted."""


class Row(NamedTuple):
    """A result found: its place in the order, its fields as JSON, and the long ones if they are asked for."""

    key: Key
    record: str
    long_fields: str


class Batch(NamedTuple):
    """Results that follow each other, and the place up to which there are no others."""

    rows: list[Row]
    reached: Key | None


class _Walked(NamedTuple):
    """Of results walked over: the first of them, or where it may be; how many have each word `counted`."""

    first: int
    met: Sequence[int]


class Stretch(NamedTuple):
    """The ids from `low` to `high`, both included."""

    low: int
    high: int

    @property
    def is_empty(self) -> bool:
        return self.low > self.high


_Find = Callable[[Stretch, Key | None, int], Awaitable[list[Row]]]


@dataclass(frozen=True, slots=True)
class _Condition:
    """A part of a WHERE clause, and the values for its placeholders."""

    text: str
    values: tuple[Any, ...] = ()


_Source = Callable[[Stretch], list[_Condition]]


class _Marks(NamedTuple):
    """What the index `results_found` is asked for: owner, words as in a ``tsquery``, one of each of the rest.

    What is empty may be anything. `others` are words that the results have, too, but not asked of the index.
    """

    owner: str
    words: tuple[str, ...]
    statuses: list[str]
    modes: list[str]
    others: tuple[str, ...] = ()

    @property
    def query(self) -> str:
        return " & ".join((self.owner, *self.words) if self.owner else self.words)

    @property
    def of_index(self) -> list[_Condition]:
        return [*_has_words(self.query), *self._kinds()]

    @property
    def of_walk(self) -> list[_Condition]:
        """Without the owner, who is the same in all that is walked over."""
        return [*_has_words(" & ".join(self.words)), *self._kinds()]

    @property
    def function(self) -> str:
        """The function of the database that goes by these marks."""
        names = zip(("words", "status", "mode"), (self.query, self.statuses, self.modes), strict=True)
        return f"found_by_{'_'.join(name for name, given in names if given)}_2"

    def _kinds(self) -> Iterator[_Condition]:
        for column, values in (("status", self.statuses), ("mode", self.modes)):
            if values:
                yield _Condition(f"ARRAY[r.{column}] && %s::text[]", (values,))

    @property
    def counted(self) -> tuple[str, ...]:
        """The words whose numbers help to choose between them."""
        return self.words[:_MOST_COUNTED] if len(self.words) > 1 else ()

    def without_common(self, met: Sequence[int], walked: int) -> _Marks:
        """The same, with common words among the `others` where there is a rare one.

        `met` are the numbers of results that have the words `counted`, of so many `walked` over. The index
        would read a long list for each common word, where there are few results to look at.
        """
        if not met or min(met) > _RARE * walked:
            return self
        common = {word for word, count in zip(self.counted, met, strict=True) if count >= _COMMON * walked}
        return self._replace(
            words=tuple(word for word in self.words if word not in common),
            others=tuple(word for word in self.words if word in common),
        )


def _has_words(query: str) -> Iterator[_Condition]:
    if query:
        yield _Condition("r.words @@ %s::tsquery", (query,))


class ResultSearch:
    """Results that are `wanted`, in the order `sort`; with their long fields where `long`."""

    def __init__(self, database: AsyncDatabase, wanted: ResultFilter, sort: Sort, *, long: bool) -> None:
        self._database = database
        self._wanted = wanted
        self._down = sort.down
        column = sort.column
        self._key = ("id",) if column == "completed" else (column, "id")
        self._same = dict(_same_in_all(wanted, column))
        self._rest = [name for name in self._key if name not in self._same]
        self._long = "r.long_fields::text" if long else _NOT_LONG

    async def batches(self, after: Key | None, at_once: int) -> AsyncIterator[Batch]:
        """What is behind the place `after`, `at_once` results or fewer at a time, and later somewhat more.

        A term that is not exact may be missing where its words are there. Raises `TooSlowError`.
        """
        wanted = self._wanted
        if wanted.terms or (len(self._key) == 1 and (wanted.statuses or wanted.modes)):
            found = self._by_marks(after, at_once)
        elif len(self._wanted.id_digits) > _FEW_DIGITS:
            find = partial(self._hits, partial(_of_jobs, self._wanted.id_digits))
            is_key = len(self._key) > 1
            found = self._within(
                find, self._all(None if is_key else after), after if is_key else None, at_once
            )
        elif len(self._key) == 1:
            found = self._along(self._page, self._all(after), _PAGE_DAYS, at_once)
        else:
            found = self._within(self._page, self._all(None), after, at_once)
        async for batch in found:
            yield batch

    async def _by_marks(self, after: Key | None, at_once: int) -> AsyncIterator[Batch]:
        """By words, status and mode: what is common is met by walking, and the rest by their index."""
        marks = _marks_of(self._wanted)
        if marks is None:
            return
        if len(self._key) > 1:
            hits = partial(self._hits, partial(_by_index, marks.of_index))
            async for batch in self._within(hits, self._all(None), after, at_once):
                yield batch
            return
        whole, most, left = self._all(after), _NEAR, at_once
        start, seen = self._start(whole), 0
        periods: Sequence[int] = _PAGE_DAYS
        while not whole.is_empty:
            near = next(self._stretches(whole, periods))
            batch, walked = await self._near(marks, near, most, left)
            yield batch
            start = start if seen else walked.first  # the newest may be old
            seen += len(batch.rows)
            whole = self._behind(whole, batch.reached)
            if batch.reached == (self._end(near),):
                periods = periods[1:]  # there is little to walk over
            elif len(batch.rows) * _FARTHER < left * most:
                if not seen:
                    start = _seen_one_from(start, self._first(whole), walked.met, most)
                marks = marks.without_common(walked.met, most)
                break
            else:
                most = _FARTHER
            left -= len(batch.rows)
            if left == 0:
                left = at_once = _more(at_once)
        async for batch in self._indexed(marks, whole, start, seen, at_once):
            yield batch

    async def _along(
        self, find: _Find, whole: Stretch, days: Sequence[int], at_once: int
    ) -> AsyncIterator[Batch]:
        """What `find` finds in `whole`, stretch by stretch, the first of them of so many `days`."""
        for stretch in self._stretches(whole, days):
            async for batch in self._within(find, stretch, None, at_once):
                yield batch

    async def _within(
        self, find: _Find, stretch: Stretch, after: Key | None, at_once: int
    ) -> AsyncIterator[Batch]:
        """What `find` finds in one stretch, behind `after`."""
        while True:
            rows = await find(stretch, after, at_once)
            after = rows[-1].key if rows else after
            if len(rows) < at_once:
                yield Batch(rows, after if len(self._key) > 1 else (self._end(stretch),))
                return
            yield Batch(rows, after)
            if len(self._key) == 1 and after is not None:
                stretch, after = self._behind(stretch, after), None

    # --- statements

    async def _page(self, stretch: Stretch, after: Key | None, at_once: int) -> list[Row]:
        """By the index of the order."""
        where, values = _joined([*self._walk(stretch, after), *self._kinds()])
        query = (
            f"SELECT {_columns(self._key)}, r.record::text, {self._long} "  # noqa: S608 - of constants
            f"FROM aiohttp_jobs.results r WHERE {where} ORDER BY {self._walked} LIMIT %s"
        )
        found = await self._database.rows(query, [*values, at_once])
        return [Row(row[:-2], *row[-2:]) for row in found]

    async def _near(self, marks: _Marks, stretch: Stretch, most: int, at_once: int) -> tuple[Batch, _Walked]:
        """What has the `marks` among the first `most` results of `stretch`, until there are `at_once`.

        Of what is common it is enough, and the index would list all the results of a day for it. Where all of
        these have been walked over, it is also told how many of them have each of the words `counted`.
        """
        where, values = _joined(self._walk(stretch, None))
        has, wanted = _joined(marks.of_walk)
        columns = _columns(
            dict.fromkeys([*self._same, "id", "words", "status", "mode", "record", "long_fields"])
        )
        met = ", ".join(["count(*) FILTER (WHERE r.words @@ %s::tsquery) OVER walked"] * len(marks.counted))
        # What is read is bounded within; its last row comes along, to tell how far that was. Each level says
        # the order: where one does not, all is read and sorted before the first is told.
        query = (
            f"SELECT r.id, r.n, r.has, r.first, r.met, r.record::text, {self._long} FROM ("  # noqa: S608 - of constants
            f"SELECT r.*, {has} AS has, row_number() OVER walked AS n, ARRAY[{met}]::bigint[] AS met, "
            "first_value(r.id) OVER walked AS first FROM ("
            f"SELECT {columns} FROM aiohttp_jobs.results r WHERE {where} ORDER BY {self._walked} LIMIT %s"
            f") r WINDOW walked AS (ORDER BY {self._walked} ROWS UNBOUNDED PRECEDING)"
            f") r WHERE r.has OR r.n = %s ORDER BY {self._walked} LIMIT %s"
        )
        found = await self._database.rows(query, [*wanted, *marks.counted, *values, most, most, at_once])
        rows = [Row((result_id,), *told) for result_id, _, has_marks, _, _, *told in found if has_marks]
        is_walked = bool(found) and found[-1][1] == most
        is_bounded = len(rows) == at_once or is_walked
        reached = found[-1][0] if is_bounded else self._end(stretch)
        first = found[-1][3] if found else self._start(stretch)
        return Batch(rows, (reached,)), _Walked(first, found[-1][4] if is_walked else ())

    async def _hits(self, source: _Source, stretch: Stretch, after: Key | None, at_once: int) -> list[Row]:
        """By another index: all that `source` finds in the stretch, which is little, is sorted."""
        from_index, of_index = _joined(source(stretch))
        where, values = _joined(
            [*self._filters(), *self._kinds(), *self._same_values(), *self._behind_key(self._key, after)]
        )
        is_brief = len(self._key) == 1
        columns = "r.id, r.job_id, r.user_id, r.name, r.status, r.mode, r.success, r.started, r.runtime"
        told = f", r.record::text, {self._long}" if is_brief else ""
        query = (
            f"WITH r AS MATERIALIZED (SELECT {columns}{', r.record, r.long_fields' if is_brief else ''} "  # noqa: S608 - of constants
            f"FROM aiohttp_jobs.results r WHERE {from_index}) "
            f"SELECT {_columns(self._key)}{told} FROM r WHERE {where} "
            f"ORDER BY {self._ordered(self._key)} LIMIT %s"
        )
        found = await self._database.rows(query, [*of_index, *values, at_once])
        return [Row(row[:1], *row[1:]) for row in found] if is_brief else await self._rows(found)

    async def _indexed(
        self, marks: _Marks, whole: Stretch, start: int, seen: int, at_once: int
    ) -> AsyncIterator[Batch]:
        """By the index of the `marks`, along all of `whole` in one statement.

        From `start` to there, `seen` results have been found.
        """
        wanted = self._wanted
        first_job, last_job = _job_ids(wanted.id_digits) if wanted.id_digits else (None, None)
        fixed = [
            marks.query or None,
            " & ".join(marks.others) or None,
            marks.statuses,
            marks.modes,
            None if wanted.user_id is None else storable(wanted.user_id),
            None if wanted.name is None else storable(wanted.name),
            wanted.name_is_prefix,
            False if wanted.success is None and wanted.only_failures else wanted.success,
            first_job,
            last_job,
            self._long != _NOT_LONG,
        ]
        query = _FOUND.format(function=marks.function)
        while not whole.is_empty:
            lowest, highest = map(list, zip(*self._stretches(whole, _INDEX_DAYS), strict=True))
            place = [lowest, highest, self._down, start, seen]
            told = await self._database.rows(query, [*fixed, *place, at_once, _INDEX_SECONDS])
            rows = [Row((result_id,), record, more) for result_id, record, more in told if record is not None]
            is_cut = len(rows) == at_once or len(rows) < len(told)
            reached = told[-1][0] if is_cut else self._end(whole)
            yield Batch(rows, (reached,))
            seen += len(rows)
            whole = self._behind(whole, (reached,))
            at_once = _more(at_once)

    async def _rows(self, keys: Sequence[Key]) -> list[Row]:
        """The results at these places, without those that are gone meanwhile."""
        if not keys:
            return []
        query = f"SELECT r.id, r.record::text, {self._long} FROM aiohttp_jobs.results r WHERE r.id = ANY(%s)"  # noqa: S608 - of constants
        found = {row[0]: row[1:] for row in await self._database.rows(query, [[key[-1] for key in keys]])}
        return [Row(key, *found[key[-1]]) for key in keys if key[-1] in found]

    # --- their parts

    @property
    def _walked(self) -> str:
        return self._ordered([*self._same, *self._rest])

    def _ordered(self, columns: Sequence[str]) -> str:
        return ", ".join(f"r.{name} {'DESC' if self._down else 'ASC'}" for name in columns)

    def _walk(self, stretch: Stretch, after: Key | None) -> list[_Condition]:
        """The conditions that walk the index of what is the same in all results, and then of the order.

        That is said as a range, for then no other index has this order. PostgreSQL would take the one of all
        results where it thinks that the user has many of them, and walk them all where it is wrong.
        """
        conditions = [*self._filters(), _Condition("r.id BETWEEN %s AND %s", tuple(stretch))]
        same, values = _columns(self._same), tuple(self._same.values())
        if same and self._rest == ["id"]:
            marks = _marks(len(values) + 1)
            conditions.append(_Condition(f"({same}, r.id) >= ({marks})", (*values, stretch.low)))
            conditions.append(_Condition(f"({same}, r.id) <= ({marks})", (*values, stretch.high)))
        elif same:
            marks = _marks(len(values))
            conditions.append(_Condition(f"({same}) >= ({marks}) AND ({same}) <= ({marks})", values + values))
        if after is not None:
            key = (*values, *after[-len(self._rest) :])
            conditions += self._behind_key([*self._same, *self._rest], key)
        return conditions

    def _filters(self) -> Iterator[_Condition]:
        """Of what is not the same in all results, but for what an index of marks knows."""
        wanted = self._wanted
        if wanted.only_failures:
            yield _Condition("NOT r.success")
        if wanted.success:
            yield _Condition("r.success")
        if wanted.name is not None and "name" not in self._same:
            name = storable(wanted.name)
            if wanted.name_is_prefix:
                yield _Condition("r.name >= %s AND r.name < %s", (name, name + "\U0010ffff"))
            else:
                yield _Condition("r.name = %s", (name,))
        if wanted.id_digits:
            yield _Condition("r.job_id BETWEEN %s AND %s", _job_ids(wanted.id_digits))

    def _kinds(self) -> Iterator[_Condition]:
        for column, values in (("status", self._wanted.statuses), ("mode", self._wanted.modes)):
            if values:
                yield _Condition(f"r.{column} = ANY(%s)", (list(map(storable, values)),))

    def _same_values(self) -> Iterator[_Condition]:
        for column, value in self._same.items():
            yield _Condition(f"r.{column} = %s", (value,))

    def _behind_key(self, columns: Sequence[str], after: Key | None) -> Iterator[_Condition]:
        if after is not None:
            values = (storable(value) if isinstance(value, str) else value for value in after)
            sign = "<" if self._down else ">"
            yield _Condition(f"({_columns(columns)}) {sign} ({_marks(len(after))})", tuple(values))

    # --- stretches

    def _all(self, after: Key | None) -> Stretch:
        """All that was completed in the time that is wanted and, if that is the order, behind `after`."""
        since, until = self._wanted.since, self._wanted.until
        low = 0 if since is None else first_id(microseconds(since))
        high = _LAST_ID if until is None else first_id(microseconds(until)) - 1
        return self._behind(Stretch(low, high), after)

    def _behind(self, stretch: Stretch, after: Key | None) -> Stretch:
        if after is None:
            return stretch
        place = int(after[-1])
        if self._down:
            return Stretch(stretch.low, min(stretch.high, place - 1))
        return Stretch(max(stretch.low, place + 1), stretch.high)

    def _end(self, stretch: Stretch) -> int:
        return stretch.low if self._down else stretch.high

    def _first(self, stretch: Stretch) -> int:
        return stretch.high if self._down else stretch.low

    def _start(self, whole: Stretch) -> int:
        """Where the first results of `whole` may be; 0 when nobody knows."""
        return min(whole.high, first_id(microseconds(utc_now()))) if self._down else whole.low

    def _stretches(self, whole: Stretch, days: Sequence[int]) -> Iterator[Stretch]:
        """`whole` in parts: of so many `days`, or somewhat more, and then all that is left."""
        left, edge = whole, self._start(whole)
        for count in days:
            # Nobody knows where the first results are: these are all months, from the first on.
            if left.is_empty or (not self._down and left.low == 0):
                break
            edge = _edge(edge - count * _DAY if self._down else edge + count * _DAY, count, down=self._down)
            end = max(left.low, edge) if self._down else min(left.high, edge)
            stretch = Stretch(end, left.high) if self._down else Stretch(left.low, end)
            if not stretch.is_empty:
                yield stretch
                left = self._behind(left, (end,))
        if not left.is_empty:
            yield left


def _seen_one_from(start: int, reached: int, met: Sequence[int], walked: int) -> int:
    """From where to `reached` one result may be expected that has all words, of which none was met.

    `met` are the numbers of results that have each word, of so many `walked` over from `start` to `reached`.
    Where each was met, but never together, it is supposed that the rarest and the most common of them come
    together by chance, as words of one phrase do not. A word that was not met tells nothing.
    """
    if not met or min(met) == 0:
        return start
    farther = reached + (start - reached) * max(1, walked // (min(met) * max(met)))
    return min(max(farther, 0), _LAST_ID)


def _edge(place: int, days: int, *, down: bool) -> int:
    """The end of the day, or in a longer period of the month, that `place` is in."""
    if days <= _MOST_DAYS:
        return place // _DAY * _DAY if down else (place // _DAY + 1) * _DAY - 1
    first, end = ids_of(month_of(min(max(place, 0), _LAST_ID)))
    return first if down else end - 1


def _more(at_once: int) -> int:
    """The size of the batch after one of `at_once`."""
    return max(at_once, min(2 * at_once, _MOST_AT_ONCE))


def _marks_of(wanted: ResultFilter) -> _Marks | None:
    """What the index `results_found` knows of the results wanted; ``None`` when nothing can be one."""
    words = candidate_words(wanted.terms)
    if not all(word.text for word in words):
        return None
    quoted = (_quoted(word_in_index(word.text)) + (":*" if word.is_beginning else "") for word in words)
    owner = "" if wanted.user_id is None else _quoted(owner_word(wanted.user_id))
    statuses, modes = (list(map(storable, values)) for values in (wanted.statuses, wanted.modes))
    return _Marks(owner, tuple(quoted), statuses, modes)


def _by_index(marks: Sequence[_Condition], stretch: Stretch) -> list[_Condition]:
    """What has the `marks`, by the index that has them: all months that `stretch` is in, or its days.

    The range of ids is of whole months, for which the planner uses no other index beside: to read the ids of
    a few days takes the longer the more results there are.
    """
    found = [*marks]
    first, last = stretch.low // _DAY, stretch.high // _DAY
    if last - first < _MOST_CELLS:
        cells = list(range(first, last + 1))
        found.append(_Condition(f"ARRAY[r.id / {_DAY}] && %s::bigint[]", (cells,)))
    months = ids_of(month_of(stretch.low))[0], ids_of(month_of(stretch.high))[1] - 1
    found.append(_Condition("r.id BETWEEN %s AND %s", months))
    return [*found, _Condition("r.id + 0 BETWEEN %s AND %s", tuple(stretch))]


def _quoted(word: str) -> str:
    return "'" + storable(word).replace("\\", "\\\\").replace("'", "''") + "'"


def _same_in_all(wanted: ResultFilter, column: str) -> Iterator[tuple[str, str]]:
    """The columns, with their values, that an index has before those of the order by `column`."""
    if wanted.user_id is not None:
        yield "user_id", storable(wanted.user_id)
    if wanted.name is not None and not wanted.name_is_prefix and column in ("completed", "name"):
        yield "name", storable(wanted.name)


def _job_ids(digits: str) -> tuple[UUID, UUID]:
    """The first and the last id that begins so."""
    return UUID(digits[:32].ljust(32, "0")), UUID(digits[:32].ljust(32, "f"))


def _of_jobs(digits: str, stretch: Stretch) -> list[_Condition]:
    of_jobs = "SELECT result_id FROM aiohttp_jobs.ended_jobs WHERE job_id BETWEEN %s AND %s"
    # Of two conditions for one index, it would be the wrong one: a sum has no index.
    return [
        _Condition(f"r.id = ANY(ARRAY({of_jobs}))", _job_ids(digits)),
        _Condition("r.id + 0 BETWEEN %s AND %s", tuple(stretch)),
    ]


def _columns(names: Iterable[str]) -> str:
    return ", ".join(f"r.{name}" for name in names)


def _marks(count: int) -> str:
    return ", ".join(["%s"] * count)


def _joined(conditions: Sequence[_Condition]) -> tuple[str, list[Any]]:
    """A WHERE clause and its values."""
    text = " AND ".join(condition.text for condition in conditions) or "true"
    return text, [value for condition in conditions for value in condition.values]
