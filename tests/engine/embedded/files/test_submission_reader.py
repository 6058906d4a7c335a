"""What this process accepted is not parsed again, as long as its file is what was written."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aiohttp_jobs.engine.embedded.files.submission_reader import Accepted
from aiohttp_jobs.model.job import ExecutionMode, Submission, new_job_id, utc_now

DATA = b'{"JobName": "report"}'
TICK_SECONDS = 0.02
"""Longer than the time stamps of a file system are coarse."""
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
    """In place, with as many bytes as there were, and dated back to what it was."""
    time.sleep(TICK_SECONDS)
    was = path.stat()
    path.write_bytes(DATA.replace(b"report", b"attack"))
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))


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
        "edited and dated back", "another of its size", "a longer one", "an empty one", "none",
        "a link to the same", "a named pipe", "a folder",
    ],
)  # fmt: skip
def test_anything_else_in_its_place_is_not(tmp_path: Path, change: Callable[[Path], object]) -> None:
    assert found_after(tmp_path / "job.json", change) is None
