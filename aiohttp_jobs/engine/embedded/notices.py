"""Notices as files, ``Notices/<NoticeID>.json``, shared by every process on the data folder.

Prepared ones are in ``Notices/prepared/``. All calls block. ``notify.delivery`` sends them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Collection
from pathlib import Path

from pydantic import ValidationError

from ...model.notice import Notice, NoticeState
from ...system.atomic import make_folder, mend_folder, replace_file, sync_folder
from ...system.guarded_files import (
    LARGEST_RECORD,
    LockBusyError,
    lock_file,
    read_file,
    set_aside,
)
from ...system.jsontext import indented
from .files.folder_view import FILE_NAME, remove_leftovers
from .records import RecordFiles

_logger = logging.getLogger(__name__)


class NoticeStore(RecordFiles[Notice]):
    """The `NoticeRecords` of a data folder. All are cached in memory, without the data of their jobs."""

    FOLDER = "Notices"
    NOUN = "notice"

    def __init__(self, base: Path) -> None:
        super().__init__(base)
        self._prepared = self._folder / "prepared"
        self._lead: int | None = None

    def open(self) -> None:
        make_folder(self._prepared)
        for folder in (self._folder, self._prepared):
            remove_leftovers(folder)

    # --- before the job's result is kept

    def prepare(self, notice: Notice) -> None:
        """Keep a notice durably that must not be sent yet. An earlier one with its id is replaced."""
        replace_file(self._prepared / _name(notice.notice_id), indented(notice.to_record()))

    def withdraw(self, notice_ids: Collection[str]) -> None:
        """Forget prepared notices, if there are such."""
        for notice_id in notice_ids:
            (self._prepared / _name(notice_id)).unlink(missing_ok=True)

    def prepared(self, min_age: float) -> list[Notice]:
        """Those that have been prepared for `min_age` seconds; usually none."""
        found = []
        for name in self._prepared_names():
            path = self._prepared / name
            with contextlib.suppress(FileNotFoundError):
                age = time.time() - path.lstat().st_mtime
                if 0 <= age < min_age:
                    continue
                notice = _read(path)
                if notice is not None:
                    found.append(notice)
                else:
                    # Not again at every look: what is there is none, and will not become one.
                    set_aside(path, "a notice belongs there")
        return found

    def _prepared_names(self) -> list[str]:
        mend_folder(self._prepared)
        with os.scandir(self._prepared) as entries:
            return [entry.name for entry in entries if FILE_NAME.fullmatch(entry.name)]

    def release(self, notice_id: str) -> None:
        """From now on a prepared notice is to be sent. Nothing happens if somebody released it already.

        Not synced: after a power cut it is found prepared, and released again.
        """
        prepared = self._prepared / _name(notice_id)
        # Not a rename: that would replace one that has been released, and perhaps sent, before.
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            os.link(prepared, self._folder / prepared.name)
        prepared.unlink(missing_ok=True)

    # --- afterwards

    def add(self, notice: Notice) -> None:
        """Keep a notice durably that is to be sent, and was not prepared."""
        self._write(notice)

    def has_changed(self) -> bool:
        """Whether `all` would read anything, or any are prepared."""
        return super().has_changed() or bool(self._prepared_names())

    def get(self, notice_id: str) -> Notice:
        """The whole notice. Raises `NotFoundError`."""
        return self._existing(notice_id)

    def remove(self, notice_ids: Collection[str]) -> None:
        """Those that are gone already do not matter."""
        with self._changing():
            for notice_id in notice_ids:
                (self._path(notice_id)).unlink(missing_ok=True)
            sync_folder(self._folder)

    # --- other processes

    def lead(self) -> bool:
        """Whether this process is the one that sends. The kernel lets go of that when it dies."""
        with self._guard:
            if self._lead is not None:
                return True
            try:
                self._lead = lock_file(self._folder / ".sending", 0.0)
            except LockBusyError:
                return False
            return True

    def step_down(self) -> None:
        """Leave sending to another process."""
        if self._lead is not None:
            os.close(self._lead)
            self._lead = None

    def _existing(self, record_id: str) -> Notice:
        notice = _read(self._path(record_id))
        if notice is None:
            raise self._missing(record_id)
        return notice

    def _write(self, record: Notice) -> None:
        replace_file(self._path(record.notice_id), indented(record.to_record()))

    def _load(self, name: str) -> Notice | None:
        notice = _read(self._folder / name)
        return notice.without_job() if notice is not None else None


def _name(notice_id: str) -> str:
    return f"{notice_id}.json"


def _read(path: Path) -> Notice | None:
    """The notice in a file; ``None`` when it is gone or none that was written here."""
    try:
        notice = Notice.model_validate_json(read_file(path, LARGEST_RECORD))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        # Without what pydantic says of the input: it may hold a private address.
        reason = error.errors()[0]["type"] if isinstance(error, ValidationError) else error
        _logger.error("Notice file %s cannot be used: %s", path.name, reason)
        return None
    if path.name != _name(notice.notice_id):
        return None
    is_released = notice.state is NoticeState.PREPARED and path.parent.name == NoticeStore.FOLDER
    return notice.model_copy(update={"state": NoticeState.PENDING}) if is_released else notice
