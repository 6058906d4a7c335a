"""The index of results: order, filters, search, pages that stay right, and that files are the truth."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiohttp_jobs.engine.embedded.index import index, writer
from aiohttp_jobs.engine.embedded.index.query import find
from aiohttp_jobs.engine.embedded.index.schema import SCHEMA
from aiohttp_jobs.engine.searching import Key
from aiohttp_jobs.model.job import new_job_id
from aiohttp_jobs.model.results import ResultFilter, Sort
from aiohttp_jobs.model.search import parse_search

from ....cases import cases
from ....gate import until
from ..support import NOW, Results, opened, result

KeepComing = Callable[..., list[dict[str, Any]]]
SEARCHED = [case for case in cases("terminal") if "search_finds" in case]


@pytest.fixture
async def results(tmp_path: Path) -> AsyncIterator[Results]:
    async with opened(tmp_path) as results:
        yield results


# --- search


async def test_the_index_is_less_than_half_of_the_text_however_often_it_is_written(
    unwatched: Results,
) -> None:
    chosen, text = random.Random(1), 0
    words = [f"w{chosen.getrandbits(20):x}" for _ in range(3000)]
    for minute in range(60):
        output = " ".join([*chosen.choices(words, k=3000), f"{chosen.getrandbits(99):x}"])
        text += len(output)
        unwatched.add(minute, Output=output)
        await unwatched.ids()
    size = sum(path.stat().st_size for path in unwatched.at.base.glob("results.index.sqlite3"))
    assert 0 < size < text / 2


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "word"), ('"', "word"), ("(( -- *", "word"), ("ab*", "letters"), ("w " * 33, "32 words")],
)
def test_what_cannot_be_looked_for_is_said(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_search(text)


@settings(max_examples=200)
@given(text=st.text(max_size=60))
@pytest.mark.slow
def test_no_text_is_an_error_of_the_database(text: str) -> None:
    try:
        terms = parse_search(text)
    except ValueError:
        return
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in SCHEMA.split(";\n"):
            connection.execute(statement)
        find(connection, ResultFilter(None, terms=terms), Sort.NAME, None, 1)


@pytest.mark.parametrize("user_id", ["alice", None])
@pytest.mark.parametrize("sort", list(Sort))
def test_no_page_is_found_by_sorting(user_id: str | None, sort: Sort) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in SCHEMA.split(";\n"):
            connection.execute(statement)
        connection.execute("INSERT INTO users VALUES (1, 'alice')")
        run: list[str] = []
        connection.set_trace_callback(run.append)
        after: Key = (5,) if sort.column == "completed" else ("x" if sort.column == "name" else 1.0, 5)
        filters = [
            ResultFilter(user_id),
            ResultFilter(user_id, name="n"),
            ResultFilter(user_id, success=False),
        ]
        filters += [ResultFilter(user_id, terms=parse_search("word"))] if sort.column == "completed" else []
        for wanted in filters:
            find(connection, wanted, sort, after, 10)
        connection.set_trace_callback(None)
        pages = [query for query in run if "ORDER BY" in query]
        assert len(pages) == len(filters)
        for query in pages:
            plan = " | ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}"))
            assert "TEMP B-TREE" not in plan
            assert "SCAN" not in plan or "SCAN search" in plan, (query, plan)


# --- pages


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(
    sort=st.sampled_from(list(Sort)),
    limit=st.integers(1, 4),
    q=st.sampled_from([None, "word"]),
    start=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2), st.booleans()), max_size=12),
    changes=st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(0, 5), st.integers(0, 2)),
            st.tuples(st.sampled_from(["delete", "unlink"]), st.integers(0, 20), st.just(0)),
        ),
        max_size=12,
    ),
)
async def test_whatever_comes_and_goes_no_result_is_shown_twice_or_left_out(
    sort: Sort,
    limit: int,
    q: str | None,
    start: list[tuple[int, int, bool]],
    changes: list[tuple[str, int, int]],
) -> None:
    wanted = {} if q is None else {"q": q}
    with tempfile.TemporaryDirectory() as folder:
        async with opened(Path(folder), interval=60) as results:

            def add(minute: int, kind: int) -> str:
                return results.add(minute, JobName="abc"[kind], Runtime=float(kind), Output="a word")

            there_all_along = {add(minute, kind) for minute, kind, _ in start}
            present = sorted(there_all_along)
            seen: list[str] = []
            after = None
            todo = list(changes)
            while True:
                ids, after = await results.page(sort=sort, after=after, limit=limit, **wanted)
                seen += ids
                if after is None:
                    break
                for what, one, other in todo[:2]:
                    if what == "add":
                        add(one, other)
                    elif present:
                        job_id = present.pop(one % len(present))
                        there_all_along.discard(job_id)
                        if what == "delete":
                            await results.catalogue.delete([job_id])
                        else:
                            results.at.result(job_id).unlink()
                todo = todo[2:]
            assert len(seen) == len(set(seen))
            assert there_all_along <= set(seen)


async def test_pages_stay_full_where_files_were_deleted_by_hand(results: Results) -> None:
    ids = [results.add(minute) for minute in range(20)]
    await results.ids()
    for job_id in ids[5:15]:
        results.at.result(job_id).unlink()
    assert (await results.page(limit=8))[0] == [*ids[:14:-1], *ids[4:1:-1]]


async def test_a_page_of_results_never_lists_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path, interval=3600) as results:  # which is when the folder is read
        for minute in range(50):
            results.add(minute)
        await results.catalogue.catch_up()
        await results.catalogue.catch_up()  # after the catalogue's own first look, which may have had to wait
        listed: list[Any] = []
        scandir, listdir = os.scandir, os.listdir
        monkeypatch.setattr(os, "scandir", lambda path=".": listed.append(path) or scandir(path))
        monkeypatch.setattr(os, "listdir", lambda path=".": listed.append(path) or listdir(path))
        await results.page(limit=10)
        await results.page(limit=10, q="test", sort="name")
        await results.catalogue.previous_status("alice", "test", NOW)
        assert results.at.results not in listed
        results.add(50)
        await results.catalogue.catch_up()
        assert results.at.results in listed


# --- the index waits


def rows_in(path: Path) -> int:
    """How many results another process finds in the index."""
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM results").fetchone()[0])


@pytest.fixture
async def unwatched(tmp_path: Path) -> AsyncIterator[Results]:
    """Results at whose folder nobody looks any more after this."""
    async with opened(tmp_path, interval=3600, search_bytes=65536) as results:
        # Twice: they take turns, and the look that opening begins may come after the first of these.
        await results.catalogue.catch_up()
        await results.catalogue.catch_up()
        yield results


@pytest.fixture
def keep_coming(unwatched: Results, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeepComing]:
    """Adds a result with these fields, and another whenever the index asks whether more have come."""
    ask, added = index.ResultIndex._on_timer, list[dict[str, Any]]()

    def ask_when_another_has_come(asked: index.ResultIndex) -> None:
        added.append(added[0])
        unwatched.add(len(added), **added[0])
        ask(asked)

    def start(**fields: Any) -> list[dict[str, Any]]:
        added.append(fields)
        unwatched.add(1, **fields)
        return added

    with monkeypatch.context() as patch:
        patch.setattr(index, "_FLUSH_SECONDS", 0.01)
        patch.setattr(index, "_LONGEST_SECONDS", 600)
        patch.setattr(index.ResultIndex, "_on_timer", ask_when_another_has_come)
        yield start


async def test_while_results_keep_coming_they_are_not_indexed_unless_somebody_asks(
    unwatched: Results, keep_coming: KeepComing
) -> None:
    added = keep_coming()
    await until(lambda: len(added) >= 20, "results that keep coming")
    assert rows_in(unwatched.at.index) == 0
    come = len(added)
    assert len(await unwatched.ids()) >= come
    assert rows_in(unwatched.at.index) >= come


@pytest.mark.parametrize(
    ("bound", "most", "output", "waiting"),
    [("_MOST_WAITING", 20, "", 20), ("_MOST_CHARACTERS", 100_000, "x" * 1000, 100)],
    ids=["results", "characters"],
)
async def test_but_not_for_ever_and_not_too_many(
    unwatched: Results,
    keep_coming: KeepComing,
    monkeypatch: pytest.MonkeyPatch,
    bound: str,
    most: int,
    output: str,
    waiting: int,
) -> None:
    monkeypatch.setattr(index, bound, most)
    keep_coming(Output=output)
    await until(lambda: rows_in(unwatched.at.index) > 0, "the first ones in the index")
    assert rows_in(unwatched.at.index) > waiting


async def test_a_look_while_results_keep_coming_does_not_look_for_every_file(
    unwatched: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    for minute in range(100):
        unwatched.add(minute)
    await unwatched.catalogue.catch_up()
    looked_at: list[str] = []
    loop, scandir, lstat = asyncio.get_running_loop(), os.scandir, os.lstat

    async def more_come() -> None:
        for minute in range(3):
            unwatched.add(minute)
        await unwatched.ids()  # has them written

    class Listing(list[Any]):
        def __exit__(self, *_: object) -> None:
            return None

    def scan_before_more_come(path: Path) -> Listing:
        listing = Listing(scandir(path))
        asyncio.run_coroutine_threadsafe(more_come(), loop).result()
        return listing

    unwatched.add(100)
    monkeypatch.setattr(os, "scandir", scan_before_more_come)
    monkeypatch.setattr(os, "lstat", lambda path, **how: looked_at.append(str(path)) or lstat(path, **how))
    await unwatched.catalogue.catch_up()
    monkeypatch.undo()
    assert 0 < len([path for path in looked_at if path.endswith(".json")]) < 10
    assert rows_in(unwatched.at.index) == 104


async def test_a_look_while_a_result_is_being_written_does_not_count_for_one(unwatched: Results) -> None:
    kept, gone = unwatched.add(1), unwatched.add(2)
    await unwatched.ids()
    coming = result(3)
    unwatched.catalogue.expect(coming["JobID"])
    unwatched.write(coming)
    unwatched.at.result(gone).unlink()
    await asyncio.sleep(0.2)  # the folder's time stamp is not of this moment
    await unwatched.catalogue.catch_up()
    unwatched.catalogue.expect_no_more(coming["JobID"])
    # Its folder could not be synced, say: it was never noted.
    await unwatched.catalogue.catch_up()
    assert await unwatched.ids() == [coming["JobID"], kept]
    assert rows_in(unwatched.at.index) == 2


# --- files are the truth


async def test_what_other_programs_add_and_remove_is_noticed(results: Results) -> None:
    kept, gone = results.add(1), results.add(2)
    added = results.write(result(3, Output="found"))
    results.at.result(gone).unlink()
    (results.at.results / f"{new_job_id()}.json").write_text("{broken")
    (results.at.results / f"{new_job_id()}.json").write_text(json.dumps(result()))
    (results.at.results / "notes.json").write_text("{}")
    await results.catalogue.catch_up()
    assert await results.ids() == [added, kept]
    assert await results.ids(q="found") == [added]


@pytest.mark.parametrize(
    "fields",
    [
        {"DateCompleted": "soon"},
        {"DateCompleted": None},
        {"UserID": 7},
        {"UserID": None},
    ],
)
async def test_what_is_no_result_is_passed_over(results: Results, fields: dict[str, Any]) -> None:
    results.write(result(1) | fields)
    good = results.write(result(2))
    await results.catalogue.catch_up()
    assert await results.ids(user_id=None) == [good]


@pytest.mark.parametrize(
    "fields",
    [
        {"DateCompleted": "0001-01-01T00:00:00+00:00"},
        {"DateCompleted": "9999-12-31T23:59:59Z"},
        {"DateStarted": 5, "Runtime": "long", "JobName": ["x"], "Status": 3, "Success": "yes"},
        {"Runtime": 10**400},
        {"Runtime": float("nan")},
        {"JobName": "\ud800", "Output": "\udfff", "Command": None},
        {"OutputTruncated": True, "Attempt": 10**9, "SessionID": {}},
    ],
)
async def test_odd_results_are_listed_and_deleted_like_others(
    results: Results, fields: dict[str, Any]
) -> None:
    job_id = results.write(result(1) | fields)
    await results.catalogue.catch_up()
    for sort in Sort:
        assert await results.all_pages(limit=1, sort=sort) == [job_id]
    assert await results.catalogue.delete([job_id]) == 1
    assert await results.ids() == []


async def test_a_result_whose_owner_was_changed_by_hand_is_not_shown_to_the_former(results: Results) -> None:
    record = result(1)
    results.write(record)
    await results.catalogue.catch_up()
    results.write(record | {"UserID": "bob"})
    assert await results.ids() == []


@pytest.mark.parametrize("damage", ["delete", "garbage", "old", "cut"])
async def test_a_lost_index_is_made_again_from_the_files(tmp_path: Path, damage: str) -> None:
    async with opened(tmp_path) as results:
        ids = [results.add(minute, Output="word") for minute in range(30)]
        await results.ids()
    path = results.at.index
    if damage == "delete":
        path.unlink()
    elif damage == "garbage":
        path.write_bytes(b"garbage" * 1000)
    elif damage == "old":
        path.unlink()
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 1")
        connection.close()
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    async with opened(tmp_path) as again:
        await again.catalogue.catch_up()
        assert await again.ids(q="word") == ids[::-1]
        assert await again.ids(sort="completed") == ids


async def test_an_index_that_is_deleted_or_damaged_under_a_running_host_is_too(results: Results) -> None:
    ids = [results.add(minute) for minute in range(10)]
    assert await results.ids() == ids[::-1]
    results.at.index.unlink()
    ids.append(results.add(10))
    await results.ids()
    await results.catalogue.catch_up()
    assert await results.ids() == ids[::-1]
    assert results.at.index.exists()


async def test_what_a_crash_kept_from_the_index_is_found_at_the_next_start(tmp_path: Path) -> None:
    async with opened(tmp_path) as results:
        first = results.add(1)
    lost = results.write(result(2))
    async with opened(tmp_path, interval=60) as again:
        assert await again.ids() == [lost, first]


async def test_two_processes_share_the_index(tmp_path: Path) -> None:
    async with opened(tmp_path, interval=60) as one, opened(tmp_path, interval=60) as other:
        await one.ids()
        await other.ids()
        ids = [(one, other)[minute % 2].add(minute) for minute in range(20)]
        await one.ids()
        await other.ids()
        assert await one.ids() == await other.ids() == ids[::-1]
        await one.catalogue.delete([ids[3]])
        assert ids[3] not in await other.ids()


def parts_in(path: Path) -> list[int]:
    """Of which parts the search index consists, each of which every search looks into: their sizes."""
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("SELECT count(*) FROM search_idx GROUP BY segid")]


async def scattered(results: Results, words: int) -> list[str]:
    """Results that come one at a time, until the parts are many; their ids, the latest first."""
    ids: list[str] = []
    while len(parts_in(results.at.index)) <= 8:
        output = " ".join(["often", *(f"word{len(ids)}x{n}" for n in range(words))])
        ids.insert(0, results.add(len(ids), Output=output))
        assert ids[0] in await results.ids()
    return ids


async def test_what_lies_in_many_parts_is_put_together_when_there_is_time(unwatched: Results) -> None:
    ids = await scattered(unwatched, words=2)
    unwatched.catalogue.look_soon()
    await until(lambda: len(parts_in(unwatched.at.index)) == 1, "the parts becoming one")
    assert await unwatched.ids(q="often") == ids
    assert await unwatched.ids(q="word3x1") == [ids[-4]]


async def test_a_large_part_is_not_written_anew_for_little(tmp_path: Path) -> None:
    async with opened(tmp_path, interval=3600, search_bytes=1_000_000) as results:
        await scattered(results, words=10_000)
        results.catalogue.look_soon()
        await until(lambda: len(parts_in(results.at.index)) == 1, "the parts becoming one")
        await scattered(results, words=2)
        assert len(parts_in(results.at.index)) > 8
        with closing(sqlite3.connect(results.at.index)) as connection:
            assert not writer.is_scattered(connection)


async def test_a_result_deleted_before_it_was_written_to_the_index_stays_deleted(results: Results) -> None:
    job_id = results.add(1)
    assert await results.catalogue.delete([job_id]) == 1
    assert await results.ids() == []
    results.catalogue.note(result(2))
    assert await results.ids() == []


async def test_a_deleted_result_comes_back_with_its_file(results: Results) -> None:
    record = result(1, Output="word")
    for _ in range(3):
        results.write(record)
        results.catalogue.note(record)
        assert await results.ids(q="word") == [record["JobID"]]
        await results.catalogue.delete([record["JobID"]])
        assert await results.ids(q="word") == []


@pytest.mark.parametrize("indent", [None, 1, 2])
async def test_only_the_output_is_left_out_however_the_file_is_written(
    results: Results, indent: int | None
) -> None:
    record = result(1, Output='one\n  "Output": "two",\n', Attempts=[{"Output": "x"}], Command='"Output": "')
    results.at.result(record["JobID"]).write_text(json.dumps(record, indent=indent))
    await results.catalogue.catch_up()
    page = await results.catalogue.page(ResultFilter("alice"), Sort.NAME, None, 5)
    assert json.loads(page.records[0]) == {name: record[name] for name in record if name != "Output"}
    whole = await results.catalogue.page(ResultFilter("alice"), Sort.NAME, None, 5, outputs=True)
    assert json.loads(whole.records[0]) == record


# --- what others ask
