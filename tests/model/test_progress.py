"""Progress as a program writes it and as it is read: OSC 9;4, the text percent-encoded."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiohttp_jobs.model.progress import LONGEST, MOST_TEXT, Progress, last_progress, progress_sequence


@given(st.floats(0, 1) | st.none(), st.text())
def test_what_is_written_is_read(share: float | None, text: str) -> None:
    sequence = progress_sequence(Progress(share, text)).encode()
    assert len(sequence) < LONGEST
    (read,) = last_progress(b"before" + sequence + b"after") or (None,)
    assert read is not None
    assert read.share == (None if share is None else pytest.approx(share, abs=0.001))
    assert len(read.text) <= MOST_TEXT
    assert read.text.isprintable() or not text.isprintable()
    if text.isprintable() and len(text) <= MOST_TEXT:
        assert read.text == text.strip()


@pytest.mark.parametrize(
    ("output", "share", "text"),
    [
        (b"\x1b]9;4;1;42\x07", 0.42, ""),
        (b"\x1b]9;4;1;42\x1b\\", 0.42, ""),
        (b"\x1b]9;4;1;42;420%20rows\x07", 0.42, "420 rows"),
        (b"\x1b]9;4;1;42;gr%C3%B6\xc3\x9fe; a;b\x07", 0.42, "größe; a;b"),
        (b"\x1b]9;4;1;42;two%0Alines%1B%5B31m\x07", 0.42, "two lines [31m"),
        (b"\x1b]9;4;1;42;%zz%F\x07", 0.42, "%zz%F"),
        (b"\x1b]9;4;1;7.5\x07", 0.075, ""),
        (b"\x1b]9;4;1;999\x07", 1.0, ""),
        (b"\x1b]9;4;1\x07", 0.0, ""),
        (b"\x1b]9;4;2;30\x07", 0.3, ""),
        (b"\x1b]9;4;4;30\x07", 0.3, ""),
        (b"\x1b]9;4;3\x07", None, ""),
        (b"\x1b]9;4;3;0;busy\x07", None, "busy"),
        (b"\x1b]9;4;1;10\x07 \x1b]9;4;1;20\x07\x1b]9;4;1;nonsense\x07\x1b]9;4;1;30", 0.2, ""),
    ],
)
def test_sequences_as_programs_print_them(output: bytes, share: float | None, text: str) -> None:
    assert last_progress(output) == (Progress(share, text),)


@pytest.mark.parametrize(
    "output",
    [
        b"",
        b"4;1;42",
        b"\x1b]9;4;1;42",
        b"\x1b]9;4;1;42\n\x07",
        b"\x1b]9;4;5;42\x07",
        b"\x1b]9;4;1;-42\x07",
        b"\x1b]9;4;1;4242\x07",
        b"\x1b]9;42\x07",
        b"\x1b]0;title\x07",
        b"\x1b]9;4;1;42;" + b"x" * LONGEST + b"\x07",
    ],
)
def test_all_else_says_nothing(output: bytes) -> None:
    assert last_progress(output) is None


def test_none_takes_it_away() -> None:
    assert last_progress(progress_sequence(Progress(0.5)).encode() + progress_sequence(None).encode()) == (
        None,
    )


@pytest.mark.parametrize("share", [-1.0, math.nan, -math.inf, math.inf, 17.0])
def test_a_share_that_is_none_is_shown_as_the_nearest(share: float) -> None:
    assert last_progress(progress_sequence(Progress(share)).encode()) in (
        (Progress(0.0),),
        (Progress(1.0),),
    )
