"""The open sessions: one small file each, shared by every process on the data folder.

The cookie's content is in ``http.auth.sessions``; who may end whose session, in `SessionService`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ...errors import NotFoundError
from ...model.session import OpenSession, SessionRecord
from ...system.app_folder import APP_FOLDER
from ...system.atomic import make_folder, put_file, sync_folder
from ...system.guarded_files import read_file
from ..credentials import is_digest_of, new_session
from .files.folder_view import FILE_NAME, remove_leftovers
from .files.layout import safe_component
from .in_threads import InThreads

FOLDER = "Sessions"
_USE_IS_NOTED_SECONDS = 60.0
_SWEEP_SECONDS = 3600.0
_MOST_BYTES = 16 * 1024
_MOST_KNOWN = 10_000
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Known:
    """A file that was read: which one it was, what it says, and when it ends and was last said to be in use
    (seconds since 1970)."""

    inode: int
    record: SessionRecord
    end: float
    used: float = 0.0


class SessionRegistry(InThreads):
    """The sessions below the data folder `base`, of at most `max_age` seconds and `most` for each user.

    `find` is for the event loop. All other methods block, and are thread-safe.
    """

    def __init__(self, base: Path, max_age: float, most: int) -> None:
        self._folder = base / FOLDER
        self._root = str(self._folder)
        self._max_age = max_age
        self._most = most
        self._known: dict[str, _Known] = {}
        self._sweep_at = 0.0

    @classmethod
    def in_data_dir(cls, data_dir: Path) -> SessionRegistry:
        """The sessions of the plugin on `data_dir`, to be listed and ended, without new limits."""
        return cls(data_dir.absolute() / APP_FOLDER, math.inf, 1)

    def open(self) -> None:
        """Create the folder, and remove expired sessions."""
        make_folder(self._folder)
        self._sweep()

    def add(self, user_id: str, *, address: str = "", user_agent: str = "") -> tuple[SessionRecord, str]:
        """Start a session; return its record and its secret, which is not stored.

        If the user has more than `most` sessions then, the least recently used ones end. Raises ``OSError``.
        """
        record, secret = new_session(
            user_id, timedelta(seconds=self._max_age), address=address, user_agent=user_agent
        )
        self._write(record)
        others = [each for each in self.all(user_id) if each.record.session_id != record.session_id]
        others.sort(key=lambda each: each.last_used_at, reverse=True)
        for each in others[self._most - 1 :]:
            self.revoke(user_id, each.record.session_id)
        if time.monotonic() >= self._sweep_at:
            self._sweep()
        return record, secret

    async def find(self, user_id: str, session_id: str, secret: str) -> SessionRecord | None:
        """The open session with this id, if `secret` is its secret. Records that it was used.

        Costs one ``stat`` on the event loop. Each process reads it once; its use is recorded once a minute,
        in a thread.
        """
        if not _ID.fullmatch(session_id):
            return None
        path = self._path(user_id, session_id)
        try:
            status = os.stat(path, follow_symlinks=False)
        except FileNotFoundError:
            self._known.pop(session_id, None)
            return None
        known = self._known.get(session_id)
        if known is None or known.inode != status.st_ino:
            record = await asyncio.to_thread(_read, path)
            if record is None:
                return None
            known = self._remember(_Known(status.st_ino, record, self._end_of(record)))
        record = known.record
        if not is_digest_of(record.sha256, secret):
            return None
        now = time.time()
        if now >= known.end or record.user_id != user_id or record.session_id != session_id:
            return None
        # Either may be ahead: of a clock that was set back, or of another machine's.
        if min(abs(now - known.used), abs(now - status.st_mtime)) >= _USE_IS_NOTED_SECONDS:
            known.used = now
            await asyncio.to_thread(_note_use, path, now)
        return record

    def all(self, user_id: str | None = None) -> list[OpenSession]:
        """The sessions of one user, or of all, that have not ended; the last to sign in first."""
        folders = [self._user_folder(user_id)] if user_id is not None else _subfolders(self._root)
        now = time.time()
        found = [
            OpenSession(record, datetime.fromtimestamp(used, UTC))
            for folder in folders
            for path, used in _files(folder)
            if (record := _read(path)) is not None and not self._has_ended(record, now)
        ]
        return sorted(found, key=lambda each: each.record.signed_in_at, reverse=True)

    def owner_of(self, session_id: str) -> str:
        """Whose session that is. Raises `NotFoundError` when it is nobody's, or has ended."""
        if _ID.fullmatch(session_id):
            for folder in _subfolders(self._root):
                record = _read(f"{folder}/{session_id}.json")
                if record is not None and not self._has_ended(record, time.time()):
                    return record.user_id
        raise NotFoundError(f"There is no session {session_id}.")

    def revoke(self, user_id: str, session_id: str) -> bool:
        """End a session durably, for every process; false when it had ended already."""
        if not _ID.fullmatch(session_id):
            return False
        try:
            os.unlink(self._path(user_id, session_id))
        except FileNotFoundError:
            return False
        with suppress(FileNotFoundError):
            sync_folder(self._user_folder(user_id))
        return True

    def revoke_all(self, user_id: str, keep: str | None = None) -> int:
        """End every session of a user, but `keep`; how many those were."""
        sessions = [each.record.session_id for each in self.all(user_id)]
        return sum(self.revoke(user_id, session_id) for session_id in sessions if session_id != keep)

    def _has_ended(self, record: SessionRecord, now: float) -> bool:
        return now >= self._end_of(record)

    def _end_of(self, record: SessionRecord) -> float:
        # The earlier of what was promised then and what is configured now.
        return min(record.expires_at.timestamp(), record.signed_in_at.timestamp() + self._max_age)

    def _remember(self, known: _Known) -> _Known:
        self._known[known.record.session_id] = known
        while len(self._known) > _MOST_KNOWN:
            del self._known[next(iter(self._known))]
        return known

    def _user_folder(self, user_id: str) -> str:
        return f"{self._root}/{safe_component(user_id)}"

    def _path(self, user_id: str, session_id: str) -> str:
        return f"{self._user_folder(user_id)}/{session_id}.json"

    def _write(self, record: SessionRecord) -> None:
        # Not synced: whoever signed in right before a crash signs in again.
        text = json.dumps(record.model_dump(mode="json", by_alias=True), ensure_ascii=False, indent=2)
        path = self._path(record.user_id, record.session_id)
        make_folder(Path(path).parent)
        try:
            put_file(path, text.encode())
        except FileNotFoundError:  # another process has just swept the empty folder away
            make_folder(Path(path).parent)
            put_file(path, text.encode())
        _note_use(path, record.signed_in_at.timestamp())

    def _sweep(self) -> None:
        """Remove sessions that have expired, what cannot be read, and folders of users without any."""
        self._sweep_at = time.monotonic() + _SWEEP_SECONDS
        now = time.time()
        for folder in _subfolders(self._root):
            remove_leftovers(Path(folder))
            for path, _ in _files(folder):
                with suppress(OSError):
                    if self._is_worthless(path, now):
                        os.unlink(path)
            with suppress(OSError):  # not empty, or gone
                os.rmdir(folder)

    def _is_worthless(self, path: str, now: float) -> bool:
        try:
            return self._has_ended(_load(path), now)
        except OSError:
            return False  # for now, perhaps
        except ValueError:
            _logger.warning("Session file %s is damaged; it is removed.", path)
            return True


def _load(path: str) -> SessionRecord:
    return SessionRecord.model_validate_json(read_file(path, _MOST_BYTES))


def _read(path: str) -> SessionRecord | None:
    """The session in a file; ``None`` when there is no such file or it is damaged."""
    try:
        return _load(path)
    except (OSError, ValueError):
        return None


def _note_use(path: str, moment: float) -> None:
    """By this machine's clock: the file system may have another."""
    with suppress(OSError):  # it has ended, or the disk cannot be written: nothing that a request fails for
        os.utime(path, (moment, moment), follow_symlinks=False)


def _subfolders(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def _files(folder: str) -> Iterator[tuple[str, float]]:
    """Each session file of a user, and when it was last used (seconds since 1970)."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            if FILE_NAME.fullmatch(entry.name):
                with suppress(FileNotFoundError):
                    yield entry.path, entry.stat(follow_symlinks=False).st_mtime
