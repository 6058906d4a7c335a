"""What output looks like, by the table that the page's model is held to as well; in pieces, and bounded."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiohttp_jobs.model.terminal import ROW, Terminal, as_seen, tail_as_seen

from ..cases import cases

CASES = [case for case in cases("terminal") if "prints" in case]
PARTS = [
    *("a", "bc", "déf", "备份", "\U0001f600", "  ", "\t", "\n", "\r", "\r\n", "\b", "\x07", "\x0f", "\x85"),
    *("x" * 300, "\x1b", "[", "\x1b[", "0", "7", ";", ":", "m", "K", "\x1b]0;t", "\x1b\\", "\x1bP", "\x1b("),
    *("\x1b7", "\x1b8"),
    *(f"\x1b[{number}{final}" for number in ("", "0", "1", "2", "5", "4000") for final in "@CDGHJKPXsum"),
    *("\x1bc", "\x1bE", "\x1b[31m", "\x1b[38:2::1:2:3m", "\x1b[?25l", "\x1b]8;;http://x\x1b\\", "\x1b[3;7H"),
]  # fmt: skip
printed = st.lists(st.sampled_from(PARTS), max_size=40).map("".join)


def lines_of(text: str) -> list[str]:
    *lines, last = text.split("\n")
    return [*lines, last] if last else lines


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["from"])
def test_lines_look_as_on_a_terminal(case: dict[str, Any]) -> None:
    assert lines_of(as_seen(case["prints"])) == case["lines"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["from"])
def test_it_does_not_matter_in_which_pieces_output_comes(case: dict[str, Any]) -> None:
    terminal = Terminal()
    seen = "".join(terminal.write(character) for character in case["prints"]) + terminal.end()
    assert lines_of(seen) == case["lines"]


@settings(max_examples=500)
@given(pieces=st.lists(printed, max_size=6))
def test_whatever_is_printed_in_whatever_pieces(pieces: list[str]) -> None:
    text = "".join(pieces)
    terminal = Terminal()
    seen = "".join(map(terminal.write, pieces)) + terminal.end()
    assert seen == as_seen(text)
    assert seen.count("\n") == text.count("\n")
    assert not set("\x1b\r\b\x07") & set(seen)
    assert as_seen(seen) == seen


def test_a_bar_that_nobody_ends_is_one_line() -> None:
    terminal = Terminal()
    for number in range(4000):
        assert terminal.write(f"\rEpoch {number} [" + "#" * 80 + "]") == ""
    assert terminal.end() == "Epoch 3999 [" + "#" * 80 + "]"


def test_of_a_line_without_an_end_all_but_the_last_row_is_given_back_at_once() -> None:
    terminal = Terminal()
    given_back = sum(len(terminal.write("x" * 10_000)) for _ in range(1000))
    assert given_back == 10_000 * 1000 // ROW * ROW
    assert terminal.write("\x1b]0;" + "title" * 100_000) == ""
    assert terminal.write("\x1b[" + "1;" * 100_000) == ""
    assert len(terminal.end()) < ROW


def test_the_tail_is_of_lines_as_they_are_seen() -> None:
    bar = "".join(f"\r{'#' * (n % 70)}{'.' * (70 - n % 70)} {n}" for n in range(15_000))
    assert len(bar) > 1_000_000
    seen = tail_as_seen(f"first\nStart\n{bar}\nerror: disk full\n", 2000)
    assert seen.split("\n")[:2] == ["first", "Start"]
    assert seen.endswith(" 14999\nerror: disk full\n")
    assert len(seen) < 120


@given(text=printed, most=st.integers(1, 80))
def test_the_tail_is_the_end_of_what_is_seen(text: str, most: int) -> None:
    assert tail_as_seen(text, most) == as_seen(text)[-most:]


@pytest.mark.parametrize(
    "unit", ["\r", "\b", "\x1b", "\x1b]", "\x1b[1", "\x1b[K", "\x1bP\x1b", "\x1b[9C", "\t\b", "\x1b[@"]
)
def test_no_output_takes_time_out_of_all_proportion(unit: str) -> None:
    assert len(as_seen((unit * 50_000)[:100_000] + "x\n")) <= 100_000
