"""A small process beside a worker, which ends the worker's commands when that dies, or holds no longer.

``python dead_mans_switch.py PID VARIABLE VALUE`` reads lines: ``until SECONDS`` of the clock that goes on
while the machine sleeps, ``leader PID START`` of a process that leads a session, and ``end``, after which it
does nothing more. It imports nothing of the package, so that it is there at once and costs little.

Nobody else's process is ever killed. One is chosen that has the worker's mark in its environment, that is in
the session of a leader (by its number and the moment of its start, which no two processes have in common),
or that such a one has started. It is held by a pidfd before it is looked at for the last time: what took its
number since then is not what the signal goes to.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

_LONGEST_PAUSE = 1.0
"""Waiting does not count the time for which the machine slept; so no wait is a long one."""
_ROUND_SECONDS = 0.02
_MOST_SECONDS = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")
_MOST_LEADERS = 1000


class Stat(NamedTuple):
    """What the kernel says of a process: its parent, its session, and when it started, in ticks."""

    state: str
    parent: int
    session: int
    start: str


def stat_of(pid: int) -> Stat | None:
    """Of a process that there is, in proc(5)'s ``stat``."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return Stat(fields[0].decode(), int(fields[1]), int(fields[3]), fields[19].decode())


def is_older(stat: Stat, moment: float) -> bool:
    """Whether a process started before a moment of the clock that goes on while the machine sleeps."""
    return int(stat.start) < int(moment * _TICKS)


class Switch:
    """`mark` is what the environment of everything has that `worker`'s commands start."""

    def __init__(self, worker: int, mark: bytes) -> None:
        self._worker = worker
        self._mark = mark
        self._until: float | None = None
        self._leaders: dict[int, str] = {}

    def take(self, line: str) -> bool:
        """Take in one line; false when it was the last."""
        word, *values = line.split()
        if word == "until":
            self._until = float(values[0])
        elif word == "leader":
            if len(self._leaders) >= _MOST_LEADERS:
                self._leaders = {pid: start for pid, start in self._leaders.items() if _is_still(pid, start)}
            self._leaders[int(values[0])] = values[1]
        return word != "end"

    @property
    def left(self) -> float:
        """For how many seconds the commands may run on."""
        return _LONGEST_PAUSE if self._until is None else self._until - _now()

    def end_all(self, before: float) -> int:
        """Kill all that had started `before`; how many there are, those that start meanwhile too.

        What started later may be of a worker that is held again, which is not known here yet. Who has
        started others is killed before them: it would go on without them, and end as it liked.
        """
        chosen = self._chosen()
        for pid, stat in sorted(chosen.items(), key=lambda each: int(each[1].start)):
            if is_older(stat, before):
                _kill(pid, stat.start)
        return len(chosen)

    def _chosen(self) -> dict[int, Stat]:
        all_of_them = {pid: stat for pid in _pids() if (stat := stat_of(pid)) is not None}
        leaders = {pid for pid, start in self._leaders.items() if _is_still(pid, start)}
        chosen = {pid for pid, stat in all_of_them.items() if stat.session in leaders or self._is_marked(pid)}
        while more := {pid for pid, stat in all_of_them.items() if stat.parent in chosen} - chosen:
            chosen |= more
        chosen -= {self._worker, os.getpid()}
        return {pid: all_of_them[pid] for pid in sorted(chosen) if all_of_them[pid].state != "Z"}

    def _is_marked(self, pid: int) -> bool:
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                return self._mark in file.read().split(b"\0")
        except OSError:
            return False


class Told:
    """The lines that the worker has written."""

    is_over = False

    def __init__(self) -> None:
        os.set_blocking(0, False)
        self._rest = b""

    def lines(self) -> list[str]:
        """Those that there are now."""
        data = bytearray(self._rest)
        with contextlib.suppress(BlockingIOError):
            while more := os.read(0, 65536):
                data += more
            self.is_over = True
        *lines, self._rest = bytes(data).split(b"\n")
        return [line.decode() for line in lines]


def _now() -> float:
    clock = getattr(time, "CLOCK_BOOTTIME", None)  # Linux has it
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _is_still(pid: int, start: str) -> bool:
    stat = stat_of(pid)
    return stat is not None and stat.start == start


def _kill(pid: int, start: str) -> None:
    if sys.platform != "linux":
        return  # there are no pidfds; whoever starts this process looks before
    with contextlib.suppress(OSError):
        held = os.pidfd_open(pid)
        try:
            if _is_still(pid, start):
                signal.pidfd_send_signal(held, signal.SIGKILL)
        finally:
            os.close(held)


def main(pid: int, variable: str, value: str) -> None:
    """Until the worker says that it ends, or ends."""
    if sys.platform != "linux":
        raise SystemExit("This is for Linux alone: it needs pidfds and /proc.")
    # Whatever the worker's terminal or service manager ends, it ends by the worker's own end.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    switch = Switch(pid, f"{variable}={value}".encode())
    told = Told()
    worker = os.pidfd_open(pid) if os.getppid() == pid else None
    poll = select.poll()
    poll.register(0, select.POLLIN)
    if worker is not None:
        poll.register(worker, select.POLLIN)
    until_dead = math.inf
    while _now() < until_dead:
        began, is_dead = _now(), os.getppid() != pid
        # What it has told before it died is read to the end, although it may have died before this started.
        if not all(switch.take(line) for line in told.lines()):
            return
        if is_dead or told.is_over:
            until_dead = min(until_dead, began + _MOST_SECONDS)
        elif switch.left > 0:
            poll.poll(1000 * min(switch.left, _LONGEST_PAUSE))
            continue
        # Again and again: until it is held once more, or is dead and there is nothing left of it.
        left = switch.end_all(began)
        if not left and until_dead < math.inf:
            return
        time.sleep(_ROUND_SECONDS if left else _LONGEST_PAUSE / 2)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
