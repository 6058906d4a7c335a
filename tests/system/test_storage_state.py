"""What is said of a disk or folder that cannot be written now, and how much of it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from aiohttp_jobs.system.guarded_files import LockBusyError, locked
from aiohttp_jobs.system.storage_state import StorageState


def test_a_lock_that_somebody_holds_for_long_is_a_sentence_in_the_log_and_no_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logger, path = logging.getLogger(__name__), tmp_path / "lock"
    with locked(path, 0.0), pytest.raises(LockBusyError) as caught, locked(path, 0.0):
        pass
    StorageState(tmp_path).report(caught.value, logger, "Schedule %s is tried again", "nightly")
    (record,) = caplog.records
    assert (record.levelname, record.exc_info) == ("WARNING", None)
    assert record.getMessage() == f"Schedule nightly is tried again: {path} is locked by another process"
