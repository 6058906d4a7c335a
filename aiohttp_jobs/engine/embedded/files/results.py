"""Reads result files, and deletes them with everything that belongs to them. All calls block.

Results are written by ``result_writer``.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from ....errors import PartlyDeletedError
from ....model.job import LONG_FIELDS
from ....system.atomic import sync_folder
from ....system.guarded_files import UnreadableFileError, open_folder, read_file
from ....system.jsontext import loads
from ....system.removal import remove_tree
from ....system.storage_faults import FaultKind, fault_of
from .deleted_ids import DeletedIds
from .layout import Attempt, Layout, submission_stem

_MOST_ATTEMPTS = 21
_MOST_SEGMENTS = 100_000
LARGEST_RESULT = 512 * 1024 * 1024
"""Bytes: whatever `max_output_bytes` was when it was written."""


class ResultFiles:
    """The results below `at`.

    The ids of deleted ones are recorded in `deleted_ids`. Files larger than `most` bytes are ignored.
    """

    def __init__(self, at: Layout, deleted_ids: DeletedIds, most: int = LARGEST_RESULT) -> None:
        self._at = at
        self._deleted_ids = deleted_ids
        self._most = most
        self.on_deleted: Callable[[Mapping[str, str]], None] = lambda owners: None
        """Called, in the same thread, with the ids of deleted results and their owners."""

    def read(self, job_id: str) -> dict[str, Any] | None:
        try:
            return read_object(self._at.result(str(UUID(job_id))), self._most)
        except ValueError:
            return None

    def existing(self, job_ids: Collection[str]) -> list[str]:
        """Those of `job_ids` that have a result."""
        return [job_id for job_id in job_ids if os.path.exists(self._at.result_file(job_id))]

    def read_summary(self, job_id: str) -> dict[str, Any] | None:
        """The result without `LONG_FIELDS`; the output is not even parsed in files that this package
        wrote.
        """
        try:
            data = read_file(self._at.result(str(UUID(job_id))), self._most)
            record = loads(_without_output_line(data))
        except (FileNotFoundError, UnreadableFileError, ValueError, RecursionError):
            return None
        if not isinstance(record, dict):
            return None
        for long in LONG_FIELDS:
            record.pop(long, None)
        return record

    def attempts(self, run: Attempt) -> list[dict[str, Any]]:
        """The results of the attempts before `run`, first to last."""
        files = (self._at.attempt_result(run.number(n)) for n in range(1, run.attempt))
        return [record for file in files if (record := read_object(file, self._most)) is not None]

    def log_size(self, record: Mapping[str, Any]) -> int:
        """The size in bytes of the output beside the result."""
        try:
            folder = open_folder(self._at.log(record_run(record)))
        except OSError:
            return 0
        try:
            with os.scandir(folder) as entries:
                stats = (entry.stat(follow_symlinks=False) for entry in islice(entries, _MOST_SEGMENTS))
                return sum(each.st_size for each in stats if stat.S_ISREG(each.st_mode))
        except OSError:
            return 0
        finally:
            os.close(folder)

    def delete(self, job_ids: Sequence[str]) -> dict[str, str]:
        """Delete results and what belongs to them; return the ids and owners of those that existed.

        Raises `PartlyDeletedError` when the disk refuses to go on, and ``OSError`` when it refused to begin.
        A crash meanwhile leaves whole results, or remains without a result, and no id that could run again.
        On a full disk, remains may stay behind.
        """
        found = {job_id: record for job_id in job_ids if (record := self.read(job_id)) is not None}
        if not found:
            return {}
        try:
            self._deleted_ids.add(*found)
        except OSError as error:
            fault = fault_of(error)
            if fault is None or fault.kind is not FaultKind.FULL:
                raise
            # There has to be room for their ids: while there are results, their jobs are known to have run.
            for record in found.values():
                self._delete_runs(record)
            self._deleted_ids.add(*found)
        try:
            for job_id, record in found.items():
                self._delete_runs(record)
                self._at.result(job_id).unlink(missing_ok=True)
            sync_folder(self._at.results)
        except OSError as error:
            raise PartlyDeletedError from error
        owners = {job_id: str(record.get("UserID", "")) for job_id, record in found.items()}
        self.on_deleted(owners)
        return owners

    def _delete_runs(self, record: Mapping[str, Any]) -> None:
        last = record_run(record)
        for attempt in range(1, last.attempt + 1):
            run = last.number(attempt)
            self._at.claimed(run).unlink(missing_ok=True)
            self._at.attempt_result(run).unlink(missing_ok=True)
            remove_tree(self._at.log(run))


def record_run(record: Mapping[str, Any]) -> Attempt:
    """The last attempt of the job whose stored result is `record`."""
    session_id, job_name, job_id = (_text(record, name) for name in ("SessionID", "JobName", "JobID"))
    attempt = record.get("Attempt")
    # Anybody may have written it: a number out of bounds must not become a million looks at the disk.
    if not isinstance(attempt, int) or not 1 <= attempt <= _MOST_ATTEMPTS:
        attempt = 1
    return Attempt(submission_stem(session_id, job_name, job_id), attempt)


def _without_output_line(data: bytes) -> bytes:
    """Indented JSON without the line of its ``Output``: no string in JSON contains a line break."""
    start = data.find(b'\n  "Output": "')
    end = data.find(b"\n", start + 1)
    is_line = start >= 0 and end >= 0 and data[end - 2 : end] == b'",'
    return data[:start] + data[end:] if is_line else data


def _text(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name)
    return value if isinstance(value, str) else ""


def read_object(path: Path, most: int) -> dict[str, Any] | None:
    """The JSON object in the file `path`, of at most `most` bytes; ``None`` if there is none."""
    try:
        record = loads(read_file(path, most))
    except (FileNotFoundError, UnreadableFileError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None
