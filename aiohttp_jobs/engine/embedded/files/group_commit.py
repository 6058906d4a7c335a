"""GroupCommit: the one thread that changes the store's files. Concurrent changes share one sync.

While changes are asked for faster than the disk writes them, a second thread writes the journal (``journal``)
beside it; nothing but that is done there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Generic, TypeVar, TypeVarTuple

from ....system.atomic import sync_file, sync_folder
from ....system.guarded_files import open_regular
from ....system.storage_state import StorageState
from .journal import LARGEST, Journal, JournalEntry

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_MOST_AT_ONCE = 64
"""So many changes are made durable with one write, and so many are made before others are durable."""
_MOST_UNTIDY = 1000
_BREATH_SECONDS = 0.002
"""Whoever was told goes on first: what nobody waits for would take the processor from them."""
_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class CommittedChange(Generic[T]):
    """A change that is made but not durable yet.

    `entry` is its journal entry; without the journal, `files` and then `folders` must be synced. `value` is
    the result for the caller. `afterwards` is called in the same thread once the change is durable, and
    nobody waits for it. `undo` reverts a change that cannot be made durable, in the same thread, once later
    changes that cannot be either have been reverted; it returns false when it is too late because something
    else depends on it, and the change stays.
    """

    value: T
    entry: JournalEntry | None = None
    files: Sequence[str | Path] = ()
    folders: Sequence[str | Path] = ()
    afterwards: Callable[[], None] | None = None
    undo: Callable[[], bool] | None = None


@dataclass(slots=True)
class _Order:
    work: Callable[..., CommittedChange[Any]]
    arguments: tuple[Any, ...]
    future: asyncio.Future[Any]
    change: CommittedChange[Any] | None = None
    error: BaseException | None = field(default=None)


class GroupCommit:
    """Makes changes in the order in which they are requested; each is durable when `run` returns.

    A change may be made before an earlier one is durable, but becomes durable after it and is told after it.
    `tidy` is called in the same thread when it is idle, and now and then if it never is.
    """

    def __init__(self, journal: Journal, tidy: Callable[[], None], storage: StorageState) -> None:
        self._journal = journal
        self._storage = storage
        self._tidy = tidy
        self._orders: SimpleQueue[_Order | None] = SimpleQueue()
        self._closed = True
        self._writer = _JournalWriter(journal)
        self._thread = Thread(target=self._serve, name="aiohttp-jobs-committer", daemon=True)

    def open(self) -> None:
        self._closed = False
        self._writer.open()
        self._thread.start()

    def close(self) -> None:
        """Finish the requested changes. Blocks."""
        if self._closed:
            return
        self._closed = True
        self._orders.put(None)
        self._thread.join()
        self._writer.close()

    def run(self, work: Callable[[*Ts], CommittedChange[T]], *arguments: *Ts) -> asyncio.Future[T]:
        """Have the thread call `work` and make its change durable; asked for at once, whoever waits when.

        The future has the change's value, what `work` raised, or an ``OSError`` when its change cannot be
        made durable.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self._closed:
            future.set_exception(RuntimeError("the store is not open"))
        else:
            self._orders.put(_Order(work, arguments, future))
        return future

    def _serve(self) -> None:
        left: list[_Order] = []
        going, untidy, is_busy = True, 0, False
        while going:
            orders = self._wait(_BREATH_SECONDS if left or untidy or self._writer.count else None)
            going = None not in orders
            batch = [order for order in orders if order is not None]
            for order in batch:
                try:
                    order.change = order.work(*order.arguments)
                except BaseException as error:
                    order.error = error
            if is_busy and going and self._writer.takes(batch):
                if batch:
                    self._writer.put(batch)
                left += self._written(_MOST_AT_ONCE)
            else:
                left += self._written(0)
                self._make_durable([order for order in batch if order.change is not None])
                # One change at a time is not worth waking another thread for.
                is_busy = not self._orders.empty()
                self._undo(batch)
                _tell(batch)
                left += batch
            untidy += len(batch)
            is_at_rest = not (batch and going) and not self._writer.count
            is_busy = is_busy and not is_at_rest
            if not (batch and going) or len(left) > 1:
                self._do_the_rest(left)
                left = []
            if is_at_rest or untidy > _MOST_UNTIDY:
                left += self._written(0)
                try:
                    self._tidy()
                except Exception as error:  # this thread has to go on, whatever jobs have left
                    message = "What jobs have left behind cannot be removed"
                    self._storage.report(error, _logger, message)
                untidy = 0

    def _written(self, most: int) -> list[_Order]:
        """The orders that the journal's thread is done with. Blocks while it has more than `most` others."""
        done: list[_Order] = []
        while self._writer.count > most or self._writer.has_answered():
            answer = self._writer.get()
            if not answer.is_written:
                # What was made since may be on top of it: all of it is one batch now.
                while self._writer.count:
                    answer.orders.extend(self._writer.get().orders)
                self._writer.go_on()
                self._finish_refused(answer.orders, answer.error)
            done += answer.orders
        return done

    def _finish_refused(self, batch: Sequence[_Order], refusal: Exception | None) -> None:
        """What the journal's thread could not write, for the reason `refusal` if it is not for its size."""
        if refusal is not None:
            self._report_journal(refusal)
        _sync(batch)
        for order in batch:
            if order.change is not None and isinstance(order.error, FileNotFoundError):
                # A later change has moved its file on, and either is durable or is undone before it.
                order.error = refusal or order.error
        self._undo(batch)
        _tell(batch)

    def _undo(self, batch: Sequence[_Order]) -> None:
        """Nobody is to find what was refused. Newest first, as a change may be on top of an earlier one."""
        for order in reversed(batch):
            if order.error is None or order.change is None or order.change.undo is None:
                continue
            try:
                if not order.change.undo():
                    order.error = None
            except OSError as error:
                message = "What the disk refused cannot be taken back either; it may still be carried out"
                self._storage.report(error, _logger, message)

    def _do_the_rest(self, batch: Sequence[_Order]) -> None:
        for order in batch:
            if order.change is not None and order.error is None and order.change.afterwards is not None:
                try:
                    order.change.afterwards()
                except Exception as error:
                    message = "Something is left undone after a change to the store"
                    self._storage.report(error, _logger, message)

    def _wait(self, seconds: float | None) -> list[_Order | None]:
        """The orders there are, once there is one, or none after that time."""
        orders: list[_Order | None] = []
        with contextlib.suppress(Empty):
            orders.append(self._orders.get(timeout=seconds))
            while len(orders) < _MOST_AT_ONCE:
                orders.append(self._orders.get_nowait())
        return orders

    def _make_durable(self, orders: Sequence[_Order]) -> None:
        noted = [order for order in orders if _fits_journal(order)]
        in_journal: set[int] = set()
        try:
            if noted and self._journal.write(_entries(noted)):
                in_journal = set(map(id, noted))
        except OSError as error:
            self._report_journal(error)
        _sync([order for order in orders if id(order) not in in_journal])

    def _report_journal(self, error: Exception) -> None:
        message = "The journal cannot be written; files are synced one by one instead"
        self._storage.report(error, _logger, message)


@dataclass(frozen=True, slots=True)
class _Answer:
    orders: list[_Order]
    is_written: bool
    error: Exception | None


class _JournalWriter:
    """Writes orders to the journal in a thread of its own, in the order in which they are put, and tells of
    those that are durable.

    Once it could not, it gives back whatever was put since, until `go_on`. `count` orders were put and not
    got back yet; while there are any, nobody else writes the journal. For one thread that puts and gets.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._batches: SimpleQueue[list[_Order] | None] = SimpleQueue()
        self._answers: SimpleQueue[_Answer] = SimpleQueue()
        self._refuses = False
        self._thread = Thread(target=self._serve, name="aiohttp-jobs-journal-writer", daemon=True)
        self.count = 0

    def open(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End the thread, which must have answered for everything. Blocks."""
        self._batches.put(None)
        self._thread.join()

    def takes(self, batch: Sequence[_Order]) -> bool:
        """Whether the journal makes all of `batch` durable, as far as can be told."""
        return self._journal.is_open and all(map(_needs_no_sync, batch))

    def put(self, batch: list[_Order]) -> None:
        self.count += len(batch)
        self._batches.put(batch)

    def has_answered(self) -> bool:
        return not self._answers.empty()

    def get(self) -> _Answer:
        """Of the orders that were put first, those that were written together. Blocks."""
        answer = self._answers.get()
        self.count -= len(answer.orders)
        return answer

    def go_on(self) -> None:
        """Write again what is put from now on; everything that was put before has been got back."""
        self._refuses = False

    def _serve(self) -> None:
        while (batch := self._batches.get()) is not None:
            orders = list(batch)
            with contextlib.suppress(Empty):
                while len(orders) < _MOST_AT_ONCE:
                    orders += self._batches.get_nowait() or ()
            self._answers.put(self._answer(orders))

    def _answer(self, orders: list[_Order]) -> _Answer:
        error: Exception | None = None
        entries = _entries([order for order in orders if _fits_journal(order)])
        try:
            is_written = not self._refuses and (not entries or self._journal.write(entries))
        except Exception as caught:  # whatever it is, the committer has to have an answer
            is_written, error = False, caught
        self._refuses = not is_written
        if is_written:
            _tell(orders)
        return _Answer(orders, is_written, error)


def _fits_journal(order: _Order) -> bool:
    entry = order.change.entry if order.change is not None else None
    return entry is not None and len(entry.data) <= LARGEST


def _needs_no_sync(order: _Order) -> bool:
    change = order.change
    return change is None or _fits_journal(order) or not (change.files or change.folders)


def _entries(orders: Sequence[_Order]) -> list[JournalEntry]:
    return [order.change.entry for order in orders if order.change and order.change.entry]


def _sync(orders: Sequence[_Order]) -> None:
    """Each file by itself, then each folder once; an order fails with what it needs."""
    folders: dict[str | Path, list[_Order]] = {}
    for order in orders:
        if order.change is None:
            continue
        try:
            for path in order.change.files:
                _sync_file(path)
        except OSError as error:
            order.error = error
        else:
            for folder in order.change.folders:
                folders.setdefault(folder, []).append(order)
    for folder, concerned in folders.items():
        try:
            sync_folder(folder)
        except OSError as error:
            for order in concerned:
                order.error = error


def _sync_file(path: str | Path) -> None:
    descriptor = open_regular(path)
    try:
        sync_file(descriptor)
    finally:
        os.close(descriptor)


def _tell(batch: Sequence[_Order]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[_Order]] = {}
    for order in batch:
        by_loop.setdefault(order.future.get_loop(), []).append(order)
    for loop, own in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(_settle, own)


def _settle(orders: Sequence[_Order]) -> None:
    for order in orders:
        if order.future.done():
            continue
        if order.error is not None:
            order.future.set_exception(order.error)
        elif order.change is not None:
            order.future.set_result(order.change.value)
