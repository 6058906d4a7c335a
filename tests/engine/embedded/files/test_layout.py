"""Safe names: any text becomes one path component."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiohttp_jobs.engine.embedded.files.layout import original_text, safe_component, submission_stem

RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.IGNORECASE)


@pytest.mark.parametrize("text", ["alice", "alice@example.org", "Job-1_b+c=d,e.f"])
def test_plain_names_stay_as_they_are(text: str) -> None:
    assert safe_component(text) == text


@given(st.text(max_size=300))
def test_a_name_never_leaves_its_folder(text: str) -> None:
    name = safe_component(text)
    assert re.fullmatch(r"[A-Za-z0-9@+=,._%~-]{1,120}", name)
    assert not name.startswith(".")
    assert not name.endswith(".")
    assert not RESERVED.match(name)


@given(st.text(max_size=200), st.text(max_size=200))
def test_two_texts_never_share_a_name(one: str, other: str) -> None:
    assert (safe_component(one) == safe_component(other)) == (one == other)


@given(st.text(max_size=30))
def test_a_name_that_was_not_cut_gives_its_text_back(text: str) -> None:
    name = safe_component(text, 120)
    if "~" not in name:
        assert original_text(name) == text


@pytest.mark.parametrize("text", ["../../etc", "..", ".", "a/b", "a\\b", "nul\0", "CON", "lpt1.txt", ""])
def test_known_traps_are_encoded(text: str) -> None:
    name = safe_component(text)
    assert name != text
    assert "/" not in name
    assert "\\" not in name
    assert "\0" not in name


@given(st.text(max_size=300), st.text(max_size=300))
def test_a_submission_fits_into_a_file_name(session: str, name: str) -> None:
    assert len(submission_stem(session, name, "0" * 36) + ".attempt20.result.json") < 255
