"""Signed records as files, one each, shared by every process on the data folder: schedules, templates.

All calls block. What a record means, and who may change it, is left to those who keep it here.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import re
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from pydantic import ValidationError

from ..errors import NotFoundError
from .durable import make_folder, replace_file, sync_folder
from .signing import Signer

LEFTOVER_SECONDS = 3600.0
_FILE_NAME = re.compile(r"[0-9a-f-]{36}\.json")
_SETTLED_NS = 100_000_000
_logger = logging.getLogger(__name__)

FileIdentity = tuple[int, int, int, int]


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
        self._seen: int | None = None
        self._files: dict[str, FileIdentity] = {}
        self._records: dict[str, R] = {}

    def open(self) -> None:
        make_folder(self._folder)
        self._signer = Signer.from_file(self._key_file)
        for path in self._folder.glob(".*.tmp"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > LEFTOVER_SECONDS:
                    path.unlink()

    def all(self) -> list[R]:
        """Every record, oldest first, as it is on disk now. Costs one ``stat`` when nothing changed."""
        with self._guard:
            self._refresh()
            return sorted(self._records.values(), key=lambda each: (each.created_at, each.record_id))

    def has_changed(self) -> bool:
        """Whether `all` would read anything."""
        return self._folder.stat().st_mtime_ns != self._seen

    def get(self, record_id: str) -> R:
        """Raises `NotFoundError`."""
        with self._guard:
            self._refresh()
            return self._existing(record_id)

    def insert(self, record: R, require_room: Callable[[Collection[R]], None]) -> None:
        """Keep a new record durably. `require_room` sees those there are, and raises if that is enough."""
        with self._changing():
            require_room(self._records.values())
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
        record = self._records.get(f"{record_id}.json")
        if record is None:
            raise NotFoundError(f"There is no {self.NOUN} {record_id}.")
        return record

    def _path(self, record_id: str) -> Path:
        return self._folder / f"{record_id}.json"

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

    def _write(self, record: R) -> None:
        text = json.dumps(self._signer.sign(record.to_record()), ensure_ascii=False, indent=2)
        replace_file(self._path(record.record_id), text.encode())
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
        for name in self._records.keys() - found.keys():
            del self._records[name]
        for name, identity in found.items():
            if self._files.get(name) != identity:
                self._load(name)
        self._files = found
        # Time stamps are coarse: a second change within the same tick would look like no change.
        self._seen = changed_at if now - changed_at > _SETTLED_NS else None

    def _load(self, name: str) -> None:
        self._records.pop(name, None)
        noun = self.NOUN.capitalize()
        try:
            data = json.loads((self._folder / name).read_bytes())
            if not isinstance(data, dict) or not self._signer.is_valid(data):
                _logger.error("%s file %s was written or changed by hand; it is not used", noun, name)
                return
            record = self._read(data)
        except FileNotFoundError:
            return
        except (OSError, ValueError, RecursionError) as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
            _logger.error("%s file %s cannot be used: %s", noun, name, reason)
            return
        if name == f"{record.record_id}.json":
            self._records[name] = record


def _identity(status: os.stat_result) -> FileIdentity:
    return (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
