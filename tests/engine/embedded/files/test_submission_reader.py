"""What this process accepted is not parsed again, as long as its file is what was written."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from aiohttp_jobs.engine.embedded.files.submission_reader import Accepted
from aiohttp_jobs.model.job import ExecutionMode, Submission, new_job_id, utc_now

DATA = b'{"JobName": "report"}'
LARGE = b'{"JobName": "report", "Command": "%s"}' % (b"#" * 10_000)
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


def found_in(path: Path, data: bytes = DATA) -> Submission | None:
    """What is found in `path` of a submission of which `data` was written there."""
    accepted = Accepted()
    accepted.add(str(path), data, SUBMISSION, 0)
    known = accepted.take(str(path))
    assert known is not None
    return known.submission_in(str(path))


@pytest.mark.parametrize("data", [DATA, LARGE], ids=["short", "large"])
def test_a_file_as_it_was_written_is_the_submission(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "job.json").write_bytes(data)
    assert found_in(tmp_path / "job.json", data) is SUBMISSION


@pytest.mark.parametrize(
    "instead",
    [LARGE[:-1] + b" ", LARGE + b" ", hashlib.sha256(LARGE).digest()],
    ids=["another of its size", "a longer one", "its digest"],
)
def test_anything_else_in_place_of_a_large_file_is_not(tmp_path: Path, instead: bytes) -> None:
    (tmp_path / "job.json").write_bytes(instead)
    assert found_in(tmp_path / "job.json", LARGE) is None


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
