"""Claims on the moments of schedules, as files. All calls block.

``Schedules/fired/<ScheduleID>/<moment>`` is the permanent claim; a hard link to it in ``Schedules/firing/``
exists until its job is submitted. Its creator holds a lock on it meanwhile, which the kernel releases when
the process dies: whoever then gets the lock completes the claim.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ...system.atomic import make_folder, mend_folder, sync_file, sync_folder
from ...system.guarded_files import (
    LockBusyError,
    UnreadableFileError,
    is_folder,
    lock,
    open_regular,
    set_aside,
)
from ...system.removal import remove_tree
from ..base import FiredMoment
from .files.folder_view import LEFTOVER_SECONDS
from .in_threads import InThreads
from .records import ScheduleStore

_KEEP = timedelta(days=1)
_KEEP_NEWEST = 10
_LARGEST = 64 * 1024
_FORMAT = "%Y%m%dT%H%M%SZ"
_FIELDS = ("ScheduleID", "Moment", "JobID", "Skipped")
_DAMAGED = (
    "The file that says which job it was given to was damaged, so whether that was submitted is not known."
)
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HeldMoment(FiredMoment):
    """A claimed moment with its file, and the descriptor that holds the lock."""

    path: Path
    lock: int = field(repr=False)


class FiredMomentFiles(InThreads):
    """The `FiredMoments` below the data folder `base`."""

    def __init__(self, base: Path) -> None:
        self._schedules = base / ScheduleStore.FOLDER
        self._fired = self._schedules / "fired"
        self._firing = self._schedules / "firing"

    def open(self) -> None:
        """Remove what deleted schedules and dead processes have left."""
        make_folder(self._fired)
        make_folder(self._firing)
        for folder in self._fired.iterdir():
            if not (self._schedules / f"{folder.name}.json").exists():
                self.forget(folder.name)
        for hidden in self._firing.glob(".*"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - hidden.lstat().st_mtime > LEFTOVER_SECONDS and not is_folder(hidden):
                    hidden.unlink()

    def forget(self, schedule_id: str) -> None:
        """Delete the claims of a schedule that was deleted."""
        remove_tree(self._fired / schedule_id)

    def take(
        self, schedule_id: str, moment: datetime, job_id: str | None, skipped: str | None = None
    ) -> HeldMoment | None:
        """Durably claim a moment; ``None`` when it is claimed already.

        Pass the claim to `finish` or `release`.
        """
        folder = self._fired / schedule_id
        make_folder(folder)
        record = dict(zip(_FIELDS, (schedule_id, _name(moment), job_id, skipped), strict=True))
        path, held = self._announce(json.dumps({**record, "Check": _check(record)}).encode())
        try:
            os.link(path, folder / _name(moment))
            sync_folder(folder)
        except FileExistsError:
            path.unlink()
            os.close(held)
            return None
        except BaseException:
            os.close(held)
            raise
        return HeldMoment(schedule_id, moment, job_id, skipped, path, held)

    def finish(self, claim: HeldMoment) -> None:
        """Mark a claim as done: its job was submitted, or never will be."""
        claim.path.unlink(missing_ok=True)
        os.close(claim.lock)
        self._prune(claim.schedule_id, claim.moment)

    def release(self, claim: HeldMoment) -> None:
        """Give a claim up, to be taken over by another process."""
        os.close(claim.lock)

    def take_over(self) -> list[HeldMoment]:
        """Take over unfinished claims that nobody holds; the caller now holds them."""
        names = self._unfinished()
        return [claim for name in names if (claim := self._adopt(self._firing / name)) is not None]

    def any_unfinished(self) -> bool:
        """Whether any claim is unfinished, whoever holds it."""
        return bool(self._unfinished())

    def _unfinished(self) -> list[str]:
        mend_folder(self._firing)
        with os.scandir(self._firing) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith("."))

    def handled_until(self, schedule_id: str, now: datetime) -> datetime | None:
        """The newest claimed moment that is not after `now`: everything up to it has been handled.

        Returns `now` itself when all claims are later. The clock was set back then, and earlier moments may
        have been fired and forgotten.
        """
        moments = sorted(self._moments(schedule_id))
        past = [moment for moment in moments if moment <= now]
        return past[-1] if past else now if moments else None

    def _announce(self, data: bytes) -> tuple[Path, int]:
        """A file in ``firing`` with `data`, and the lock on it; nobody ever sees it without its lock."""
        hidden = self._firing / f".{secrets.token_hex(8)}"
        held = open_regular(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            lock(held)
            os.write(held, data)
            sync_file(held)
            path = self._firing / hidden.name[1:]
            hidden.rename(path)
            sync_folder(self._firing)
        except BaseException:
            os.close(held)
            raise
        return path, held

    def _adopt(self, path: Path) -> HeldMoment | None:
        try:
            held = open_regular(path, os.O_RDWR)
        except FileNotFoundError:
            return None
        except UnreadableFileError as error:
            set_aside(path, error.reason)
            return None
        try:
            lock(held)
            claim = self._read(path, held)
        except BaseException as error:
            os.close(held)
            if isinstance(error, LockBusyError):
                return None
            raise
        if claim is None:
            path.unlink(missing_ok=True)
            os.close(held)
        return claim

    def _read(self, path: Path, held: int) -> HeldMoment | None:
        """The claim in a file whose lock is held; ``None`` when it announces nothing (any more)."""
        status = os.fstat(held)
        claim = self._as_written(path, held, status) or self._damaged(path, held, status)
        return claim if path.exists() else None

    def _as_written(self, path: Path, held: int, status: os.stat_result) -> HeldMoment | None:
        try:
            record = json.loads(os.pread(held, _LARGEST, 0))
            # Earlier releases wrote no such field.
            if record.get("Check", check := _check(record)) != check:
                return None
            moment = _moment(record["Moment"])
            claimed = (self._fired / record["ScheduleID"] / record["Moment"]).lstat()
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None  # damaged
        except (FileNotFoundError, NotADirectoryError):
            return None  # not claimed
        if not os.path.samestat(claimed, status):
            return None
        return HeldMoment(record["ScheduleID"], moment, record["JobID"], record["Skipped"], path, held)

    def _damaged(self, path: Path, held: int, status: os.stat_result) -> HeldMoment | None:
        """The claim whose file has the status `status`, and does not say any more for which job it is.

        Another job in its place might be the second one of that moment.
        """
        for folder in filter(is_folder, self._fired.iterdir()):
            for moment in self._moments(folder.name):
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat((folder / _name(moment)).lstat(), status):
                        _logger.error(
                            "The moment %s of schedule %s is left out: %s", moment, folder.name, _DAMAGED
                        )
                        return HeldMoment(folder.name, moment, None, _DAMAGED, path, held)
        return None

    def _moments(self, schedule_id: str) -> Iterator[datetime]:
        folder = self._fired / schedule_id
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
            for entry in entries:
                with contextlib.suppress(ValueError):
                    yield _moment(entry.name)

    def _prune(self, schedule_id: str, now: datetime) -> None:
        """Forget claims that no clock is wrong enough to come upon again."""
        for moment in sorted(self._moments(schedule_id))[:-_KEEP_NEWEST]:
            if moment < now - _KEEP:
                (self._fired / schedule_id / _name(moment)).unlink(missing_ok=True)


def _check(record: dict[str, Any]) -> str:
    """What tells whether a bit of `record` was flipped on the disk. Raises ``KeyError``."""
    return hashlib.sha256(json.dumps([record[name] for name in _FIELDS]).encode()).hexdigest()[:16]


def _name(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime(_FORMAT)


def _moment(name: str) -> datetime:
    return datetime.strptime(name, _FORMAT).replace(tzinfo=UTC)
