"""Rows of the search index: in the order of completion, close together, and never used twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiohttp_jobs.engine.embedded.index import writer
from aiohttp_jobs.engine.embedded.index.schema import DISPLACED, SCHEMA
from aiohttp_jobs.engine.searching import IndexEntry

SECOND = 1_000_000


def entry(completed: int) -> IndexEntry:
    """A result that was completed `completed` microseconds after 1970."""
    return IndexEntry(uuid4().bytes, "alice", "", "", "", True, completed, 0, 0.0, 1, 1, "", "word")


@contextmanager
def index() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for statement in SCHEMA.split(";\n"):
            connection.execute(statement)
        yield connection


def add(connection: sqlite3.Connection, *completed: int) -> None:
    writer.add(connection, [entry(moment) for moment in completed])


def rows(connection: sqlite3.Connection) -> list[int]:
    """Of all results, the latest first."""
    return [row for (row,) in connection.execute("SELECT search_row FROM results ORDER BY id DESC")]


def displaced(connection: sqlite3.Connection) -> int:
    found = connection.execute("SELECT value FROM facts WHERE name = ?", (DISPLACED,)).fetchone()
    return found[0] if found else 0


def batches(moments: Iterable[int], size: int) -> Iterator[list[int]]:
    moments = list(moments)
    return (moments[start : start + size] for start in range(0, len(moments), size))


@pytest.mark.parametrize("apart", [200, SECOND // 100, SECOND, 60 * SECOND])
@pytest.mark.parametrize("size", [1, 20, 200])
@pytest.mark.parametrize("is_upwards", [True, False], ids=["as they end", "made again"])
def test_results_that_come_evenly_are_close_together(apart: int, size: int, *, is_upwards: bool) -> None:
    moments = [number * apart for number in range(5 * SECOND, 5 * SECOND + 300)]
    with index() as connection:
        for batch in batches(moments if is_upwards else reversed(moments), size):
            add(connection, *batch)
        found = rows(connection)
        assert found == sorted(set(found))
        assert found[-1] - found[0] <= 300 * 64
        assert displaced(connection) == 0


def test_a_night_without_results_takes_a_row_for_each_second_at_most() -> None:
    with index() as connection:
        for day in range(100, 110):
            for second in range(50):
                add(connection, (day * 86_400 + second) * SECOND)
        found = rows(connection)
        assert found == sorted(set(found))
        assert found[-1] - found[0] <= 10 * 86_400 + 500 * 64


def test_results_between_those_that_are_there_find_room() -> None:
    with index() as connection:
        for process in range(4):
            for batch in batches((1000 * SECOND + 40_000 * n + 10_000 * process for n in range(400)), 100):
                add(connection, *batch)
        found = rows(connection)
        assert len(set(found)) == 1600
        assert displaced(connection) < 100
        assert all(abs(earlier - later) < 400 for later, earlier in pairwise(found))


@pytest.mark.parametrize("moment", [0, 1 << 53])
def test_a_result_of_another_age_leaves_room_for_those_of_today(moment: int) -> None:
    with index() as connection:
        add(connection, 1_800_000_000 * SECOND)
        add(connection, moment)
        for batch in batches((1_800_000_001 * SECOND + SECOND * n for n in range(500)), 10):
            add(connection, *batch)
        found = rows(connection)
        assert len(set(found)) == 502
        assert displaced(connection) < 1000


def test_a_row_is_never_used_again() -> None:
    with index() as connection:
        used = set[int]()
        for _ in range(20):
            made = [entry(1000 * SECOND + n) for n in range(10)]
            writer.add(connection, made)
            used.update(rows(connection))
            writer.remove(connection, [each.job_id for each in made])
        assert len(used) == 200
        assert writer.orphans(connection) == 200


@settings(max_examples=30, deadline=None)
@given(
    added=st.lists(
        st.lists(
            st.one_of(st.integers(0, 1 << 53), st.integers(0, 3000), st.integers(10**15, 10**15 + 10**9)),
            min_size=1,
            max_size=30,
        ),
        max_size=8,
    ),
    deleted=st.lists(st.integers(0, 100), max_size=20),
)
def test_rows_are_in_the_order_of_completion_but_for_what_is_said(
    added: list[list[int]], deleted: list[int]
) -> None:
    with index() as connection:
        for number, batch in enumerate(added):
            add(connection, *batch)
            ids = [job_id for (job_id,) in connection.execute("SELECT job_id FROM results ORDER BY id")]
            writer.remove(connection, [ids[n % len(ids)] for n in deleted[number::8]])
        found = rows(connection)
        assert len(set(found)) == len(found)
        most = displaced(connection)
        highest = -(1 << 63)
        for row in found:
            assert row >= highest - most
            highest = max(highest, row)
