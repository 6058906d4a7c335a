"""What every engine's search for results finds, and what it quotes of them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiohttp_jobs.engine.base import TooSlowError
from aiohttp_jobs.model.job import new_job_id
from aiohttp_jobs.model.results import ResultFilter
from aiohttp_jobs.model.search import parse_search

from ..cases import cases
from .results import NOW, KeptResults, OpenResults, result

_TICK = timedelta(microseconds=1)
SEARCHED = [case for case in cases("terminal") if "search_finds" in case]


async def test_every_word_must_be_there_in_name_command_or_output(results: KeptResults) -> None:
    first = await results.add(1, JobName="Backup", Command="pg_dump shop", Output="12 tables, 3 errors\n")
    second = await results.add(2, JobName="Report", Command="make report", Output="No errors. Café closed.")
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
    results: KeptResults, case: dict[str, Any]
) -> None:
    await results.add(1, Output="something else\n")
    job_id = await results.add(2, Output=f"before\n{case['prints']}after\n")
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
    results: KeptResults, output: str, found: list[str], not_found: list[str]
) -> None:
    job_id = await results.add(1, JobName="a", Command="b", Output=f"before {output} after")
    for text in found:
        assert await results.ids(q=text) == [job_id], text
        assert await results.snippets(q=text) == [f"before {output} after"], text
    for text in not_found:
        assert await results.ids(q=text) == [], text
    by_name = await results.add(2, JobName=output)
    assert (await results.ids(q=found[0]))[0] == by_name


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(text=st.text("数据库备가나ขท้ ab.", min_size=1), start=st.integers(0, 30), size=st.integers(1, 8))
@pytest.mark.slow
async def test_any_part_of_a_run_is_found_and_nothing_else(
    results: KeptResults, text: str, start: int, size: int
) -> None:
    part = re.sub("[^数据库备가나ขท้]", "", text[start : start + size]) or "数备"
    user_id = new_job_id()  # one who has nothing yet
    job_id = await results.add(1, UserID=user_id, JobName="", Command="", Output=text)
    assert await results.ids(user_id=user_id, q=part) == ([job_id] if part in text else [])


async def test_a_bar_of_many_updates_hides_nothing_from_searches(open_results: OpenResults) -> None:
    bar = "".join(f"\r{number} of 2000 {'#' * 40}" for number in range(2000))
    results = await open_results(search_bytes=4000)
    job_id = await results.add(1, Output=f"begun\n{bar}\nended\n")
    assert await results.ids(q="begun") == await results.ids(q="ended") == [job_id]
    assert await results.ids(q='"1500 of"') == []
    assert await results.snippets(q="1999") == [f"begun 76 of 2000 {'#' * 40} 1999 of 2000 {'#' * 40} ended"]


async def test_a_phrase_is_found_where_it_is_and_not_where_its_words_are(results: KeptResults) -> None:
    wanted = await results.add(1, Output="disk full: no space left on device")
    other = {"JobName": "space", "Command": "left", "Output": "left no space, the full disk"}
    await results.keep_all([result(minute, **other) for minute in range(2, 300)])
    assert await results.ids(q='"no space left"', limit=1) == [wanted]
    assert await results.ids(q='"no space left"', sort="name") == [wanted]
    assert await results.ids(q='"space left"') == [wanted]
    assert len(await results.all_pages(q="left space", limit=50)) == 299
    assert len(await results.all_pages(q='"no space"', limit=50)) == 299


async def test_deleting_what_has_a_phrase_deletes_nothing_else(results: KeptResults) -> None:
    wanted = await results.add(1, Output="数据库: no space left")
    kept = await results.add(2, Output="left no space, 据库 数据")
    for phrase in ('"space left"', "数据库"):
        found = ResultFilter("alice", terms=parse_search(phrase))
        assert await results.repository.delete_matching(found, 10) == ((1, False) if wanted else (0, False))
        wanted = ""
    assert await results.ids() == [kept]


async def test_two_characters_are_found_where_they_are_and_not_where_the_index_holds_them_for_alike(
    results: KeptResults,
) -> None:
    wanted = await results.add(1, Output="备份数据库")
    alike = [f"备份数据{chr(ord('库') + 16 * (minute % 40 + 1))}" for minute in range(2, 300)]
    await results.keep_all([result(minute, Output=text) for minute, text in enumerate(alike, 2)])
    assert await results.ids(q="据库") == [wanted]
    assert await results.ids(q="据库", sort="name") == [wanted]
    assert len(await results.all_pages(q="数据", limit=50)) == 299


async def test_a_phrase_that_takes_long_to_look_for_goes_on_with_the_next_page(
    results: KeptResults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results.module, "_SEARCH_SECONDS", 0)
    wanted = await results.add(0, Output="one two")
    for minute in range(1, 10):
        await results.add(minute, Output="two one")
    assert await results.page(q='"one two"', limit=5) != ([wanted], None)
    assert await results.all_pages(q='"one two"', limit=5) == [wanted]
    with pytest.raises(TooSlowError):
        await results.repository.delete_matching(ResultFilter("alice", terms=parse_search('"two two"')), 5)


async def test_a_time_is_exact_to_the_microsecond_for_results_of_one_moment(results: KeptResults) -> None:
    # What ends in the same ten bits would have the same place: the first, or the last, of its moment.
    ends = ["330174796800", "3301747967ff"] * 50
    ids = {f"{new_job_id()[:24]}{end}" for end in ends}
    await results.keep_all([result(1, JobID=job_id) for job_id in ids])
    moment = NOW + timedelta(minutes=1)
    for words in ({"q": "test"}, {}):
        assert set(await results.all_pages(limit=70, since=moment, until=moment + _TICK, **words)) == ids
        assert await results.ids(since=moment + _TICK, **words) == []
        assert await results.ids(until=moment, **words) == []


@pytest.mark.parametrize("glyph", ["\ue0a0", "\x1f", "\u2028", "🔒", "🧪", "🫡"])
async def test_no_sign_hides_the_word_beside_it(results: KeptResults, glyph: str) -> None:
    job_id = await results.add(
        1, JobName=f"{glyph}main", Command=f"{glyph}1 {glyph}2", Output=f"{glyph}branch "
    )
    for text in ("main", "branch", f"{glyph}branch"):
        assert await results.ids(q=text) == [job_id], text
    assert await results.ids(q=f"{glyph}7") == []


@pytest.mark.parametrize(
    "text",
    ["a AND b", "NOT", "name:x", 'a"b', "NEAR(a b)", "{x}", "a^b", "-x", "'; DROP TABLE results", "abc*def*"],
)
async def test_what_users_type_is_never_syntax(results: KeptResults, text: str) -> None:
    job_id = await results.add(1, Output=f"before {text} after")
    assert await results.ids(q=text) == [job_id]


async def test_of_a_long_output_the_start_and_the_end_can_be_searched(results: KeptResults) -> None:
    job_id = await results.add(1, Output="first " + "x " * 5000 + "middle " + "y " * 5000 + "last")
    assert await results.ids(q="first last") == [job_id]
    assert await results.ids(q="middle") == []
