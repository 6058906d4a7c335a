"""Records as files, one each, shared by every process on the data folder: schedules, templates, triggers.

All calls block. Notices, which need no signature, are in ``notices``.
"""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import ValidationError

from ...errors import NotFoundError, TooManyKeptError
from ...model.field_faults import what_is_wrong
from ...model.schedule import Schedule
from ...model.template import Template
from ...model.template_trigger import TemplateTrigger
from ...system.atomic import make_folder, replace_file, sync_folder
from ...system.derived_keys import InstallationKeys
from ...system.guarded_files import LARGEST_RECORD, LOCK_SECONDS, UnreadableFileError, locked, read_file
from ..base import Record
from .files.folder_view import FolderView, remove_leftovers
from .in_threads import InThreads

R = TypeVar("R", bound=Record)

_logger = logging.getLogger(__name__)


class RecordFiles(InThreads, ABC, Generic[R]):
    """The records in the folder ``FOLDER`` below the data folder `base`. Thread-safe."""

    FOLDER: ClassVar[str]
    NOUN: ClassVar[str]

    def __init__(self, base: Path) -> None:
        self._folder = base / self.FOLDER
        self._guard = Lock()
        self._view = FolderView(self._folder, self._load)

    def all(self) -> list[R]:
        """Every record, oldest first. Costs one ``stat`` when nothing has changed."""
        with self._guard:
            self._view.refresh()
            return sorted(self._view.items.values(), key=lambda each: (each.created_at, each.record_id))

    def has_changed(self) -> bool:
        """Whether `all` would read anything."""
        return self._view.has_changed()

    def change(self, record_id: str, change: Callable[[R], R]) -> R:
        """Durably replace a record by what `change` returns for it, atomically over all threads and
        processes.

        Raises `NotFoundError`, `LockBusyError`, and whatever `change` raises.
        """
        with self._changing():
            changed = change(self._existing(record_id))
            self._write(changed)
            return changed

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Alone among all threads and processes. Raises `LockBusyError`."""
        with locked(self._folder / ".lock", LOCK_SECONDS):
            yield

    def _path(self, record_id: str) -> Path:
        return self._folder / f"{record_id}.json"

    def _missing(self, record_id: str) -> NotFoundError:
        return NotFoundError(f"There is no {self.NOUN} {record_id}.")

    @abstractmethod
    def _existing(self, record_id: str) -> R:
        """Raises `NotFoundError`."""

    @abstractmethod
    def _write(self, record: R) -> None: ...

    @abstractmethod
    def _load(self, name: str) -> R | None:
        """What the file `name` holds; ``None`` when that is no record."""


class SignedRecords(RecordFiles[R]):
    """A `RecordStore` of files signed with the key ``KEY`` of `keys`; by default the keys in files.

    A record that was written or changed by hand is ignored, because it would run with its owner's rights.
    """

    KEY: ClassVar[str]

    def __init__(
        self, base: Path, read: Callable[[dict[str, Any]], R], keys: InstallationKeys | None = None
    ) -> None:
        super().__init__(base)
        self._keys = keys or InstallationKeys(base)
        self._read = read

    def open(self) -> None:
        make_folder(self._folder)
        self._signer = self._keys.signer(self.KEY)
        remove_leftovers(self._folder)

    def get(self, record_id: str) -> R:
        """The record with this id. Raises `NotFoundError`."""
        with self._guard:
            self._view.refresh()
            return self._existing(record_id)

    def add(self, record: R, most_per_user: int | None = None, most: int | None = None) -> None:
        """Store a new record durably.

        Raises `TooManyKeptError` when its owner has `most_per_user` records already, or all users together
        have `most`.
        """
        with self._changing():
            kept = self._view.items.values()
            mine = sum(each.user_id == record.user_id for each in kept)
            if most_per_user is not None and mine >= most_per_user:
                raise self._too_many("_per_user", most_per_user, mine)
            if most is not None and len(kept) >= most:
                raise self._too_many("", most, len(kept), of_all=True)
            self._write(record)

    def remove(self, record_id: str) -> None:
        """Delete a record. Raises `NotFoundError`."""
        with self._changing():
            self._existing(record_id)
            self._path(record_id).unlink(missing_ok=True)
            sync_folder(self._folder)

    def _existing(self, record_id: str) -> R:
        record = self._view.items.get(f"{record_id}.json")
        if record is None:
            raise self._missing(record_id)
        return record

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with super()._changing(), self._guard:
            self._view.refresh(anyway=True)
            yield

    def _too_many(self, scope: str, most: int, used: int, *, of_all: bool = False) -> TooManyKeptError:
        nouns = f"{self.NOUN}s"
        return TooManyKeptError(
            f"max_{nouns}{scope}", most=most, used=used, what=nouns, advice="Delete one first.", of_all=of_all
        )

    def _write(self, record: R) -> None:
        text = json.dumps(self._signer.sign(record.to_record()), ensure_ascii=False, indent=2)
        replace_file(self._path(record.record_id), text.encode())
        self._view.look_again()

    def _load(self, name: str) -> R | None:
        """Raises ``OSError`` while the disk refuses to give it."""
        noun = self.NOUN.capitalize()
        try:
            data = json.loads(read_file(self._folder / name, LARGEST_RECORD))
            if not isinstance(data, dict) or not self._signer.is_valid(data):
                _logger.error("%s file %s was written or changed by hand; it is not used", noun, name)
                return None
            record = self._read(data)
        except FileNotFoundError:
            return None
        except (UnreadableFileError, ValueError, RecursionError) as error:
            reason = what_is_wrong(error.errors()[0]) if isinstance(error, ValidationError) else error
            _logger.error("%s file %s cannot be used: %s", noun, name, reason)
            return None
        except OSError as error:
            _logger.error("%s file %s cannot be read now: %s", noun, name, error)
            raise
        return record if name == f"{record.record_id}.json" else None


class ScheduleStore(SignedRecords[Schedule]):
    """The schedules, ``Schedules/<ScheduleID>.json``. Their fired moments are in ``fired_moments``."""

    FOLDER = "Schedules"
    KEY = "schedule.key"
    NOUN = "schedule"

    def __init__(self, base: Path, keys: InstallationKeys | None = None) -> None:
        super().__init__(base, Schedule.model_validate, keys)


class TemplateStore(SignedRecords[Template]):
    """The templates, ``Templates/<TemplateID>.json``."""

    FOLDER = "Templates"
    KEY = "template.key"
    NOUN = "template"

    def __init__(self, base: Path, keys: InstallationKeys | None = None) -> None:
        super().__init__(base, Template.model_validate, keys)


class TriggerStore(SignedRecords[TemplateTrigger]):
    """The triggers, ``Triggers/<TriggerID>.json``, with the recent deliveries to each."""

    FOLDER = "Triggers"
    KEY = "trigger.key"
    NOUN = "trigger"

    def __init__(self, base: Path, keys: InstallationKeys | None = None) -> None:
        super().__init__(base, TemplateTrigger.model_validate, keys)
