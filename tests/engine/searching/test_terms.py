"""Search terms as the words of an index."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from aiohttp_jobs.engine.searching import all_exact, candidate_words
from aiohttp_jobs.model.search import parse_search


@pytest.mark.parametrize("text", ["部署失败", "naïve", '"größer als"'])
def test_what_a_page_asks_of_its_terms_again_and_again_is_looked_up_once(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    terms, opened, connect = parse_search(text), list[str](), sqlite3.connect

    def count(name: str, **options: Any) -> sqlite3.Connection:
        opened.append(name)
        return connect(name, **options)

    monkeypatch.setattr(sqlite3, "connect", count)
    for _ in range(3):
        candidate_words(terms)
        all_exact(terms)
    assert opened == [":memory:"] * len(terms)
