"""GroupCommit: the one thread that changes the store's files. Concurrent changes share one sync."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Generic, TypeVar, TypeVarTuple

from ....errors import JobsError
from ....system.atomic import sync_file, sync_folder
from ....system.guarded_files import open_regular
from ....system.storage_state import StorageState
from .journal import LARGEST, Journal, JournalEntry

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_MOST_AT_ONCE = 64
_MOST_UNTIDY = 1000
_BREATH_SECONDS = 0.002
"""Whoever was told goes on first: what nobody waits for would take the processor from them."""
_TIDY_SECONDS = 0.05
"""From one tidying to the next: what is put away is only taken out again for a job that comes soon."""
_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class CommittedChange(Generic[T]):
    """A change that is made but not durable yet.

    `entry` is its journal entry; without the journal, `files` and then `folders` must be synced. `value` is
    the result for the caller. `afterwards` is called in the same thread once the change is durable, and
    nobody waits for it. `undo` reverts a change that cannot be made durable; it returns false when it is too
    late because something else depends on it, and the change stays. Where it raises a `JobsError`, whoever
    asked is told that.
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

    `tidy` is called in the same thread when it is idle, though not again at once, and now and then if it
    never is.
    """

    def __init__(self, journal: Journal, tidy: Callable[[], None], storage: StorageState) -> None:
        self._journal = journal
        self._storage = storage
        self._tidy = tidy
        self._orders: SimpleQueue[_Order | None] = SimpleQueue()
        self._closed = True
        self._thread = Thread(target=self._serve, name="aiohttp-jobs-committer", daemon=True)

    def open(self) -> None:
        self._closed = False
        self._thread.start()

    def close(self) -> None:
        """Finish the requested changes. Blocks."""
        if self._closed:
            return
        self._closed = True
        self._orders.put(None)
        self._thread.join()

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
        going, untidy, tidy_at = True, 0, 0.0
        while going:
            pause = _BREATH_SECONDS if left else max(_BREATH_SECONDS, tidy_at - time.monotonic())
            orders = self._wait(pause if left or untidy else None)
            going = None not in orders
            batch = [order for order in orders if order is not None]
            for order in batch:
                try:
                    order.change = order.work(*order.arguments)
                except BaseException as error:
                    order.error = error
            self._make_durable([order for order in batch if order.change is not None])
            self._undo([order for order in batch if order.error is not None])
            _tell(batch)
            left += batch
            untidy += len(batch)
            is_at_rest = not (batch and going)
            if is_at_rest or len(left) > 1:
                self._do_the_rest(left)
                left = []
            if not going or untidy > _MOST_UNTIDY or (is_at_rest and time.monotonic() >= tidy_at):
                try:
                    self._tidy()
                except Exception as error:  # this thread has to go on, whatever jobs have left
                    message = "What jobs have left behind cannot be removed"
                    self._storage.report(error, _logger, message)
                untidy, tidy_at = 0, time.monotonic() + _TIDY_SECONDS

    def _undo(self, failed: Sequence[_Order]) -> None:
        """Nobody is to find what was refused."""
        for order in failed:
            if order.change is None or order.change.undo is None:
                continue
            try:
                if not order.change.undo():
                    order.error = None
            except JobsError as error:
                order.error = error
                message = "What the disk refused cannot be taken back yet, which is tried again: %s"
                self._storage.report(error.__cause__ or error, _logger, message, error)
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
        noted = [o for o in orders if o.change and o.change.entry and len(o.change.entry.data) <= LARGEST]
        entries = [o.change.entry for o in noted if o.change and o.change.entry]
        in_journal: set[int] = set()
        try:
            if entries and self._journal.write(entries):
                in_journal = set(map(id, noted))
        except OSError as error:
            message = "The journal cannot be written; files are synced one by one instead"
            self._storage.report(error, _logger, message)
        _sync([order for order in orders if id(order) not in in_journal])


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
