"""Schedules as files, ``Schedules/<ScheduleID>.json``, shared by every process on the data folder.

All calls block. Which moments were fired is left to ``claims``.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from pydantic import ValidationError

from ..errors import ConflictError, NotFoundError
from ..store.durable import make_folder, replace_file, sync_folder
from ..store.signing import Signer
from .models import Schedule

FOLDER = "Schedules"
_FILE_NAME = re.compile(r"[0-9a-f-]{36}\.json")
_SETTLED_NS = 100_000_000
LEFTOVER_SECONDS = 3600.0
_logger = logging.getLogger(__name__)

FileIdentity = tuple[int, int, int, int]


class ScheduleStore:
    """The schedules below the data folder `base`; may be used from several threads.

    Files are signed, as submissions are: one that was written or changed by hand is left out, because
    what it says would run with its owner's rights.
    """

    def __init__(self, base: Path) -> None:
        self._folder = base / FOLDER
        self._key_file = base / "Secrets" / "schedule.key"
        self._guard = Lock()
        self._seen: int | None = None
        self._files: dict[str, FileIdentity] = {}
        self._schedules: dict[str, Schedule] = {}

    def open(self) -> None:
        make_folder(self._folder)
        self._signer = Signer.from_file(self._key_file)
        for path in self._folder.glob(".*.tmp"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > LEFTOVER_SECONDS:
                    path.unlink()

    def all(self) -> list[Schedule]:
        """Every schedule, oldest first, as it is on disk now. Costs one ``stat`` when nothing changed."""
        with self._guard:
            self._refresh()
            return sorted(self._schedules.values(), key=lambda each: (each.created_at, each.schedule_id))

    def get(self, schedule_id: str) -> Schedule:
        """Raises `NotFoundError`."""
        with self._guard:
            self._refresh()
            return self._existing(schedule_id)

    def add(self, schedule: Schedule, max_per_user: int) -> None:
        """Keep a new schedule durably. Raises `ConflictError` when its owner has `max_per_user` already."""
        with self._changing():
            mine = sum(each.user_id == schedule.user_id for each in self._schedules.values())
            if mine >= max_per_user:
                raise ConflictError(
                    f"You have {mine} schedules, and no more than {max_per_user} are allowed. "
                    "Delete one first."
                )
            self._write(schedule)

    def change(self, schedule_id: str, change: Callable[[Schedule], Schedule]) -> Schedule:
        """Replace a schedule durably by what `change` makes of it; nobody else changes it meanwhile.

        Raises `NotFoundError`, and whatever `change` raises.
        """
        with self._changing():
            changed = change(self._existing(schedule_id))
            self._write(changed)
            return changed

    def remove(self, schedule_id: str) -> None:
        """Raises `NotFoundError`."""
        with self._changing():
            self._existing(schedule_id)
            self._path(schedule_id).unlink(missing_ok=True)
            sync_folder(self._folder)

    def _existing(self, schedule_id: str) -> Schedule:
        schedule = self._schedules.get(f"{schedule_id}.json")
        if schedule is None:
            raise NotFoundError(f"There is no schedule {schedule_id}.")
        return schedule

    def _path(self, schedule_id: str) -> Path:
        return self._folder / f"{schedule_id}.json"

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Alone among all threads and processes, with a fresh view of the folder."""
        descriptor = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            with self._guard:
                self._seen = None
                self._refresh()
                yield
        finally:
            os.close(descriptor)

    def _write(self, schedule: Schedule) -> None:
        record = self._signer.sign(schedule.to_record())
        text = json.dumps(record, ensure_ascii=False, indent=2)
        replace_file(self._path(schedule.schedule_id), text.encode())
        self._seen = None

    def _refresh(self) -> None:
        now = time.time_ns()
        changed_at = self._folder.stat().st_mtime_ns
        if changed_at == self._seen:
            return
        found: dict[str, FileIdentity] = {}
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if _FILE_NAME.fullmatch(entry.name):
                    with contextlib.suppress(FileNotFoundError):
                        found[entry.name] = _identity(entry.stat(follow_symlinks=False))
        for name in self._schedules.keys() - found.keys():
            del self._schedules[name]
        for name, identity in found.items():
            if self._files.get(name) != identity:
                self._load(name)
        self._files = found
        # Time stamps are coarse: a second change within the same tick would look like no change.
        self._seen = changed_at if now - changed_at > _SETTLED_NS else None

    def _load(self, name: str) -> None:
        self._schedules.pop(name, None)
        try:
            record = json.loads((self._folder / name).read_bytes())
            if not isinstance(record, dict) or not self._signer.is_valid(record):
                _logger.error("Schedule file %s was written or changed by hand; it is not used", name)
                return
            schedule = Schedule.model_validate(record)
        except FileNotFoundError:
            return
        except (OSError, ValueError, RecursionError) as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
            _logger.error("Schedule file %s cannot be used: %s", name, reason)
            return
        if name == f"{schedule.schedule_id}.json":
            self._schedules[name] = schedule


def _identity(status: os.stat_result) -> FileIdentity:
    return (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
