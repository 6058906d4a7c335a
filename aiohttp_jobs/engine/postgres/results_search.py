"""Searches results with statements that each walk one index from where the last page ended.

In the order of completion, they cover periods, each eight times as long as the last: usually the newest, in
one or two months, suffice. The caller checks whether a result with the words of a phrase has the phrase.
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
from ...model.search import Term
from ..searching import Key, candidate_words, first_id, microseconds
from .async_database import AsyncDatabase
from .result_rows import owner_word, storable, word_in_index

_LAST_ID = (1 << 63) - 1
_DAY = first_id(timedelta(days=1) // timedelta(microseconds=1))
_PAGE_SPAN, _SEARCH_SPAN, _LONGEST_SPAN = 45 * _DAY, _DAY, 3000 * _DAY
_GROWTH = 8
_NEAR = 200
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
        self._long = "r.long_fields::text" if long else "'{}'"

    async def batches(self, after: Key | None, at_once: int) -> AsyncIterator[Batch]:
        """What is behind the place `after`, `at_once` results or fewer at a time.

        A term that is not exact may be missing where its words are there. Raises `TooSlowError`.
        """
        if self._wanted.terms:
            found = self._by_words(after, at_once)
        elif len(self._wanted.id_digits) > _FEW_DIGITS:
            find = partial(self._hits, _of_jobs(self._wanted.id_digits))
            is_key = len(self._key) > 1
            found = self._within(
                find, self._all(None if is_key else after), after if is_key else None, at_once
            )
        elif len(self._key) == 1:
            found = self._along(self._page, self._all(after), _PAGE_SPAN, at_once)
        else:
            found = self._within(self._page, self._all(None), after, at_once)
        async for batch in found:
            yield batch

    async def _by_words(self, after: Key | None, at_once: int) -> AsyncIterator[Batch]:
        words = _query(self._wanted.terms, self._wanted.user_id)
        if words is None:
            return
        hits = partial(self._hits, _Condition("words @@ %s::tsquery AND id", (words,)))
        if len(self._key) > 1:
            async for batch in self._within(hits, self._all(None), after, at_once):
                yield batch
            return
        keys, reached = await self._near(words, self._all(after))
        while len(keys) > at_once:
            yield Batch(await self._rows(keys[:at_once]), keys[at_once - 1])
            keys = keys[at_once:]
        yield Batch(await self._rows(keys), reached)
        if reached is not None:
            async for batch in self._along(hits, self._all(reached), _SEARCH_SPAN, at_once):
                yield batch

    async def _along(self, find: _Find, whole: Stretch, span: int, at_once: int) -> AsyncIterator[Batch]:
        """What `find` finds in `whole`, stretch by stretch, the first of them `span` long."""
        for stretch in self._stretches(whole, span):
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
        where, values = self._walk(stretch, after)
        query = (
            f"SELECT {_columns(self._key)}, r.record::text, {self._long} "  # noqa: S608
            f"FROM aiohttp_jobs.results r WHERE {where} ORDER BY {self._walked} LIMIT %s"
        )
        found = await self._database.rows(query, [*values, at_once])
        return [Row(row[:-2], *row[-2:]) for row in found]

    async def _near(self, words: str, whole: Stretch) -> tuple[list[Key], Key | None]:
        """What has the words among the first results of `whole`, and the last of these unless they are all.

        Of common words it is enough, and the index of words would list every result of a month for them.
        """
        where, values = self._walk(whole, None)
        # What is read is bounded within, and so that it is not all of what has the words.
        query = (
            "SELECT r.id, r.words @@ %s::tsquery FROM ("  # noqa: S608
            f"SELECT r.id, r.words FROM aiohttp_jobs.results r WHERE {where} ORDER BY {self._walked} LIMIT %s"
            ") r"
        )
        found = await self._database.rows(query, [words, *values, _NEAR])
        found.sort(reverse=self._down)
        keys: list[Key] = [(result_id,) for result_id, has_words in found if has_words]
        return keys, (found[-1][0],) if len(found) == _NEAR else None

    async def _hits(self, source: _Condition, stretch: Stretch, after: Key | None, at_once: int) -> list[Row]:
        """By another index: all that it finds, which is little, is sorted. `source` ends with the id."""
        where, values = _joined([*self._filters(), *self._same_values(), *self._behind_key(self._key, after)])
        columns = "id, job_id, user_id, name, status, mode, success, started, runtime"
        query = (
            f"WITH r AS MATERIALIZED (SELECT {columns} FROM aiohttp_jobs.results "  # noqa: S608
            f"WHERE {source.text} BETWEEN %s AND %s) "
            f"SELECT {_columns(self._key)} FROM r WHERE {where} ORDER BY {self._ordered(self._key)} LIMIT %s"
        )
        return await self._rows(
            await self._database.rows(query, [*source.values, *stretch, *values, at_once])
        )

    async def _rows(self, keys: Sequence[Key]) -> list[Row]:
        """The results at these places, without those that are gone meanwhile."""
        if not keys:
            return []
        query = f"SELECT r.id, r.record::text, {self._long} FROM aiohttp_jobs.results r WHERE r.id = ANY(%s)"  # noqa: S608
        found = {row[0]: row[1:] for row in await self._database.rows(query, [[key[-1] for key in keys]])}
        return [Row(key, *found[key[-1]]) for key in keys if key[-1] in found]

    # --- their parts

    @property
    def _walked(self) -> str:
        return self._ordered([*self._same, *self._rest])

    def _ordered(self, columns: Sequence[str]) -> str:
        return ", ".join(f"r.{name} {'DESC' if self._down else 'ASC'}" for name in columns)

    def _walk(self, stretch: Stretch, after: Key | None) -> tuple[str, list[Any]]:
        """The WHERE clause that walks the index of what is the same in all results, and then of the order.

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
        return _joined(conditions)

    def _filters(self) -> Iterator[_Condition]:
        """Of what is not the same in all results."""
        wanted = self._wanted
        for column, values in (("status", wanted.statuses), ("mode", wanted.modes)):
            if values:
                yield _Condition(f"r.{column} = ANY(%s)", (list(map(storable, values)),))
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

    def _stretches(self, whole: Stretch, span: int) -> Iterator[Stretch]:
        left = whole
        edge = min(left.high, first_id(microseconds(utc_now()))) if self._down else left.low
        while not left.is_empty:
            # Nobody knows where the first results are: these are all months, from the first on.
            is_last = span > _LONGEST_SPAN or (not self._down and left.low == 0)
            if is_last:
                yield left
                return
            end = max(left.low, edge - span) if self._down else min(left.high, edge + span)
            stretch = Stretch(end, left.high) if self._down else Stretch(left.low, end)
            if not stretch.is_empty:
                yield stretch
            left, edge, span = self._behind(left, (end,)), end, span * _GROWTH


def _query(terms: Sequence[Term], user_id: str | None) -> str | None:
    """The ``tsquery`` of all words of `terms`, in what is the user's; ``None`` when nothing can have them."""
    words = candidate_words(terms)
    if not all(word.text for word in words):
        return None
    quoted = [_quoted(word_in_index(word.text)) + (":*" if word.is_beginning else "") for word in words]
    return " & ".join(quoted if user_id is None else [_quoted(owner_word(user_id)), *quoted])


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


def _of_jobs(digits: str) -> _Condition:
    of_jobs = "SELECT result_id FROM aiohttp_jobs.ended_jobs WHERE job_id BETWEEN %s AND %s"
    # Of two conditions for one index, it would be the wrong one: a sum has no index.
    return _Condition(f"id = ANY(ARRAY({of_jobs})) AND id + 0", _job_ids(digits))


def _columns(names: Iterable[str]) -> str:
    return ", ".join(f"r.{name}" for name in names)


def _marks(count: int) -> str:
    return ", ".join(["%s"] * count)


def _joined(conditions: Sequence[_Condition]) -> tuple[str, list[Any]]:
    """A WHERE clause and its values."""
    text = " AND ".join(condition.text for condition in conditions) or "true"
    return text, [value for condition in conditions for value in condition.values]
