"""Redirects what a MainLoop job prints, and optionally logs, to the job's log; everything else goes on as
before.

The job is found by context variables, so what it starts prints to its log too.
"""

from __future__ import annotations

import asyncio
import io
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, TextIO

from .output.log import OutputLog

_UNWRITTEN_BYTES = 1 << 20


class Sink:
    """Where a job's output goes; closed when the job has ended."""

    def __init__(self, log: OutputLog, logs: logging.Formatter | None) -> None:
        self.log: OutputLog | None = log
        self.logs = logs
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def write(self, text: str) -> None:
        """Append to the job's output, from any thread."""
        if threading.get_ident() == self._thread:
            self._append(text)
        else:
            with suppress(RuntimeError):  # the loop is closed, and the job long gone
                self._loop.call_soon_threadsafe(self._append, text)

    def _append(self, text: str) -> None:
        if self.log is None:
            return
        self.log.append(text.encode("utf-8", "replace"))
        if self.log.unwritten > _UNWRITTEN_BYTES:
            self.log.flush()  # the job blocks the loop by its own choice; memory stays bounded


_sink: ContextVar[Sink | None] = ContextVar("aiohttp_jobs_sink", default=None)


class _JobAwareStream(io.TextIOBase):
    """Stands in for ``sys.stdout`` or ``sys.stderr``: a job's text goes to its log, the host's on."""

    def __init__(self, host_stream: TextIO) -> None:
        self.host_stream = host_stream
        self.users = 0

    def write(self, text: str) -> int:
        sink = _sink.get()
        if sink is None or sink.log is None:
            return self.host_stream.write(text)
        sink.write(text)
        return len(text)

    def flush(self) -> None:
        self.host_stream.flush()

    def writable(self) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.host_stream, name)


class _JobAwareHandler(logging.Handler):
    """On the root logger: records of a job whose logs are asked for go to its log, too."""

    users = 0

    def emit(self, record: logging.LogRecord) -> None:
        sink = _sink.get()
        if sink is not None and sink.log is not None and sink.logs is not None:
            with suppress(Exception):  # what cannot be formatted is told by the host's own handlers
                sink.write(sink.logs.format(record) + "\n")
            return
        last = logging.lastResort
        if last is not None and record.levelno >= last.level and not self._has_other(record.name):
            last.handle(record)  # as if this handler were not there

    def _has_other(self, name: str) -> bool:
        logger: logging.Logger | None = logging.getLogger(name)
        while logger is not None:
            if any(handler is not self for handler in logger.handlers):
                return True
            logger = logger.parent if logger.propagate else None
        return False


@contextmanager
def captured_streams(log: OutputLog, logs: logging.Formatter | None = None) -> Iterator[Sink]:
    """Redirect what this task and its children print to `log` while the block runs.

    What they log goes there too, formatted by `logs`, if that is given.
    """
    sink = Sink(log, logs)
    token = _sink.set(sink)
    streams = {name: _join(name) for name in ("stdout", "stderr")}
    handler = _join_log() if logs is not None else None
    try:
        yield sink
    finally:
        sink.log = None
        _sink.reset(token)
        if handler is not None:
            handler.users -= 1
            if not handler.users:
                logging.root.removeHandler(handler)
        for name, stream in streams.items():
            stream.users -= 1
            if not stream.users and getattr(sys, name) is stream:
                setattr(sys, name, stream.host_stream)


def _join(name: str) -> _JobAwareStream:
    current = getattr(sys, name)
    stream = current if isinstance(current, _JobAwareStream) else _JobAwareStream(current)
    stream.users += 1
    setattr(sys, name, stream)
    return stream


def _join_log() -> _JobAwareHandler:
    found = (handler for handler in logging.root.handlers if isinstance(handler, _JobAwareHandler))
    handler = next(found, None)
    if handler is None:
        handler = _JobAwareHandler()
        logging.root.addHandler(handler)
    handler.users += 1
    return handler
