"""Checks the contents of the data folder: damaged or foreign entries, the index, and leftovers of dead
processes.
"""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from ..engine.embedded.files.layout import Layout
from ..system.guarded_files import LockBusyError, lock, read_file
from ..system.jsontext import loads
from .finding import Finding, Status

_KNOWN = {
    "JobSubmission", "JobOutput", "JobResults", "Running", "Schedules", "Notices", "Templates", "Triggers",
    "Secrets",
    "Sessions", "Work", "queue.paused",
}  # fmt: skip
_RESULT = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\.json")
_MOST_READ = 10_000
_MOST_BYTES = 512 * 1024 * 1024
_MOST_NAMED = 5
_INDEX_SECONDS = 20.0


def content_findings(at: Layout) -> Iterator[Finding]:
    """Check the data folder's entries and its index. Blocks, for some seconds."""
    yield _foreign(at)
    yield _damaged(at)
    yield _index(at)
    yield _processes(at)


def _foreign(at: Layout) -> Finding:
    found = [
        at.base / name
        for name in _names(at.base)
        if name not in _KNOWN and not name.startswith((".", at.index.name))
    ]
    found += [
        at.results / name for name in _names(at.results) if not (name[0] == "." or _RESULT.fullmatch(name))
    ]
    if not found:
        return Finding(
            "foreign_entries", Status.OK, "There is nothing in the folders that is not the plugin's."
        )
    return Finding(
        "foreign_entries",
        Status.WARNING,
        f"{len(found)} entries are not the plugin's: {_named(found)}.",
        "Move them elsewhere. They are not used.",
    )


def _damaged(at: Layout) -> Finding:
    faults, read = [], 0
    for path in _record_files(at):
        if read >= _MOST_READ:
            break
        read += 1
        try:
            if not isinstance(loads(read_file(path, _MOST_BYTES)), dict):
                faults.append(path)
        except FileNotFoundError:
            continue  # it has moved on meanwhile
        except (OSError, ValueError, RecursionError):
            faults.append(path)
    if not faults:
        return Finding("damaged_entries", Status.OK, f"{read} files were read, and none is damaged.")
    return Finding(
        "damaged_entries",
        Status.PROBLEM,
        f"{len(faults)} of {read} files that were read are damaged, or no files: {_named(faults)}.",
        "Put them back from a backup, or remove them.",
    )


def _record_files(at: Layout) -> Iterator[Path]:
    for folder in (*_records(at.base), *_folders(at.submissions), at.results):
        for name in _names(folder):
            if name.endswith(".json") and not name.startswith("."):
                yield folder / name


def _records(base: Path) -> list[Path]:
    return [base / name for name in ("Templates", "Schedules", "Triggers")]


def _folders(parent: Path) -> list[Path]:
    return [path for name in _names(parent) if (path := parent / name).is_dir() and not path.is_symlink()]


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _named(paths: list[Path]) -> str:
    more = f" and {len(paths) - _MOST_NAMED} more" if len(paths) > _MOST_NAMED else ""
    return ", ".join(map(str, paths[:_MOST_NAMED])) + more


def _index(at: Layout) -> Finding:
    check = "index"
    if not at.index.exists():
        return Finding(check, Status.OK, "There is no index of results; it is made at the next start.")
    try:
        fault = _index_fault(at.index)
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            return Finding(check, Status.OK, f"No fault was found in the index in {_INDEX_SECONDS:.0f} s.")
        fault = str(error)
    except sqlite3.DatabaseError as error:
        fault = str(error)
    if fault is None:
        return Finding(check, Status.OK, "The index of results is whole.")
    return Finding(
        check,
        Status.PROBLEM,
        f"The index of results, {at.index}, is damaged: {fault}.",
        "Stop the hosts and delete it: it is made again from the results at the next start.",
    )


def _index_fault(path: Path) -> str | None:
    # A database in WAL mode that nobody has open would get files beside it, unless it is said not to change.
    is_open = path.with_name(path.name + "-wal").exists()
    address = f"{path.as_uri()}?mode=ro{'' if is_open else '&immutable=1'}"
    end = time.monotonic() + _INDEX_SECONDS
    with closing(sqlite3.connect(address, uri=True, timeout=5)) as connection:
        connection.set_progress_handler(lambda: time.monotonic() > end, 10_000)
        found = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        return None if found == "ok" else found.replace("\n", " ")


def _processes(at: Layout) -> Finding:
    """By the lock that each living process holds; it is asked for shared, and given back at once."""
    alive, dead, jobs = 0, 0, 0
    for folder in _folders(at.running):
        if folder.name.startswith("."):
            continue
        if _is_locked(folder / "lock"):
            alive += 1
        else:
            dead += 1
            jobs += len(_names(folder / "jobs"))
    if not dead:
        return Finding("processes", Status.OK, f"{alive} processes use the data folder; none has died.")
    if alive:
        return Finding(
            "processes",
            Status.WARNING,
            f"{dead} processes died and were running {jobs} jobs; {alive} others should take them over.",
            "Look again in a minute; then see the hosts' logs.",
        )
    return Finding(
        "processes",
        Status.WARNING,
        f"{dead} processes died and were running {jobs} jobs.",
        "The next host that starts takes them over.",
    )


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return False
        lock(descriptor, shared=True)
    except LockBusyError:
        return True
    finally:
        with suppress(OSError):
            os.close(descriptor)
    return False
