"""What every engine's `ResultRepository` promises: order, filters, pages, counting, deleting."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiohttp_jobs.model.job import JobStatus, new_job_id
from aiohttp_jobs.model.results import Bucket, ResultFilter, Sort, StatsFilter

from .results import NOW, KeptResults, OpenResults, result


async def test_a_result_is_listed_as_soon_as_it_was_noted(results: KeptResults) -> None:
    for minute in range(5):
        job_id = await results.add(minute)
        assert (await results.ids())[0] == job_id


async def test_the_order_is_that_of_completion_whatever_that_of_recording(results: KeptResults) -> None:
    late, early, middle = await results.add(9), await results.add(1), await results.add(5)
    assert await results.ids() == [late, middle, early]
    assert await results.ids(sort="completed") == [early, middle, late]
    assert await results.ids(q="test") == [late, middle, early]


@pytest.mark.slow
async def test_results_of_one_moment_are_all_there(results: KeptResults) -> None:
    records = [result(0) for _ in range(1500)]
    await results.keep_all(records)
    assert set(await results.all_pages(limit=700)) == {record["JobID"] for record in records}


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("JobName", ["a", "b", "b", "c"]),
        ("Runtime", [0.5, 1.0, 1.0, 20.0]),
        ("DateStarted", [f"2026-02-0{day}T00:00:00Z" for day in (1, 2, 2, 3)]),
    ],
)
async def test_sorting_both_ways(results: KeptResults, field: str, values: list[Any]) -> None:
    ids = [await results.add(9 - n, **{field: value}) for n, value in enumerate(values)]
    sort = {"JobName": "name", "Runtime": "runtime", "DateStarted": "started"}[field]
    upwards = [ids[0], ids[2], ids[1], ids[3]]
    assert await results.ids(sort=sort) == upwards
    assert await results.ids(sort=f"-{sort}") == upwards[::-1]
    assert await results.ids(sort=sort, user_id=None) == upwards
    assert await results.all_pages(limit=1, sort=f"-{sort}") == upwards[::-1]


async def test_filters_apply_together(results: KeptResults) -> None:
    good = await results.add(1, JobName="nightly-a")
    bad = await results.add(2, JobName="nightly-b", Success=False, Status="Failed", ExecutionMode="Runspace")
    late = await results.add(3, JobName="other", Success=False, Status="TimedOut")
    theirs = await results.add(4, UserID="bob", JobName="nightly-a")
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
async def test_every_order_goes_with_every_filter(results: KeptResults, sort: str) -> None:
    kept = [
        await results.add(n, JobName="n", Success=False, Status="Failed", Output="word") for n in range(5)
    ]
    await results.add(9)
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


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    sort=st.sampled_from(list(Sort)),
    limit=st.integers(1, 4),
    q=st.sampled_from([None, "word"]),
    start=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), max_size=12),
    changes=st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(0, 5), st.integers(0, 2)),
            st.tuples(st.just("delete"), st.integers(0, 20), st.just(0)),
        ),
        max_size=12,
    ),
)
async def test_whatever_comes_and_goes_no_result_is_shown_twice_or_left_out(
    results: KeptResults,
    sort: Sort,
    limit: int,
    q: str | None,
    start: list[tuple[int, int]],
    changes: list[tuple[str, int, int]],
) -> None:
    user_id = new_job_id()  # one who has nothing yet
    wanted = {"user_id": user_id} if q is None else {"user_id": user_id, "q": q}

    async def add(minute: int, kind: int) -> str:
        named = {"JobName": "abc"[kind], "Runtime": float(kind), "Output": "a word"}
        return await results.add(minute, UserID=user_id, **named)

    there_all_along = {await add(minute, kind) for minute, kind in start}
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
                await add(one, other)
            elif present:
                job_id = present.pop(one % len(present))
                there_all_along.discard(job_id)
                assert await results.repository.delete([job_id]) == 1
        todo = todo[2:]
    assert len(seen) == len(set(seen))
    assert there_all_along <= set(seen)


async def test_the_output_is_left_out_unless_it_is_asked_for(results: KeptResults) -> None:
    record = result(1, Output='one\n\0 "Output": "two",\n', Attempts=[{"Output": "x"}], Command='"Output": "')
    await results.keep(record)
    page = await results.repository.page(ResultFilter("alice"), Sort.NAME, None, 5)
    assert json.loads(page.records[0]) == {name: record[name] for name in record if name != "Output"}
    whole = await results.repository.page(ResultFilter("alice"), Sort.NAME, None, 5, outputs=True)
    assert json.loads(whole.records[0]) == record


async def test_results_are_found_by_the_beginnings_of_their_jobs_ids(results: KeptResults) -> None:
    ids = [await results.add(minute) for minute in range(5)]
    await results.add(9, UserID="bob")
    for digits in (1, 3, 8, 32):
        wanted = ids[2].replace("-", "")[:digits]
        expected = [each for each in ids[::-1] if each.replace("-", "").startswith(wanted)]
        assert await results.ids(id_digits=wanted) == expected
    assert await results.ids(id_digits=new_job_id().replace("-", "")) == []


async def test_what_is_deleted_is_in_no_list_and_belongs_to_nobody(results: KeptResults) -> None:
    ids = [await results.add(minute, Output="word") for minute in range(4)]
    theirs = await results.add(9, UserID="bob", Output="word")
    assert await results.repository.owners([ids[0], theirs, new_job_id()]) == {ids[0]: "alice", theirs: "bob"}
    kept = await results.repository.kept_bytes("alice")
    assert await results.repository.delete([ids[0], ids[1], new_job_id()]) == 2
    assert await results.repository.delete([ids[0]]) == 0
    assert await results.repository.owners([ids[0], theirs]) == {theirs: "bob"}
    assert await results.ids() == await results.ids(q="word") == ids[:1:-1]
    assert await results.repository.kept_bytes("alice") == kept // 2
    assert await results.repository.kept_bytes("nobody") == 0


async def test_as_many_are_deleted_as_may_be_and_only_ones_own(results: KeptResults) -> None:
    ids = [await results.add(minute, JobName="n") for minute in range(5)]
    theirs = await results.add(0, UserID="bob", JobName="n")
    wanted = ResultFilter("alice", name="n")
    assert await results.repository.delete_matching(wanted, 3) == (3, True)
    assert await results.ids() == ids[:2:-1]
    assert await results.repository.delete_matching(wanted, 3) == (2, False)
    assert await results.ids(user_id=None) == [theirs]


async def test_what_nobody_may_type_finds_nothing_and_is_no_error(results: KeptResults) -> None:
    await results.add(1)
    for text in ("\0", "a\0b"):
        assert await results.ids(user_id=text) == []
        assert await results.ids(name=text) == await results.ids(name=text, name_is_prefix=True) == []
        assert await results.ids(statuses=(text,), modes=(text,)) == []


async def test_processes_see_what_each_other_keep_and_delete(open_results: OpenResults) -> None:
    one, other = await open_results(), await open_results()
    ids = [await (one, other)[minute % 2].add(minute) for minute in range(6)]
    for results in (one, other):
        await results.repository.catch_up()
        assert await results.ids() == ids[::-1]
    await one.repository.delete([ids[3]])
    assert ids[3] not in await other.ids()


async def test_how_the_last_job_of_a_name_ended(results: KeptResults) -> None:
    await results.add(1, JobName="n", Status="Failed", Success=False)
    await results.add(2, JobName="n")
    await results.add(3, JobName="m", Status="TimedOut", Success=False)
    ask = results.previous_status
    assert await ask("alice", "n", NOW + timedelta(minutes=9)) is JobStatus.SUCCEEDED
    assert await ask("alice", "n", NOW + timedelta(minutes=2)) is JobStatus.FAILED
    assert await ask("alice", "n", NOW + timedelta(minutes=1)) is None
    assert await ask("bob", "n", NOW + timedelta(minutes=9)) is None


async def test_statistics_count_by_outcome_and_time(results: KeptResults) -> None:
    for minute in range(100):
        failed = minute % 10 == 0
        await results.add(
            minute,
            Runtime=minute + 1.0,
            JobName="odd" if minute % 2 else "even",
            Status="Failed" if failed else "Succeeded",
            Success=not failed,
        )
    wanted = StatsFilter("alice", NOW, NOW + timedelta(hours=2), Bucket.HOUR)
    stats = await results.repository.statistics(wanted)
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
    nobody = await results.repository.statistics(
        StatsFilter("bob", NOW, NOW + timedelta(hours=1), Bucket.HOUR)
    )
    assert nobody["runtime"] == {"Count": 0, "P50": None, "P90": None, "P99": None, "Max": None}
