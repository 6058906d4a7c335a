"""Restores what a MainLoop job has changed in the host's process, when the job has ended.

``watchdog`` limits its time, ``mainloop`` redirects its output.
"""

from __future__ import annotations

import asyncio
import builtins
import gc
import locale
import logging
import os
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from operator import is_
from types import FrameType
from typing import Any

_UNSET = object()
# What a look costs, some 0.06 ms, is much more than the step of a job that waits for nothing.
_LONG_PAUSE = 0.002
_LONGEST_STRETCH = 0.005
_STATUS = "/proc/self/status"
_STATUS_BYTES = 4096
_HANDLED = (b"SigIgn", b"SigCgt")
"""The signals that are ignored or caught, as bits: proc_pid_status(5)."""
_FIXED = {getattr(signal, name, None) for name in ("SIGKILL", "SIGSTOP")}
# Plain numbers, as members of the enumeration are slow to count and to compare with.
_SIGNALS = frozenset(int(number) for number in signal.valid_signals() - _FIXED)
# To ask os.umask is to set it, for other threads too.
_UMASK = ("umask", None)
# As bytes, where the system has it so: made into texts, each would be decoded at each look.
_ENVIRONMENT: MutableMapping[Any, Any] = getattr(os, "environb", os.environ)
_TEXTS = {bytes, str}
_logger = logging.getLogger(__name__)

Get = Callable[[], Any]
Put = Callable[[Any], object]
Name = tuple[str, Any]
Tables = dict[str, dict[Any, Any]]
Setting = tuple[Name, Get, Put]
"""The name of what a job may change, how its value is read, and what puts an earlier one back."""


class HostState:
    """Records what a job changes while `watching`, so that `put_back` restores exactly that.

    Changes that the host or another job makes in between stay. Steps in quick succession are recorded
    together, for 5 ms at most: the host's changes between them count as the job's.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        settings = (*_SETTINGS, *_loop_settings(loop))
        # By place, as to make and compare a dictionary of so many names takes longer than to ask for all.
        self._names = (*(name for name, _, _ in settings), _UMASK)
        self._gets = tuple(get for _, get, _ in settings)
        self._puts = {name: put for name, _, put in settings}
        self._changed: dict[Name, tuple[Any, Any]] = {}
        self._before: tuple[list[Any], Tables] | None = None
        self._began = 0.0
        self._is_busy = False
        self._looked = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Record changes while the block runs, in which only the job runs on this thread."""
        if self._before is None:
            self._began = time.monotonic()
            self._is_busy = self._began - self._looked < _LONG_PAUSE
            self._before = self._now()
        try:
            yield
        finally:
            if not self._is_busy or time.monotonic() - self._began > _LONGEST_STRETCH:
                self._look()
            elif self._timer is None:
                self._timer = self._loop.call_later(_LONGEST_STRETCH, self._look)

    def _look(self) -> None:
        """Note what differs from the last look before a step."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (before := self._before) is None:
            return
        self._before = None
        (values, tables), (values_now, tables_now) = before, self._now()
        for name, old, value in zip(self._names, values, values_now, strict=True):
            if old is not value and not _is_same(old, value):
                self._note(name, old, value)
        for table, entries in tables_now.items():
            then = tables.get(table, {})
            if not _is_unchanged(then, entries):
                self._compare(_named(table, then), _named(table, entries))
        self._looked = time.monotonic()

    def _compare(self, then: dict[Name, Any], now: dict[Name, Any]) -> None:
        for name, value in now.items():
            old = then.pop(name, _UNSET)
            if old is not value and not _is_same(old, value):
                self._note(name, old, value)
        for name, old in then.items():
            self._note(name, old, _UNSET)

    def _now(self) -> tuple[list[Any], Tables]:
        """All values, as `_names` has them, and the entries of tables that a job may change."""
        status = _own_status()
        try:
            values = [get() for get in self._gets]
        except Exception:  # the job may have left anything there
            values = [_value(get) for get in self._gets]
        umask = _field(status, b"Umask")
        values.append(_UNSET if umask is None else int(umask, 8))
        tables: Tables = {"builtins": vars(builtins).copy()}
        with suppress(Exception):
            tables["environment"] = {**_ENVIRONMENT}
        with suppress(Exception):
            tables["signal"] = _signal_handlers(status)
        return values, tables

    def _note(self, name: Name, old: Any, new: Any) -> None:
        first, _ = self._changed.get(name, (old, None))
        self._changed[name] = (first, new)

    def put_back(self) -> None:
        """Undo the job's changes that are still in place. Logs what cannot be undone; does not raise."""
        give_back_log_locks()
        self._look()
        if not self._changed:
            return
        values, tables = self._now()
        found = dict(zip(self._names, values, strict=True))
        for table, entries in tables.items():
            found |= _named(table, entries)
        for name, (old, new) in self._changed.items():
            put = self._puts.get(name) or _entry_put(name)
            if put is not None and _is_same(found.get(name, _UNSET), new) and not _is_same(old, new):
                try:
                    put(old)
                except Exception:
                    _logger.exception("What a job has changed cannot be put back: %s", name[0])
        self._changed.clear()


@contextmanager
def plain_interrupt_handler() -> Iterator[None]:
    """While the block runs, what ``asyncio.Runner`` does at SIGINT stands behind a plain function.

    To hand out a handler, Python before 3.14 makes a text of it, if it is no number, and the text of
    asyncio's has the whole main task in it: at each look at a job that would take as long as all the rest.
    """
    if sys.version_info >= (3, 14) or threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGINT)
    if not isinstance(handler, partial):
        yield
        return

    def interrupted(number: int, frame: FrameType | None) -> None:
        handler(number, frame)

    signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is interrupted:
            signal.signal(signal.SIGINT, handler)


def give_back_log_locks() -> None:
    """Release the locks of `logging` that this thread holds: a job that was stopped may have kept one.

    All other threads would wait for it forever at their next message.
    """
    loggers = [logging.root, *list(logging.root.manager.loggerDict.values())]
    handlers = [handler for logger in loggers for handler in getattr(logger, "handlers", ())]
    locks: list[Any] = [getattr(logging, "_lock", None), *(getattr(each, "lock", None) for each in handlers)]
    for lock in locks:
        with suppress(RuntimeError, AttributeError):  # it is not ours, or there is none
            while True:
                lock.release()


def _is_same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    try:
        return type(one) is type(other) and isinstance(one, _PLAIN) and bool(one == other)
    except Exception:
        return False


_PLAIN = (str, bytes, int, float, tuple, type(None))


def _value(get: Get) -> Any:
    """The value, if it can be read."""
    with suppress(Exception):
        return get()
    return _UNSET


def _attribute(owner: Any, name: str, called: str = "") -> Setting:
    return (
        (called or f"{owner.__name__}.{name}", None),
        partial(getattr, owner, name),
        partial(setattr, owner, name),
    )


def _put_filters(old: tuple[Any, ...]) -> None:
    warnings.resetwarnings()
    for each in reversed(old):
        warnings.filters.insert(0, each)  # type: ignore[attr-defined]  # typeshed has a Sequence


_SETTINGS: tuple[Setting, ...] = (
    (("locale", None), partial(locale.setlocale, locale.LC_ALL), partial(locale.setlocale, locale.LC_ALL)),
    (("socket timeout", None), socket.getdefaulttimeout, socket.setdefaulttimeout),
    (("working folder", None), os.getcwd, os.chdir),
    # Rounded: what was set is not exactly what is read.
    (("switch interval", None), lambda: round(sys.getswitchinterval(), 9), sys.setswitchinterval),
    (("recursion limit", None), sys.getrecursionlimit, sys.setrecursionlimit),
    (("int digits", None), sys.get_int_max_str_digits, sys.set_int_max_str_digits),
    (("trace", None), sys.gettrace, sys.settrace),
    (("profile", None), sys.getprofile, sys.setprofile),
    (("threads' trace", None), threading.gettrace, threading.settrace),
    (("threads' profile", None), threading.getprofile, threading.setprofile),
    (("stack size", None), threading.stack_size, threading.stack_size),
    (("gc", None), gc.isenabled, lambda old: gc.enable() if old else gc.disable()),
    (("gc threshold", None), gc.get_threshold, lambda old: gc.set_threshold(*old)),
    (("gc debug", None), gc.get_debug, gc.set_debug),
    (("sys.path", None), lambda: tuple(sys.path), lambda old: sys.path.__setitem__(slice(None), old)),
    (("warnings", None), lambda: tuple(warnings.filters), _put_filters),
    (
        ("async generators", None),
        lambda: tuple(sys.get_asyncgen_hooks()),
        lambda old: sys.set_asyncgen_hooks(*old),
    ),
    (
        ("origin depth", None),
        sys.get_coroutine_origin_tracking_depth,
        sys.set_coroutine_origin_tracking_depth,
    ),
    _attribute(sys, "stdin"),
    _attribute(sys, "stdout"),
    _attribute(sys, "stderr"),
    _attribute(sys, "excepthook"),
    _attribute(sys, "unraisablehook"),
    _attribute(sys, "displayhook"),
    _attribute(sys, "breakpointhook"),
    _attribute(threading, "excepthook"),
    _attribute(os, "environ", "os.environ itself"),
)
"""What is the same for every loop."""


def _loop_settings(loop: asyncio.AbstractEventLoop) -> tuple[Setting, ...]:
    slow = "slow_callback_duration"  # not of every loop
    return (
        (("debug mode", None), loop.get_debug, loop.set_debug),
        (("exception handler", None), loop.get_exception_handler, loop.set_exception_handler),
        (("task factory", None), loop.get_task_factory, loop.set_task_factory),
        (("slow callbacks", None), partial(getattr, loop, slow, None), partial(setattr, loop, slow)),
    )


def _own_status() -> bytes:
    """What Linux tells of this process; elsewhere nothing."""
    try:
        descriptor = os.open(_STATUS, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, _STATUS_BYTES)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def _field(status: bytes, name: bytes) -> bytes | None:
    _, found, rest = status.partition(b"\n" + name + b":")
    return rest[: rest.index(b"\n")] if found else None


def _signal_handlers(status: bytes) -> dict[Any, Any]:
    """Handlers that are not the default, where the system tells which signals have one; else all."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    masks = [_field(status, name) for name in _HANDLED]
    numbers = _SIGNALS if None in masks else _signals_in(*(int(mask or b"0", 16) for mask in masks))
    handlers = [(number, signal.getsignal(number)) for number in numbers]
    return {number: handler for number, handler in handlers if handler is not None}  # of C code


@lru_cache(maxsize=8)
def _signals_in(ignored: int, caught: int) -> frozenset[int]:
    handled = ignored | caught
    return frozenset(number for number in _SIGNALS if handled >> number - 1 & 1)


def _is_unchanged(then: dict[Any, Any], now: dict[Any, Any]) -> bool:
    """Whether nothing has changed for sure, which is nearly always so and shows at once."""
    if len(then) == len(now) and all(map(is_, then, now)) and all(map(is_, then.values(), now.values())):
        return True
    if then.keys() != now.keys():
        return False
    # Texts of the environment may be made anew when it is asked; of others equality says nothing.
    return set(map(type, then.values())) == set(map(type, now.values())) <= _TEXTS and then == now


def _named(table: str, entries: dict[Any, Any]) -> dict[Name, Any]:
    return {(table, key): value for key, value in entries.items()}


def _entry_put(name: Name) -> Put | None:
    """Puts back the umask, a signal's handler or an entry of a table, also one that the job has removed."""
    kind, key = name
    if name == _UMASK:
        return os.umask
    if kind == "signal":
        return lambda old: signal.signal(key, signal.SIG_DFL if old is _UNSET else old)
    tables: Mapping[str, MutableMapping[Any, Any]] = {"environment": _ENVIRONMENT, "builtins": vars(builtins)}
    return partial(_put_entry, tables[kind], key) if kind in tables else None


def _put_entry(table: MutableMapping[Any, Any], key: Any, old: Any) -> None:
    if old is _UNSET:
        table.pop(key, None)
    else:
        table[key] = old
