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


def _link(path: Path) -> None:
    path.with_suffix(".other").write_bytes(DATA)
    path.symlink_to(path.with_suffix(".other"))


def found_in(path: Path) -> Submission | None:
    accepted = Accepted()
    accepted.add(str(path), DATA, SUBMISSION, 0)
    known = accepted.take(str(path))
    assert known is not None
    return known.submission_in(str(path))


def test_a_file_as_it_was_written_is_the_submission(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_bytes(DATA)
    assert found_in(tmp_path / "job.json") is SUBMISSION


@pytest.mark.parametrize(
    "put",
    [
        _link,
        os.mkfifo,
        Path.mkdir,
        lambda path: path.write_bytes(DATA + b" "),
        lambda path: path.write_bytes(b""),
        lambda path: None,
    ],
    ids=["a link to the same", "a named pipe", "a folder", "a longer file", "an empty file", "nothing"],
)
def test_anything_else_in_its_place_is_not(tmp_path: Path, put: Callable[[Path], object]) -> None:
    put(tmp_path / "job.json")
    assert found_in(tmp_path / "job.json") is None
