"""Signed records as files, one each, shared by every process on the data folder: schedules, templates.

All calls block. What a record means, and who may change it, is left to those who keep it here.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from pydantic import ValidationError

from ...errors import NotFoundError
from ...system.atomic import make_folder, replace_file, sync_folder
from ...system.guarded_files import LARGEST_RECORD, LOCK_SECONDS, lock_file, read_file
from .files.folder_view import FolderView, remove_leftovers
from .files.signing import Signer

_logger = logging.getLogger(__name__)


class Kept(Protocol):
    """What can be kept: an id (a UUID), a date, and the JSON object it is stored as."""

    @property
    def record_id(self) -> str: ...
    @property
    def created_at(self) -> datetime: ...
    def to_record(self) -> dict[str, Any]: ...


R = TypeVar("R", bound=Kept)


class SignedRecords(Generic[R]):
    """The records in the folder ``FOLDER`` below the data folder `base`; may be used from several threads.

    Files are signed, as submissions are: one that was written or changed by hand is left out, because
    what it says would run with its owner's rights.
    """

    FOLDER: ClassVar[str]
    KEY: ClassVar[str]
    NOUN: ClassVar[str]

    def __init__(self, base: Path, read: Callable[[dict[str, Any]], R]) -> None:
        self._folder = base / self.FOLDER
        self._key_file = base / "Secrets" / self.KEY
        self._read = read
        self._guard = Lock()
        self._view = FolderView(self._folder, self._load)

    def open(self) -> None:
        make_folder(self._folder)
        self._signer = Signer.from_file(self._key_file)
        remove_leftovers(self._folder)

    def all(self) -> list[R]:
        """Every record, oldest first, as it is on disk now. Costs one ``stat`` when nothing changed."""
        with self._guard:
            self._view.refresh()
            return sorted(self._view.items.values(), key=lambda each: (each.created_at, each.record_id))

    def has_changed(self) -> bool:
        """Whether `all` would read anything."""
        return self._view.has_changed()

    def get(self, record_id: str) -> R:
        """Raises `NotFoundError`."""
        with self._guard:
            self._view.refresh()
            return self._existing(record_id)

    def insert(self, record: R, require_room: Callable[[Collection[R]], None]) -> None:
        """Keep a new record durably. `require_room` sees those there are, and raises if that is enough."""
        with self._changing():
            require_room(self._view.items.values())
            self._write(record)

    def change(self, record_id: str, change: Callable[[R], R]) -> R:
        """Replace a record durably by what `change` makes of it; nobody else changes it meanwhile.

        Raises `NotFoundError`, and whatever `change` raises.
        """
        with self._changing():
            changed = change(self._existing(record_id))
            self._write(changed)
            return changed

    def remove(self, record_id: str) -> None:
        """Raises `NotFoundError`."""
        with self._changing():
            self._existing(record_id)
            self._path(record_id).unlink(missing_ok=True)
            sync_folder(self._folder)

    def _existing(self, record_id: str) -> R:
        record = self._view.items.get(f"{record_id}.json")
        if record is None:
            raise NotFoundError(f"There is no {self.NOUN} {record_id}.")
        return record

    def _path(self, record_id: str) -> Path:
        return self._folder / f"{record_id}.json"

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Alone among all threads and processes, with a fresh view of the folder. Raises `LockBusyError`."""
        descriptor = lock_file(self._folder / ".lock", LOCK_SECONDS)
        try:
            with self._guard:
                self._view.refresh(anyway=True)
                yield
        finally:
            os.close(descriptor)

    def _write(self, record: R) -> None:
        text = json.dumps(self._signer.sign(record.to_record()), ensure_ascii=False, indent=2)
        replace_file(self._path(record.record_id), text.encode())
        self._view.look_again()

    def _load(self, name: str) -> R | None:
        noun = self.NOUN.capitalize()
        try:
            data = json.loads(read_file(self._folder / name, LARGEST_RECORD))
            if not isinstance(data, dict) or not self._signer.is_valid(data):
                _logger.error("%s file %s was written or changed by hand; it is not used", noun, name)
                return None
            record = self._read(data)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
            _logger.error("%s file %s cannot be used: %s", noun, name, reason)
            return None
        return record if name == f"{record.record_id}.json" else None
