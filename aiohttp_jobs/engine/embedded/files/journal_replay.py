"""Restores, after a power cut, what the journals contain and the files have lost. All calls block.

Each entry is about one run of a job, and runs only move forward: accepted, claimed, ended, deleted. So the
order of entries and the process that wrote them do not matter: the furthest state wins.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ....system.atomic import make_folder, replace_file, sync_folder
from ....system.guarded_files import LARGEST_RECORD, read_file
from .deleted_ids import DeletedIds
from .journal import JournalEntry, Kind
from .layout import Attempt, Layout


def replay(at: Layout, deleted_ids: DeletedIds, entries: Iterable[JournalEntry]) -> list[JournalEntry]:
    """Restore missing files; return the runs that had been claimed, ended or not."""
    added: dict[str, JournalEntry] = {}
    claimed: dict[str, JournalEntry] = {}
    for entry in entries:
        if deleted_ids.has(Attempt.from_name(entry.run).job_id):
            continue
        if entry.kind is Kind.ADDED:
            added[entry.run] = entry
        elif entry.kind is Kind.CLAIMED:
            claimed[entry.run] = entry
            if entry.data:  # accepted by the same write
                added[entry.run] = entry
        else:
            _put_back(at.result(Attempt.from_name(entry.run).job_id), entry.data)
    for name, entry in added.items():
        run = Attempt.from_name(name)
        if name in claimed:
            _put_back(at.claimed(run), entry.data)
        elif not _moved_on(at, run):
            _put_back(at.submissions / entry.folder / f"{run.stem}.json", entry.data)
    for name, entry in claimed.items():
        _finish_claim(at, Attempt.from_name(name), entry.folder)
    return list(claimed.values())


def _moved_on(at: Layout, run: Attempt) -> bool:
    return at.claimed(run).exists() or at.attempt_result(run).exists() or is_whole(at.result(run.job_id))


def _put_back(path: Path, data: bytes) -> None:
    if not is_whole(path):
        make_folder(path.parent)
        replace_file(path, data)


def is_whole(path: Path) -> bool:
    """Whether the file contains a record, rather than what a power cut has left of one.

    Says nothing of later changes by others. A file that is too large to be read here was synced when it was
    written.
    """
    return _record(path) is not None or _size(path) > LARGEST_RECORD


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _record(path: Path) -> dict[str, Any] | None:
    with contextlib.suppress(OSError, ValueError, RecursionError):
        record = json.loads(read_file(path, LARGEST_RECORD))
        return record if isinstance(record, dict) else None
    return None


def _finish_claim(at: Layout, run: Attempt, folder: str) -> None:
    """See that what was picked up waits no longer: it must not be picked up a second time."""
    waiting = at.submissions / folder / f"{run.stem}.json"
    record = _record(waiting)
    if waiting.exists() and (record is None or record.get("Attempt", 1) == run.attempt):
        if at.claimed(run).exists():
            waiting.unlink()
        else:
            waiting.rename(at.claimed(run))
            sync_folder(at.output)
        sync_folder(waiting.parent)
