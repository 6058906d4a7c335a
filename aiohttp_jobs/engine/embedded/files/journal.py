"""A write-ahead journal: makes many small changes durable with one write to a preallocated file.

The store's files are written first and are authoritative. The journal is read only after a power cut or a
crash of the system, when some of them may be missing (see ``journal_replay``). All calls block.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import os
import zlib
from collections.abc import Iterator, Sequence
from enum import IntEnum
from pathlib import Path
from struct import Struct
from threading import Event, Thread
from typing import NamedTuple

from ....system.atomic import sync_file
from ....system.guarded_files import UnreadableFileError, open_regular, read_file
from ....system.storage_state import StorageState, free_bytes

SIZE = 4 * 1024 * 1024
_ZEROS = bytes(16 * 1024)
LARGEST = 256 * 1024
_LEFT_FREE = 8 * 1024 * 1024
"""Entries with more bytes than this are better synced as files."""
_START = 4096
_HEADER = Struct(">8sQ36s")
_ENTRY = Struct(">QIIBHH")  # generation, checksum, length of the data, kind, lengths of the names
_MAGIC = b"aiojobs1"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_logger = logging.getLogger(__name__)


class Kind(IntEnum):
    """What happened to a run of a job."""

    ADDED = 1
    CLAIMED = 2
    ENDED = 3


class JournalEntry(NamedTuple):
    """One entry. `run` is the name of the run, `folder` its owner's folder, `data` the content of the file.

    A ``CLAIMED`` entry with `data` was accepted by the same write.
    """

    kind: Kind
    run: str
    folder: str
    data: bytes = b""

    def encoded(self, generation: int) -> bytes:
        run, folder = _bytes(self.run), _bytes(self.folder)
        lengths = (len(self.data), int(self.kind), len(run), len(folder))
        body = b"".join((run, folder, self.data))
        return _ENTRY.pack(generation, _checksum(generation, lengths, body), *lengths) + body


class Journal:
    """Two files in `folder`, used alternately: while one is written, the files that the other covers are
    synced.
    """

    def __init__(self, folder: Path, storage: StorageState) -> None:
        self._folder = folder
        self._storage = storage
        self._descriptors: list[int] = []
        self._clean = [Event(), Event()]
        self._active = 0
        self._generation = 0
        self._offset = SIZE
        self._opened = Event()
        self._opener: Thread | None = None
        self._syncer: Thread | None = None

    def open(self) -> None:
        """Allocate the files, in a thread. Until that is done, `write` returns false."""
        if not boot_id():
            return  # after a crash nobody could tell what is of an earlier life: files are synced one by one
        self._opener = Thread(target=self._allocate, name="aiohttp-jobs-journal", daemon=True)
        self._opener.start()

    def close(self) -> None:
        """Sync all files in place, so that the journal is no longer needed."""
        for thread in (self._opener, self._syncer):
            if thread is not None:
                thread.join()
        if self._generation:
            sync_everything(self._folder)
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._opened.clear()
        self._descriptors.clear()

    def write(self, entries: Sequence[JournalEntry]) -> bool:
        """Make `entries` durable; false when the journal cannot be used. Raises ``OSError``."""
        if not self._opened.is_set():
            return False
        data = self._encoded(entries)
        if len(data) > SIZE - self._offset:
            self._switch()
            data = self._encoded(entries)
            if len(data) > SIZE - self._offset:
                return False
        _write_through(self._descriptors[self._active], data, self._offset)
        self._offset += len(data)
        return True

    def _encoded(self, entries: Sequence[JournalEntry]) -> bytes:
        return b"".join(entry.encoded(self._generation) for entry in entries)

    def _switch(self) -> None:
        if self._generation:
            self._clean[self._active].clear()
            full, self._active = self._active, 1 - self._active
            self._clean[self._active].wait()
            self._syncer = Thread(target=self._sync, args=(full,), name="aiohttp-jobs-journal", daemon=True)
            self._syncer.start()
        self._generation += 1
        header = _HEADER.pack(_MAGIC, self._generation, boot_id().encode()[:36])
        _write_through(self._descriptors[self._active], header, 0)
        self._offset = _START

    def _sync(self, number: int) -> None:
        try:
            sync_everything(self._folder)
        except OSError as error:
            self._opened.clear()  # the disk is failing: every change is to find that out for itself
            message = "The file system cannot be synced; files are synced one by one instead"
            self._storage.report(error, _logger, message)
        self._clean[number].set()

    def _allocate(self) -> None:
        try:
            if free_bytes(self._folder) < 2 * SIZE + _LEFT_FREE:
                return  # what little room there is is needed for more than speed
            for number, clean in enumerate(self._clean):
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
                descriptor = open_regular(self._folder / f"journal.{number}", flags)
                self._descriptors.append(descriptor)
                # Zeros and not a hole: a write changes nothing but data then, and is synced faster. Not all
                # of them at once in memory: the C library would keep what is freed from then on.
                for offset in range(0, SIZE, len(_ZEROS)):
                    if os.pwrite(descriptor, _ZEROS, offset) < len(_ZEROS):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                sync_file(descriptor)
                clean.set()
            descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            sync_file(descriptor)
            os.close(descriptor)
        except OSError:  # a full disk: everything is synced as files instead
            for number in range(len(self._descriptors)):
                with contextlib.suppress(OSError):
                    os.unlink(self._folder / f"journal.{number}")
            return
        self._opened.set()


def read_journal(folder: Path) -> Iterator[JournalEntry]:
    """The entries in `folder` from before the last boot of the system."""
    for number in (0, 1):
        try:
            data = read_file(folder / f"journal.{number}", SIZE)
        except FileNotFoundError:
            continue
        except UnreadableFileError as error:
            _logger.error("A journal that a process left behind cannot be used: %s", error)
            continue
        if len(data) >= _START and data.startswith(_MAGIC):
            _, generation, boot = _HEADER.unpack_from(data)
            if boot.rstrip(b"\0").decode("ascii", "replace") != boot_id():
                yield from _entries(data, generation)


def _entries(data: bytes, generation: int) -> Iterator[JournalEntry]:
    position = _START
    while position + _ENTRY.size <= len(data):
        found, checksum, length, kind, run, folder = _ENTRY.unpack_from(data, position)
        position += _ENTRY.size
        body = data[position : position + run + folder + length]
        lengths = (length, kind, run, folder)
        if found != generation or _checksum(generation, lengths, body) != checksum:
            return
        if kind not in set(Kind) or b"/" in body[: run + folder]:
            return  # none that was written here
        position += len(body)
        yield JournalEntry(
            Kind(kind),
            os.fsdecode(body[:run]),
            os.fsdecode(body[run : run + folder]),
            body[run + folder :],
        )


def _bytes(name: str) -> bytes:
    """As `os.fsencode`, which is asked six times for each job and nearly always has only this to do."""
    return name.encode() if name.isascii() else os.fsencode(name)


def _checksum(generation: int, lengths: tuple[int, int, int, int], body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(b"(%d, (%d, %d, %d, %d))" % (generation, *lengths)))


def boot_id() -> str:
    """Identifies the current boot of the system; empty if unknown."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def sync_everything(folder: Path) -> None:
    """Sync the whole file system of `folder`."""
    try:
        call = ctypes.CDLL(None, use_errno=True).syncfs
    except (AttributeError, OSError):
        os.sync()
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if call(descriptor) != 0:
            raise OSError(ctypes.get_errno(), "syncfs failed")
    finally:
        os.close(descriptor)


def _write_through(descriptor: int, data: bytes, offset: int) -> None:
    if hasattr(os, "RWF_DSYNC"):
        written = os.pwritev(descriptor, [data], offset, os.RWF_DSYNC)
    else:
        written = os.pwrite(descriptor, data, offset)
        sync_file(descriptor)
    if written != len(data):
        raise OSError(errno.EIO, "the journal was written only in part")
