"""Progress found in an output: whatever the pieces it comes in, masked like all of it, and for little."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiohttp_jobs.model.progress import Progress, last_progress, progress_sequence
from aiohttp_jobs.worker.output.log import OutputLog, ProgressScanner
from aiohttp_jobs.worker.output.masking import MASK, Masker
from aiohttp_jobs.worker.output.segments import SEGMENT

PIECES = [
    b"a line\n",
    b"\x1b[31mred\x1b[0m",
    b"\x1b]0;title\x07",
    b"\x1b",
    b"\x1b]9;4;1;5",
    b"\x1b]9;4;1;10\x07",
    b"\x1b]9;4;1;20;some%20text\x1b\\",
    b"\x1b]9;4;3\x07",
    b"\x1b]9;4;0\x07",
    b"\x1b]9;4;9\x07",
    b"\x07",
    b"\\",
    "€".encode(),
]


@given(st.lists(st.sampled_from(PIECES)), st.lists(st.integers(1, 12)))
def test_where_it_is_cut_makes_no_difference(pieces: list[bytes], cuts: list[int]) -> None:
    output, scanner, rest = b"".join(pieces), ProgressScanner(), b"".join(pieces)
    for cut in cuts:
        scanner.feed(rest[:cut])
        rest = rest[cut:]
    scanner.feed(rest)
    found = last_progress(output)
    assert scanner.progress == (None if found is None else found[0])


def test_what_is_said_again_is_the_same_object() -> None:
    scanner = ProgressScanner()
    scanner.feed(progress_sequence(Progress(0.5, "half")).encode())
    said = scanner.progress
    scanner.feed(progress_sequence(Progress(0.5, "half")).encode())
    assert scanner.progress is said


def test_a_log_knows_the_last_and_keeps_the_sequence(tmp_path: Path) -> None:
    log = OutputLog(tmp_path / "log", 1024)
    assert log.progress is None
    sequences = [progress_sequence(Progress(share / 10)) for share in range(11)]
    for sequence in sequences:
        log.append(sequence.encode())
    assert log.progress == Progress(1.0)
    assert log.output().text == "".join(sequences)
    log.append(b"\x1b]9;4;0\x07")
    assert log.progress is None


def test_what_a_flood_says_is_seen(tmp_path: Path) -> None:
    log = OutputLog(tmp_path / "log", 1024)
    log.append(b"x" * SEGMENT)
    log.flush()
    segment = bytearray(b"x" * SEGMENT)
    sequence = progress_sequence(Progress(0.25)).encode()
    segment[SEGMENT // 2 : SEGMENT // 2 + len(sequence)] = sequence
    log.add_segment(segment)
    assert log.progress == Progress(0.25)


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_a_secret_in_its_text_is_masked(tmp_path: Path, size: int) -> None:
    log = OutputLog(tmp_path / "log", 1024)
    log.masker = Masker(["p4ss wörd"])
    said = progress_sequence(Progress(0.5, "with p4ss wörd in it")).encode()
    for start in range(0, len(said), size):
        log.append(said[start : start + size])
    assert log.progress == Progress(0.5, f"with {MASK.decode()} in it")
