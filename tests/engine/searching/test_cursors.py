"""Cursors: what was written is read, by the one list it is for, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiohttp_jobs.engine.base import BadCursorError
from aiohttp_jobs.engine.searching import read_cursor, write_cursor
from aiohttp_jobs.model.results import ResultFilter, Sort


@pytest.mark.parametrize("text", ["", "x", "!!", "bnVsbA", "W10", "é", "A" * 5000, "WzFd", "\ud800"])
def test_a_made_up_cursor_is_refused(text: str) -> None:
    with pytest.raises(BadCursorError):
        read_cursor(text, ResultFilter("alice"), Sort.NAME)


@given(key=st.tuples(st.text(max_size=200), st.integers(-(2**63), 2**63 - 1)))
def test_a_cursor_holds_for_its_own_list_only(key: tuple[str, int]) -> None:
    try:
        key[0].encode()
    except UnicodeEncodeError:
        return
    wanted = ResultFilter("alice")
    cursor = write_cursor(key, wanted, Sort.NAME)
    assert read_cursor(cursor, wanted, Sort.NAME) == key
    for other, sort in ((ResultFilter("bob"), Sort.NAME), (wanted, Sort.NAME_DOWN), (wanted, Sort.COMPLETED)):
        with pytest.raises(BadCursorError):
            read_cursor(cursor, other, sort)
