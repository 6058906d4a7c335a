"""API keys in one file, which is replaced as a whole. A running host notices changes by the file's identity.

What a key may do is decided in ``access.current_roles``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Unpack

from ...errors import NotFoundError, RightsUnavailableError
from ...model.api_key import ApiKey, ApiKeyFields
from ...system.app_folder import APP_FOLDER
from ...system.atomic import make_folder, replace_file
from ...system.guarded_files import (
    LARGEST_RECORD,
    LOCK_SECONDS,
    LockBusyError,
    UnreadableFileError,
    locked,
    read_file,
)
from ...system.jsontext import dumps, loads
from ...system.one_by_one import pausing
from ..credentials import KeyRing, new_api_key, require_another_key
from .in_threads import InThreads

_Identity = tuple[int, int, int, int]
_logger = logging.getLogger(__name__)


def _allow(_key: ApiKey) -> None:
    """Whoever can write the data folder may change every key."""


class ApiKeys(InThreads):
    """The keys of one data folder. Changes are safe while hosts and other processes use it.

    Every method raises `RightsUnavailableError` while the file is damaged or unreadable: no key works then,
    and nothing overwrites the file. A change also raises it while another program keeps the file locked.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._name = str(path)
        self._reading = threading.Lock()
        self._seen: _Identity | None = None
        self._ring: KeyRing | None = KeyRing()
        self._complaint = ""

    @classmethod
    def in_data_dir(cls, data_dir: Path) -> ApiKeys:
        return cls(data_dir.absolute() / APP_FOLDER / "Secrets" / "api-keys.json")

    async def now(self) -> KeyRing:
        """The current keys. Costs a ``stat`` of some microseconds; a changed file is read in a thread."""
        if self._identity() != self._seen:
            return await asyncio.to_thread(self.read)
        return self._known()

    def read(self) -> KeyRing:
        """The keys as they are now. Blocks when their file has changed.

        That the disk refused is not remembered: once it gives the file, the keys work.
        """
        with self._reading:
            identity = self._identity()
            if identity != self._seen:
                self._ring = KeyRing() if identity is None else self._read_file()
                self._seen, self._complaint = identity, ""
        return self._known()

    def create(self, *, most: int | None = None, **fields: Unpack[ApiKeyFields]) -> tuple[ApiKey, str]:
        """A new key: its record, and the key itself, which is shown only here.

        Raises pydantic's ``ValidationError`` for a
        bad value, `TooManyKeptError` when its user has `most` keys already. Blocks.
        """
        key, secret = new_api_key(**fields)
        with self._changing() as (ring, lines):
            require_another_key(ring.count_of(key.user_id), most)
            lines.append(dumps(key.to_record()))
        return key, secret

    def all(self) -> list[ApiKey]:
        """Every key, oldest first. Blocks."""
        return list(pausing(self.read().all()))

    def get(self, key_id: str) -> ApiKey | None:
        """The key with this id, if there is one. Blocks."""
        return self.read().get(key_id)

    def find(self, secret: str, remote: str | None) -> ApiKey | None:
        """The key that `secret` is, if it may be used now from the address `remote`. Blocks."""
        return self.read().find(secret, remote)

    def change(
        self, key_id: str, make: Callable[[ApiKey], ApiKey], require: Callable[[ApiKey], None] = _allow
    ) -> ApiKey:
        """The key as `make` returns it, which is kept. Blocks.

        Raises `NotFoundError` when there is no such key, and what `require` raises for it as it is: nobody
        else changes it in between.
        """
        with self._changing() as (ring, lines):
            index, key = _existing(ring, key_id)
            require(key)
            changed = make(key)
            lines[index] = dumps({**loads(lines[index]), **changed.to_record()})
        return changed

    def set_enabled(self, key_id: str, enabled: bool, *, by: str | None = None) -> ApiKey:
        """Enable or disable it, in the name of `by`. Raises `NotFoundError`. Blocks."""
        news = {"enabled": enabled, "disabled_by": None if enabled else by}
        return self.change(key_id, lambda key: key.model_copy(update=news))

    def delete(self, key_id: str, require: Callable[[ApiKey], None] = _allow) -> ApiKey:
        """The key, which is no more. Raises `NotFoundError`, and what `require` raises for it. Blocks."""
        with self._changing() as (ring, lines):
            index, key = _existing(ring, key_id)
            require(key)
            del lines[index]
        return key

    @contextlib.contextmanager
    def _changing(self) -> Iterator[tuple[KeyRing, list[bytes]]]:
        """The keys as they are, and their lines, to be changed in place: what becomes of them is written."""
        with self._locked():
            ring = self.read()
            lines = list(ring.lines)
            yield ring, lines
            replace_file(self._path, b"[\n" + b",\n".join(lines) + b"\n]\n")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        make_folder(self._path.parent)
        try:
            with locked(self._path.with_suffix(".lock"), LOCK_SECONDS):
                yield
        except LockBusyError:
            raise RightsUnavailableError(
                "API keys cannot be changed at the moment, as another program changes them. Try again."
            ) from None

    def _identity(self) -> _Identity | None:
        """What tells the file from the one before; ``None`` while there is none."""
        try:
            status = os.lstat(self._name)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unavailable(f"cannot be read ({error.strerror})") from None
        return status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size

    def _known(self) -> KeyRing:
        ring = self._ring
        if ring is None:
            raise _unavailable("is damaged")
        return ring

    def _read_file(self) -> KeyRing | None:
        """What the file says; ``None`` when it says nothing that can be understood.

        Raises `RightsUnavailableError` while it cannot be read.
        """
        try:
            return _read(read_file(self._path, LARGEST_RECORD))
        except OSError as error:
            if self._complaint != str(error):  # once, not for each request
                self._complaint = str(error)
                _logger.error("No API key works, as %s cannot be read: %s", self._path, error)
            if isinstance(error, UnreadableFileError):
                raise _unavailable(error.reason) from None
            raise _unavailable(f"cannot be read ({error.strerror})") from None
        except (ValueError, RecursionError) as error:
            _logger.error("No API key works, as %s cannot be read: %s", self._path, error)
        except TypeError:
            _logger.error("No API key works, as %s does not hold a list of keys", self._path)
        return None


def _existing(ring: KeyRing, key_id: str) -> tuple[int, ApiKey]:
    key = ring.get(key_id)
    if key is None:
        raise NotFoundError(f"There is no API key with the KeyID {key_id!r}.")
    return ring.index_of(key_id), key


def _read(text: bytes) -> KeyRing:
    """The keys in `text`, read line by line where it was written so: an array with a record on each line.

    Raises ``ValueError`` for what is no JSON, ``TypeError`` for what is no array.
    """
    lines = text.split(b"\n")
    if lines[0] == b"[" and lines[-2:] == [b"]", b""]:
        with contextlib.suppress(ValueError):
            return KeyRing(line.removesuffix(b",") for line in lines[1:-2] if line)
    records = loads(text)
    if not isinstance(records, list):
        raise TypeError
    return KeyRing(map(dumps, records))


def _unavailable(fault: str) -> RightsUnavailableError:
    return RightsUnavailableError(
        f"API keys cannot be checked, as Secrets/api-keys.json in the server's data folder {fault}. "
        "Put it right from a backup, or remove it and make new keys."
    )
