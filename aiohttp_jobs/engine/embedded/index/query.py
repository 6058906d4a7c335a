"""Pages of results: a filter as SQL that walks one index from where the last page ended.

No page is found by counting or sorting, so it costs the same however many results there are, except when a
text search is sorted by something other than completion. All calls block.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from ....model.results import ResultFilter, Sort
from ....model.search import Term
from ...searching import OWNER_MARK, Key, candidate_words, first_id, microseconds
from .rows import wanted_row
from .schema import DISPLACED


class IndexRow(NamedTuple):
    """A result that was found. `key` is its place in the requested order."""

    key: Key
    job_id: bytes


@dataclass(slots=True)
class _Conditions:
    """The parts of a WHERE clause and the values for its question marks."""

    texts: list[str]
    values: list[int | float | str | bytes]

    def add(self, text: str, *values: int | float | str | bytes) -> None:
        self.texts.append(text)
        self.values.extend(values)

    @property
    def sql(self) -> str:
        return " AND ".join(self.texts) or "1"


def find(
    connection: sqlite3.Connection, wanted: ResultFilter, sort: Sort, after: Key | None, limit: int
) -> list[IndexRow]:
    """The first `limit` results after the place `after`, or from the start.

    If some of `wanted.terms` are not exact, the results have their words, but perhaps not side by side.
    """
    user = None
    if wanted.user_id is not None:
        user = user_key(connection, wanted.user_id)
        if user is None:
            return []
    where = _Conditions([], [])
    source = _source(where, wanted, sort, user)
    _restrict(where, wanted, user)
    _restrict_time(connection, where, wanted)
    order = _continue(where, wanted, sort, after)
    if sort.column == "completed":
        key = "r.search_row" if wanted.terms else "r.id"
    else:
        key = f"r.{sort.column}, r.id"
    query = f"SELECT r.job_id, {key} FROM {source} WHERE {where.sql} ORDER BY {order} LIMIT ?"  # noqa: S608 - of constants
    return [IndexRow(row[1:], row[0]) for row in connection.execute(query, (*where.values, limit))]


def previous_status(connection: sqlite3.Connection, user_id: str, name: str, before: datetime) -> str | None:
    """The status of the user's last job of that name that was completed before `before`; cancelled jobs are
    skipped.
    """
    found = find(connection, ResultFilter.telling(user_id, name, before), Sort.COMPLETED_DOWN, None, 1)
    if not found:
        return None
    status = connection.execute("SELECT status FROM results WHERE job_id = ?", (found[0].job_id,))
    return str(status.fetchone()[0])


def user_key(connection: sqlite3.Connection, user_id: str) -> int | None:
    found = connection.execute("SELECT key FROM users WHERE user_id = ?", (user_id,)).fetchone()
    return found[0] if found else None


def _source(where: _Conditions, wanted: ResultFilter, sort: Sort, user: int | None) -> str:
    """The tables to read, and by which index: SQLite's own choice would sort a million rows."""
    if wanted.terms:
        text = _candidates(wanted.terms, user)
        if sort.column == "completed":
            where.add("search MATCH ?", text)
            return "search CROSS JOIN results r ON r.search_row = search.rowid"
        where.add("r.search_row IN (SELECT rowid FROM search WHERE search MATCH ?)", text)
        return "results r"
    suffix = "" if user is None else "_user"
    index = "NOT INDEXED" if user is None else "INDEXED BY by_user"
    if wanted.id_digits:
        first, last = (bytes.fromhex(wanted.id_digits[:32].ljust(32, digit)) for digit in "0f")
        where.add("r.job_id BETWEEN ? AND ?", first, last)
        index = "INDEXED BY sqlite_autoindex_results_1"
    elif sort.column != "completed":
        index = f"INDEXED BY by{suffix}_{sort.column}"
    elif wanted.name is not None and not wanted.name_is_prefix:
        index = f"INDEXED BY by{suffix}_name"
    elif wanted.only_failures:
        index = "INDEXED BY " + ("failures" if user is None else "failures_by_user")
    return f"results r {index}"


def _candidates(terms: Sequence[Term], user: int | None) -> str:
    """For ``search MATCH``: what may have `terms`, of what the user with the key `user` has, if given."""
    words = [f'"{word.text}"' + (" *" if word.is_beginning else "") for word in candidate_words(terms)]
    return " AND ".join(words if user is None else [f'"{OWNER_MARK}{user}"', *words])


def _restrict(where: _Conditions, wanted: ResultFilter, user: int | None) -> None:
    if user is not None:
        where.add("r.user = ?", user)
    for column, values in (("status", wanted.statuses), ("mode", wanted.modes)):
        if values:
            where.add(f"r.{column} IN ({','.join('?' * len(values))})", *values)
    if wanted.only_failures:
        where.add("r.success = 0")  # as a constant: the index of failures is used only then
    if wanted.success:
        where.add("r.success = 1")
    if wanted.name is not None and wanted.name_is_prefix:
        where.add("r.name >= ? AND r.name < ?", wanted.name, wanted.name + "\U0010ffff")
    elif wanted.name is not None:
        where.add("r.name = ?", wanted.name)


def _restrict_time(connection: sqlite3.Connection, where: _Conditions, wanted: ResultFilter) -> None:
    """By ids, which are exact, and where ``search`` is walked also by how far to walk."""
    in_search = "search MATCH ?" in where.texts
    if wanted.since is not None:
        first = first_id(microseconds(wanted.since))
        where.add("r.id >= ?", first)
        if in_search:
            where.add("search.rowid <= ?", wanted_row(connection, first))
    if wanted.until is not None:
        end = first_id(microseconds(wanted.until))
        where.add("r.id < ?", end)
        if in_search:
            displaced = "SELECT coalesce(max(value), 0) FROM facts WHERE name = ?"
            where.add(f"search.rowid >= ? - ({displaced})", wanted_row(connection, end), DISPLACED)


def _continue(where: _Conditions, wanted: ResultFilter, sort: Sort, after: Key | None) -> str:
    """Go on behind `after`; the order."""
    way, sign = ("DESC", "<") if sort.down else ("ASC", ">")
    one_name = sort.column == "name" and wanted.name is not None and not wanted.name_is_prefix
    if sort.column == "completed" or one_name:
        in_search = bool(wanted.terms) and not one_name
        if in_search:
            way, sign = ("ASC", ">") if sort.down else ("DESC", "<")
        place = "search.rowid" if in_search else "r.id"
        if after is not None:
            where.add(f"{place} {sign} ?", after[-1])
        return f"{place} {way}"
    if after is not None:
        where.add(f"(r.{sort.column}, r.id) {sign} (?, ?)", *after)
    return f"r.{sort.column} {way}, r.id {way}"
