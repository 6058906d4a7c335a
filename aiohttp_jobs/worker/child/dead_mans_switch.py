"""A small process beside a worker that ends the worker's commands when the worker dies or stops reporting.

``python dead_mans_switch.py PID VARIABLE VALUE`` reads lines: ``until SECONDS`` (a deadline, by the clock
that goes on during suspend), ``leader PID START`` (a process that leads a session), and ``end``. It imports
nothing of the package, so it starts at once and is small.

Only the worker's own processes are killed: those with the worker's mark in their environment, those in the
session of a leader (identified by process id and start time), and their children. A process is opened as a
pidfd before it is checked for the last time, so the signal cannot reach another process that got its id.
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
    """A process's parent, session and start time (in ticks)."""

    state: str
    parent: int
    session: int
    start: str


def stat_of(pid: int) -> Stat | None:
    """Read them from a process's ``stat`` file (proc(5))."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return Stat(fields[0].decode(), int(fields[1]), int(fields[3]), fields[19].decode())


def is_older(stat: Stat, moment: float) -> bool:
    """Whether a process started before `moment`, by the clock that goes on during suspend."""
    return int(stat.start) < int(moment * _TICKS)


class Switch:
    """Ends the commands of `worker`; `mark` is in the environment of all of them."""

    def __init__(self, worker: int, mark: bytes) -> None:
        self._worker = worker
        self._mark = mark
        self._until: float | None = None
        self._leaders: dict[int, str] = {}

    def take(self, line: str) -> bool:
        """Handle one line; false if it was the last."""
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
        """For how many more seconds the commands may run."""
        return _LONGEST_PAUSE if self._until is None else self._until - _now()

    def end_all(self, before: float) -> int:
        """Kill all commands that had started `before`, and their descendants; return how many there were.

        Later ones may belong to a worker that reports again, which is not known here yet. Parents are killed
        before their children, or they would go on without them and end as they liked.
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


class LineReader:
    """Reads the lines that the worker writes."""

    is_over = False

    def __init__(self) -> None:
        os.set_blocking(0, False)
        self._rest = b""

    def lines(self) -> list[str]:
        """The lines that have arrived."""
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
    """Run until the worker says that it ends, or dies."""
    if sys.platform != "linux":
        raise SystemExit("This is for Linux alone: it needs pidfds and /proc.")
    # Whatever the worker's terminal or service manager ends, it ends by the worker's own end.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    switch = Switch(pid, f"{variable}={value}".encode())
    reader = LineReader()
    worker = os.pidfd_open(pid) if os.getppid() == pid else None
    poll = select.poll()
    poll.register(0, 0)  # until it is closed: what it says is read once a second, and not at each job's start
    if worker is not None:
        poll.register(worker, select.POLLIN)
    until_dead = math.inf
    while _now() < until_dead:
        began, is_dead = _now(), os.getppid() != pid
        # What it has told before it died is read to the end, although it may have died before this started.
        if not all(switch.take(line) for line in reader.lines()):
            return
        if is_dead or reader.is_over:
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
