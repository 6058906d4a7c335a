"""Trace Context, as https://www.w3.org/TR/trace-context/ has it: what is valid; all else is ignored."""

from __future__ import annotations

import pytest

from aiohttp_jobs.model.trace import TraceContext

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"


def test_a_valid_one_is_kept_and_of_a_later_version_what_this_one_knows() -> None:
    assert TraceContext.of([GOOD]) == TraceContext(GOOD)
    assert TraceContext.of([f" {GOOD} "]) == TraceContext(GOOD)
    assert TraceContext.of([f"cc-{TRACE}-{SPAN}-ff-what-comes-later"]) == TraceContext(GOOD)
    assert TraceContext(GOOD).trace_id == TRACE


@pytest.mark.parametrize(
    "parents",
    [
        [], [""], [GOOD, GOOD], [f"{GOOD}-more"], [f"ff-{TRACE}-{SPAN}-01"], [f"00-{'0' * 32}-{SPAN}-01"],
        [f"00-{TRACE}-{'0' * 16}-01"], [GOOD.upper()], [GOOD[:-1]], [f"00-{TRACE}-{SPAN}"], [f"{GOOD}\n"],
        [f"0-{TRACE}-{SPAN}-01"], [f"cc-{TRACE}-{SPAN}-01x"], [f"cc-{TRACE}-{SPAN}-01-{'x' * 500}"],
        [GOOD.replace("4bf", "٤bf")],
    ],
)  # fmt: skip
def test_all_else_is_ignored_with_its_state(parents: list[str]) -> None:
    assert TraceContext.of(parents, ["vendor=1"]) is None


@pytest.mark.parametrize(
    ("states", "kept"),
    [
        (["a=1, b=2", "c@d=3"], "a=1,b=2,c@d=3"),
        (["a=1,,b=2"], "a=1,b=2"),
        (["a=1,a=2"], None),
        (["A=1"], None),
        (["a"], None),
        (["a=1\x00"], None),
        (["a=é"], None),
        ([",".join(f"k{n}=1" for n in range(33))], None),
        ([f"a={'x' * 256},b={'x' * 256}"], None),
        ([], None),
        ([""], None),
    ],
)
def test_a_bad_state_alone_is_left_out(states: list[str], kept: str | None) -> None:
    assert TraceContext.of([GOOD], states) == TraceContext(GOOD, kept)
