"""The index of results: order, filters, search, pages that stay right, and that files are the truth."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiohttp_jobs.engine.base import TooSlowError
from aiohttp_jobs.engine.embedded import results as catalogue
from aiohttp_jobs.engine.embedded.index import index, writer
from aiohttp_jobs.engine.embedded.index.query import find
from aiohttp_jobs.engine.embedded.index.schema import SCHEMA
from aiohttp_jobs.engine.searching import Key
from aiohttp_jobs.model.job import JobStatus, new_job_id
from aiohttp_jobs.model.results import Bucket, ResultFilter, Sort, StatsFilter
from aiohttp_jobs.model.search import parse_search

from ....cases import cases
from ....gate import until
from ..support import NOW, Results, opened, result

SEARCHED = [case for case in cases("terminal") if "search_finds" in case]


@pytest.fixture
async def results(tmp_path: Path) -> AsyncIterator[Results]:
    async with opened(tmp_path) as results:
        yield results


# --- order


async def test_a_result_is_listed_as_soon_as_it_was_noted(results: Results) -> None:
    for minute in range(5):
        job_id = results.add(minute)
        assert (await results.ids())[0] == job_id


async def test_the_order_is_that_of_completion_whatever_that_of_recording(results: Results) -> None:
    late, early, middle = results.add(9), results.add(1), results.add(5)
    assert await results.ids() == [late, middle, early]
    assert await results.ids(sort="completed") == [early, middle, late]
    assert await results.ids(q="test") == [late, middle, early]


async def test_results_of_one_moment_are_all_there(results: Results) -> None:
    added = {results.add(0) for _ in range(3000)}
    assert set(await results.all_pages(limit=700)) == added


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("JobName", ["a", "b", "b", "c"]),
        ("Runtime", [0.5, 1.0, 1.0, 20.0]),
        ("DateStarted", [f"2026-02-0{day}T00:00:00Z" for day in (1, 2, 2, 3)]),
    ],
)
async def test_sorting_both_ways(results: Results, field: str, values: list[Any]) -> None:
    ids = [results.add(9 - n, **{field: value}) for n, value in enumerate(values)]
    sort = {"JobName": "name", "Runtime": "runtime", "DateStarted": "started"}[field]
    upwards = [ids[0], ids[2], ids[1], ids[3]]
    assert await results.ids(sort=sort) == upwards
    assert await results.ids(sort=f"-{sort}") == upwards[::-1]
    assert await results.ids(sort=sort, user_id=None) == upwards
    assert await results.all_pages(limit=1, sort=f"-{sort}") == upwards[::-1]


# --- filters


async def test_filters_apply_together(results: Results) -> None:
    good = results.add(1, JobName="nightly-a")
    bad = results.add(2, JobName="nightly-b", Success=False, Status="Failed", ExecutionMode="Runspace")
    late = results.add(3, JobName="other", Success=False, Status="TimedOut")
    theirs = results.add(4, UserID="bob", JobName="nightly-a")
    assert await results.ids() == [late, bad, good]
    assert await results.ids(user_id=None) == [theirs, late, bad, good]
    assert await results.ids(user_id="nobody") == []
    assert await results.ids(statuses=("Failed", "Succeeded")) == [bad, good]
    assert await results.ids(statuses=("TimedOut",), user_id=None) == [late]
    assert await results.ids(modes=("Runspace",)) == [bad]
    assert await results.ids(name="nightly-a") == [good]
    assert await results.ids(name="nightly", name_is_prefix=True) == [bad, good]
    assert await results.ids(name="nightly", name_is_prefix=True, success=False) == [bad]
    assert await results.ids(success=False, user_id=None) == [late, bad]
    assert await results.ids(success=True) == [good]
    assert await results.ids(success=True, statuses=("Failed",)) == []
    since, until = NOW + timedelta(minutes=2), NOW + timedelta(minutes=3)
    assert await results.ids(since=since, until=until) == [bad]
    assert await results.ids(since=since, q="nightly") == [bad]


@pytest.mark.parametrize("sort", list(Sort))
async def test_every_order_goes_with_every_filter(results: Results, sort: str) -> None:
    kept = [results.add(n, JobName="n", Success=False, Status="Failed", Output="word") for n in range(5)]
    results.add(9)
    wanted: dict[str, Any] = {
        "statuses": ("Failed",),
        "modes": ("BackgroundJob",),
        "since": NOW,
        "until": NOW + timedelta(hours=1),
        "success": False,
    }
    for user_id in ("alice", None):
        for name in ({}, {"name": "n"}, {"name": "n", "name_is_prefix": True}):
            for q in ({}, {"q": "word"}):
                found = await results.all_pages(limit=2, sort=sort, user_id=user_id, **wanted, **name, **q)
                assert sorted(found) == sorted(kept), (user_id, name, q)


# --- search


async def test_every_word_must_be_there_in_name_command_or_output(results: Results) -> None:
    first = results.add(1, JobName="Backup", Command="pg_dump shop", Output="12 tables, 3 errors\n")
    second = results.add(2, JobName="Report", Command="make report", Output="No errors. Café closed.")
    assert await results.ids(q="errors") == [second, first]
    assert await results.ids(q="ERRORS tables") == [first]
    assert await results.ids(q="pg_dump") == [first]
    assert await results.ids(q="dump") == []
    assert await results.ids(q="backup 12") == [first]
    assert await results.ids(q="cafe") == [second]
    assert await results.ids(q='"no errors"') == [second]
    assert await results.ids(q='"errors no"') == []
    assert await results.ids(q="repo*") == [second]
    assert await results.ids(q="alice") == []
    assert await results.ids(q="errors", user_id="bob") == []
    assert await results.ids(q="u1") == []


@pytest.mark.parametrize("case", SEARCHED, ids=lambda case: case["from"])
async def test_output_is_found_and_quoted_as_a_terminal_shows_it(
    results: Results, case: dict[str, Any]
) -> None:
    results.add(1, Output="something else\n")
    job_id = results.add(2, Output=f"before\n{case['prints']}after\n")
    for text in case["search_finds"]:
        assert await results.ids(q=text) == [job_id], text
        (snippet,) = await results.snippets(q=text)
        assert snippet == f"before {' '.join(case['lines'])} after"


@pytest.mark.parametrize(
    ("output", "found", "not_found"),
    [
        ("数据库备份失败了", ["数据库", "备份失败了", "了", "数", "备份*"], ["据数", "备库", '"备份 失败"']),
        ("备份 失败 exit", ['"备份 失败"', '"份 失败 exit"', "失败exit"], ['"备份 exit"', '"失 exit"']),
        ("错误code库", ["错误code", "code库", '"误 code 库"', "code", "cod*"], ["误库", "ode"]),
        ("데이터베이스를 백업", ["이터베", '"를 백업"', '"스를 백"', "백"], ["데스", '"스 백업"']),
        ("カタカナとひらがな々", ["カナと", "がな々", "カ"], ["か", "カと"]),
        ("การสำรองข้อมูล", ["สำรอง", "ข้อ", "ข้อมูล"], ["ขอ", "มูลข้อ"]),
        ("हिन्दी में", ["हिन्दी", '"हिन्दी में"', "हिन्*"], ["न्दी"]),
        ("Café Größe", ["cafe", "café", "CAFÉ", "größe", "grö*"], ["afé", "röße"]),
        ("𠀀𠀁𠀂", ["𠀀𠀁", "𠀁𠀂", "𠀂"], ["𠀀𠀂"]),
    ],
)  # fmt: skip
async def test_scripts_without_blanks_are_found_by_any_part(
    results: Results, output: str, found: list[str], not_found: list[str]
) -> None:
    job_id = results.add(1, JobName="a", Command="b", Output=f"before {output} after")
    for text in found:
        assert await results.ids(q=text) == [job_id], text
        assert await results.snippets(q=text) == [f"before {output} after"], text
    for text in not_found:
        assert await results.ids(q=text) == [], text
    by_name = results.add(2, JobName=output)
    assert (await results.ids(q=found[0]))[0] == by_name


@settings(max_examples=50, deadline=None)
@given(text=st.text("数据库备가나ขท้ ab.", min_size=1), start=st.integers(0, 30), size=st.integers(1, 8))
async def test_any_part_of_a_run_is_found_and_nothing_else(text: str, start: int, size: int) -> None:
    part = re.sub("[^数据库备가나ขท้]", "", text[start : start + size]) or "数备"
    with tempfile.TemporaryDirectory() as folder:
        async with opened(Path(folder), interval=60) as results:
            job_id = results.add(1, JobName="", Command="", Output=text)
            assert await results.ids(q=part) == ([job_id] if part in text else [])


async def test_a_bar_of_many_updates_hides_nothing_from_searches(tmp_path: Path) -> None:
    bar = "".join(f"\r{number} of 2000 {'#' * 40}" for number in range(2000))
    async with opened(tmp_path, search_bytes=4000) as results:
        job_id = results.add(1, Output=f"begun\n{bar}\nended\n")
        assert await results.ids(q="begun") == await results.ids(q="ended") == [job_id]
        assert await results.ids(q='"1500 of"') == []
        assert await results.snippets(q="1999") == [
            f"begun 76 of 2000 {'#' * 40} 1999 of 2000 {'#' * 40} ended"
        ]


async def test_a_phrase_is_found_where_it_is_and_not_where_its_words_are(results: Results) -> None:
    wanted = results.add(1, Output="disk full: no space left on device")
    for minute in range(2, 300):
        results.add(minute, JobName="space", Command="left", Output="left no space, the full disk")
    assert await results.ids(q='"no space left"', limit=1) == [wanted]
    assert await results.ids(q='"no space left"', sort="name") == [wanted]
    assert await results.ids(q='"space left"') == [wanted]
    assert len(await results.all_pages(q="left space", limit=50)) == 299
    assert len(await results.all_pages(q='"no space"', limit=50)) == 299


async def test_deleting_what_has_a_phrase_deletes_nothing_else(results: Results) -> None:
    wanted = results.add(1, Output="数据库: no space left")
    kept = results.add(2, Output="left no space, 据库 数据")
    for phrase in ('"space left"', "数据库"):
        found = ResultFilter("alice", terms=parse_search(phrase))
        assert await results.catalogue.delete_matching(found, 10) == ((1, False) if wanted else (0, False))
        wanted = ""
    assert await results.ids() == [kept]


async def test_two_characters_are_found_where_they_are_and_not_where_the_index_holds_them_for_alike(
    results: Results,
) -> None:
    wanted = results.add(1, Output="备份数据库")
    for minute in range(2, 300):
        results.add(minute, Output=f"备份数据{chr(ord('库') + 16 * (minute % 40 + 1))}")
    assert await results.ids(q="据库") == [wanted]
    assert await results.ids(q="据库", sort="name") == [wanted]
    assert len(await results.all_pages(q="数据", limit=50)) == 299


async def test_a_phrase_that_takes_long_to_look_for_goes_on_with_the_next_page(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "_SEARCH_SECONDS", 0)
    wanted = results.add(0, Output="one two")
    for minute in range(1, 10):
        results.add(minute, Output="two one")
    assert await results.page(q='"one two"', limit=5) != ([wanted], None)
    assert await results.all_pages(q='"one two"', limit=5) == [wanted]
    with pytest.raises(TooSlowError):
        await results.catalogue.delete_matching(ResultFilter("alice", terms=parse_search('"two two"')), 5)


async def test_a_search_within_a_time_is_exact_for_results_of_one_moment(results: Results) -> None:
    ids = {results.add(1) for _ in range(300)}
    until = NOW + timedelta(minutes=1, milliseconds=1)
    assert set(await results.all_pages(q="test", limit=70, since=NOW, until=until)) == ids
    assert await results.ids(q="test", since=until) == []
    assert await results.ids(q="test", until=NOW + timedelta(minutes=1)) == []


@pytest.mark.parametrize("glyph", ["\ue0a0", "\x1f", "\u2028", "🔒", "🧪", "🫡"])
async def test_no_sign_hides_the_word_beside_it(results: Results, glyph: str) -> None:
    job_id = results.add(1, JobName=f"{glyph}main", Command=f"{glyph}1 {glyph}2", Output=f"{glyph}branch ")
    for text in ("main", "branch", f"{glyph}branch"):
        assert await results.ids(q=text) == [job_id], text
    assert await results.ids(q=f"{glyph}7") == []


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
    "text",
    ["a AND b", "NOT", "name:x", 'a"b', "NEAR(a b)", "{x}", "a^b", "-x", "'; DROP TABLE results", "abc*def*"],
)
async def test_what_users_type_is_never_syntax(results: Results, text: str) -> None:
    job_id = results.add(1, Output=f"before {text} after")
    assert await results.ids(q=text) == [job_id]


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "word"), ('"', "word"), ("(( -- *", "word"), ("ab*", "letters"), ("w " * 33, "32 words")],
)
def test_what_cannot_be_looked_for_is_said(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_search(text)


@settings(max_examples=200)
@given(text=st.text(max_size=60))
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


async def test_of_a_long_output_the_start_and_the_end_can_be_searched(results: Results) -> None:
    job_id = results.add(1, Output="first " + "x " * 5000 + "middle " + "y " * 5000 + "last")
    assert await results.ids(q="first last") == [job_id]
    assert await results.ids(q="middle") == []


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


async def test_while_results_keep_coming_they_are_not_indexed_unless_somebody_asks(
    unwatched: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_FLUSH_SECONDS", 0.5)
    monkeypatch.setattr(index, "_LONGEST_SECONDS", 60)
    for minute in range(60):
        unwatched.add(minute)
        await asyncio.sleep(0.02)
    assert rows_in(unwatched.at.index) == 0
    assert len(await unwatched.ids()) == 60
    assert rows_in(unwatched.at.index) == 60


@pytest.mark.parametrize(
    ("bound", "most", "output", "waiting"),
    [("_MOST_WAITING", 20, "", 20), ("_MOST_CHARACTERS", 100_000, "x" * 1000, 100)],
    ids=["results", "characters"],
)
async def test_but_not_for_ever_and_not_too_many(
    unwatched: Results, monkeypatch: pytest.MonkeyPatch, bound: str, most: int, output: str, waiting: int
) -> None:
    monkeypatch.setattr(index, "_FLUSH_SECONDS", 0.5)
    monkeypatch.setattr(index, "_LONGEST_SECONDS", 60)
    monkeypatch.setattr(index, bound, most)
    found = 0
    async with asyncio.timeout(30):
        while not found:
            unwatched.add(1, Output=output)
            await asyncio.sleep(0.01)
            found = rows_in(unwatched.at.index)
    assert found > waiting


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
    with unwatched.catalogue.expected(coming["JobID"]):
        unwatched.write(coming)
        unwatched.at.result(gone).unlink()
        await asyncio.sleep(0.2)  # the folder's time stamp is not of this moment
        await unwatched.catalogue.catch_up()
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


async def test_how_the_last_job_of_a_name_ended(results: Results) -> None:
    results.add(1, JobName="n", Status="Failed", Success=False)
    results.add(2, JobName="n")
    results.add(3, JobName="m", Status="TimedOut", Success=False)
    ask = results.catalogue.previous_status
    assert await ask("alice", "n", NOW + timedelta(minutes=9)) is JobStatus.SUCCEEDED
    assert await ask("alice", "n", NOW + timedelta(minutes=2)) is JobStatus.FAILED
    assert await ask("alice", "n", NOW + timedelta(minutes=1)) is None
    assert await ask("bob", "n", NOW + timedelta(minutes=9)) is None


async def test_statistics_count_by_outcome_and_time(results: Results) -> None:
    for minute in range(100):
        failed = minute % 10 == 0
        results.add(
            minute,
            Runtime=minute + 1.0,
            JobName="odd" if minute % 2 else "even",
            Status="Failed" if failed else "Succeeded",
            Success=not failed,
        )
    wanted = StatsFilter("alice", NOW, NOW + timedelta(hours=2), Bucket.HOUR)
    stats = await results.catalogue.statistics(wanted)
    assert [bucket["Start"] for bucket in stats["buckets"]] == [
        "2026-03-01T12:00:00.000000Z",
        "2026-03-01T13:00:00.000000Z",
    ]
    assert [(bucket["Succeeded"], bucket["Failed"]) for bucket in stats["buckets"]] == [(54, 6), (36, 4)]
    assert stats["runtime"] == {"Count": 100, "P50": 50.0, "P90": 90.0, "P99": 99.0, "Max": 100.0}
    assert stats["names"] == [
        {"JobName": "even", "Count": 50, "Failed": 10, "P50": 49.0},
        {"JobName": "odd", "Count": 50, "Failed": 0, "P50": 50.0},
    ]
    nobody = await results.catalogue.statistics(
        StatsFilter("bob", NOW, NOW + timedelta(hours=1), Bucket.HOUR)
    )
    assert nobody["runtime"] == {"Count": 0, "P50": None, "P90": None, "P99": None, "Max": None}
