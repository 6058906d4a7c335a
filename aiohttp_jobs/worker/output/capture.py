"""Captures what a job prints: reads a pipe while the job runs, and appends to the `log` of its output."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import sys
import time
from array import array

from ...model.output import CHUNK
from .log import OutputLog
from .segments import SEGMENT

_FLUSH_BYTES = SEGMENT + CHUNK
"""More than a megabyte: what a result has room for would be written to be read again a moment later."""
_MOST_HELD = 4 * 1024 * 1024
_WIDE_PIPE = 256 * 1024
_FLOOD_PIPE = 1024 * 1024
_FLOOD_READS = 64
_FLOOD_WAIT_SECONDS = 0.02
_FLUSH_SECONDS = 0.25
_FIRST_LOOK_SECONDS = 0.005
_SECOND_LOOK_SECONDS = 0.02
_RETRY_SECONDS = 1.0


class OutputPipe:
    """A pipe that the event loop copies to the log of one job, or of several in turn.

    A job that prints faster than the disk can take it is blocked: only a few chunks are in memory. Output
    between jobs is discarded.
    """

    def __init__(self, log: OutputLog | None = None) -> None:
        """With `log`, a job begins at once, and is the only one."""
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._is_watched = False
        self._has_told = False
        self._is_let_go = False
        self._size = CHUNK
        self._stays = log is None
        # What it is told of at once is all that there is; of other loops that is not known.
        self._tells_all = sys.platform == "linux" and isinstance(self._loop, asyncio.SelectorEventLoop)
        if log is None:
            self._watch()
        else:
            # Most jobs are over before anybody could have read on, and are spared being watched.
            self._timer = self._loop.call_later(_FIRST_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        if has_bytes(self._read_end):
            self._watch()
        else:
            self._timer = self._loop.call_later(_SECOND_LOOK_SECONDS, self._watch)

    def _watch(self) -> None:
        self._timer = None
        if not self._is_watched:
            self._is_watched = True
            self._loop.add_reader(self._read_end, self._on_readable)

    def _watch_no_more(self) -> None:
        if self._is_watched:
            self._is_watched = False
            self._loop.remove_reader(self._read_end)

    def close_write_end(self) -> None:
        """Close our copy of the write end, once the job has its own, so that the pipe ends with the job."""
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def begin(self, log: OutputLog) -> None:
        """Copy to `log` from now on, until `end`."""
        self._log = log
        self._has_told = False

    async def end(self, *, is_told: bool = False) -> None:
        """Take in what the job has printed; what a survivor prints later is not kept.

        `is_told`: the event loop has heard of the job's end by another descriptor that it watches, and runs
        this later. If it has not heard of the pipe by then, nothing was printed: it is told of both at once.
        """
        log = self._log
        try:
            if self._flushing is not None:
                await self._flushed()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            is_empty = is_told and self._tells_all and self._is_watched and not self._has_told
            if log is not None and not is_empty:
                await self._take_in_rest(log)
        finally:
            self._log = None
            if self._is_let_go:
                self._close_read_end()
            elif self._stays:
                self._watch()

    async def _take_in_rest(self, log: OutputLog) -> None:
        """What is still in the pipe. A disk that refuses is left to who asks `log` for its output."""
        while self._read():
            if log.masker is not None:
                await asyncio.sleep(0)  # each piece takes its time
            if log.unwritten < _FLUSH_BYTES:
                continue
            self._watch_no_more()  # what comes meanwhile is read here, and by nobody else
            try:
                await asyncio.to_thread(log.flush)
            except OSError as error:
                log.on_refused(error)
                if log.unwritten >= _MOST_HELD:  # more than a pipe holds: survivors of the job print on
                    return

    async def _flushed(self) -> None:
        """Wait for a flush that is under way. Cancelled, still wait: it reads from what is closed then."""
        if self._flushing is None:
            return
        try:
            await asyncio.shield(self._flushing)
        except asyncio.CancelledError:
            if self._flushing is not None:
                await asyncio.wait([self._flushing])
            raise

    def let_go(self) -> None:
        """Close the pipe, after the current job if there is one."""
        if self._is_let_go:
            return
        self.close_write_end()
        self._is_let_go = True
        if self._log is None:
            self._close_read_end()

    async def close(self) -> None:
        """End the job and close the pipe."""
        self.let_go()
        await self.end()

    def _close_read_end(self) -> None:
        self._watch_no_more()
        if self._read_end >= 0:
            os.close(self._read_end)
            self._read_end = -1

    def _read(self) -> bytes | None:
        """What was read, for the log too; ``b""`` at the pipe's end, ``None`` when it is empty for now."""
        most = self._size
        if self._log is not None:
            most = min(most, self._log.room(_FLUSH_BYTES))
        data = _read_some(self._read_end, most)
        if data and self._log is not None:
            self._log.append(data)
            if len(data) == CHUNK:
                self._widen(_WIDE_PIPE)
        return data

    def _widen(self, size: int) -> None:
        """Let a job that fills the pipe print on while it is read: it and the event loop wake less often."""
        if self._size < size:
            self._size = size
            widen(self._read_end, size)

    def _on_readable(self) -> None:
        self._has_told = True
        data = self._read()
        if data == b"":
            self._watch_no_more()
        elif data is None or self._log is None:
            return
        elif self._log.unwritten >= _FLUSH_BYTES:
            self._watch_no_more()
            self._start_flush(self._log)
        elif self._timer is None and self._flushing is None:
            self._timer = self._loop.call_later(_FLUSH_SECONDS, self._flush_in_time, self._log)

    def _flush_in_time(self, log: OutputLog) -> None:
        self._timer = None
        if log.unwritten:  # who watches has it written at once
            self._start_flush(log)

    def _start_flush(self, log: OutputLog) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._flushing is None:
            self._flushing = self._loop.create_task(self._flush(log))

    async def _flush(self, log: OutputLog) -> None:
        try:
            await asyncio.to_thread(self._flush_and_read_on, log)
        except OSError as error:
            # A full disk: the job waits, unread, until there is room again or its time is over.
            log.on_refused(error)
            self._watch_no_more()
            self._timer = self._loop.call_later(_RETRY_SECONDS, self._start_flush, log)
        else:
            self._watch()
        finally:
            self._flushing = None
            log.changed()

    def _flush_and_read_on(self, log: OutputLog) -> None:
        """Flush; and for a job that goes on printing much, stay here and do no more on the event loop."""
        flood = log.unwritten >= _FLUSH_BYTES
        log.flush()
        if not flood:
            return
        self._widen(_FLOOD_PIPE)
        try:
            self._read_flood(log)
        finally:
            log.flush()

    def _read_flood(self, log: OutputLog) -> None:
        """Read on while there is more at once: to the end of a segment, and then segments if it goes on."""
        # Not for ever: others need the thread too.
        for _ in range(_FLOOD_READS):
            room = SEGMENT - log.size % SEGMENT
            if room == SEGMENT:
                return self._read_segments(log)
            data = _read_some(self._read_end, room)
            if not data:
                return None
            log.append(data, quietly=True)
            log.flush(and_close=False)
        return None

    def _read_segments(self, log: OutputLog) -> None:
        """The same into one buffer, as fresh memory costs more than reading, and with some patience."""
        segment = bytearray(SEGMENT)
        for _ in range(_FLOOD_READS):
            count = _fill(self._read_end, segment)
            if count < SEGMENT:
                log.append(bytes(memoryview(segment)[:count]), quietly=True)
                return
            log.add_segment(segment)


def _read_some(pipe: int, most: int) -> bytes | None:
    """``b""`` at the pipe's end, ``None`` when it is empty for now."""
    try:
        return os.read(pipe, most)
    except BlockingIOError:
        return None


def _fill(pipe: int, buffer: bytearray) -> int:
    """How much of `buffer` could be read before the pipe ended, or nothing more came for a moment."""
    count, end, rest = 0, time.monotonic() + _FLOOD_WAIT_SECONDS, memoryview(buffer)
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    while rest:
        try:
            read = os.readv(pipe, [rest])
        except BlockingIOError:
            if not poll.poll(max(0, end - time.monotonic()) * 1000):
                break
        else:
            if not read:
                break
            count, rest = count + read, rest[read:]
    return count


with contextlib.suppress(ImportError):  # Windows, where no job runs
    import fcntl
    import termios


def has_bytes(pipe: int) -> bool:
    """Whether anything can be read from `pipe` at once."""
    count = array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return bool(count[0])


def widen(pipe: int, size: int) -> None:
    """Give `pipe` room for `size` bytes, where the kernel can do that (Linux) and lets this user."""
    set_size = getattr(fcntl, "F_SETPIPE_SZ", None)
    if set_size is not None:
        with contextlib.suppress(OSError):  # too many large pipes already
            fcntl.fcntl(pipe, set_size, size)
