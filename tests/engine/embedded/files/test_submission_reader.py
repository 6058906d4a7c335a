"""What this process accepted is not parsed again, as long as its file is what was written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from aiohttp_jobs.engine.embedded.files.submission_reader import Accepted
from aiohttp_jobs.model.job import ExecutionMode, Submission, new_job_id, utc_now

DATA = b'{"JobName": "report"}'
SUBMISSION = Submission(
    job_id=new_job_id(),
    user_id="alice",
    job_name="report",
    command="pass",
    execution_mode=ExecutionMode.RUNSPACE,
    submitted_at=utc_now(),
)


def found_after(path: Path, change: Callable[[Path], object]) -> Submission | None:
    """What is found in `path` of a submission that was written there before `change`."""
    path.write_bytes(DATA)
    accepted = Accepted()
    accepted.add(str(path), len(DATA), SUBMISSION, 0)
    known = accepted.take(str(path))
    assert known is not None
    change(path)
    return known.submission_in(str(path))


def _exchanged(path: Path, data: bytes) -> None:
    other = path.with_suffix(".other")
    other.write_bytes(data)
    other.replace(path)


def _edited(path: Path) -> None:
    """In place, with as many bytes as there were."""
    path.write_bytes(DATA.replace(b"report", b"attack"))
    a_second_later = path.stat().st_mtime_ns + 1_000_000_000
    os.utime(path, ns=(a_second_later, a_second_later))


def _in_place_of_it(put: Callable[[Path], object]) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        path.unlink()
        put(path)

    return change


def _link(path: Path) -> None:
    path.with_suffix(".other").write_bytes(DATA)
    path.symlink_to(path.with_suffix(".other"))


def test_a_file_as_it_was_written_is_the_submission(tmp_path: Path) -> None:
    assert found_after(tmp_path / "job.json", lambda path: None) is SUBMISSION


def test_a_file_that_was_moved_is_so_too(tmp_path: Path) -> None:
    def move_away_and_back(path: Path) -> None:
        path.rename(path.with_suffix(".moved")).rename(path)

    assert found_after(tmp_path / "job.json", move_away_and_back) is SUBMISSION


@pytest.mark.parametrize(
    "change",
    [
        _edited,
        lambda path: _exchanged(path, DATA.replace(b"report", b"attack")),
        lambda path: path.write_bytes(DATA + b" "),
        lambda path: path.write_bytes(b""),
        Path.unlink,
        _in_place_of_it(_link),
        _in_place_of_it(os.mkfifo),
        _in_place_of_it(Path.mkdir),
    ],
    ids=[
        "edited", "another of its size", "a longer one", "an empty one", "none", "a link to the same",
        "a named pipe", "a folder",
    ],
)  # fmt: skip
def test_anything_else_in_its_place_is_not(tmp_path: Path, change: Callable[[Path], object]) -> None:
    assert found_after(tmp_path / "job.json", change) is None
