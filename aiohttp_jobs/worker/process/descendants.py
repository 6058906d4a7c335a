"""Finds what a job has started, by parents and by marks in the environment, and signals it. Blocks.

Loaded with the first job, as psutil is a megabyte. Process groups are left to ``process``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping

import psutil

_KILL_ROUNDS = 10
_ROUND_SECONDS = 0.2
_PAUSE_SECONDS = 0.005


def signal_strays(leader: int, number: signal.Signals) -> None:
    """Send a signal to every descendant of `leader` that is not in its group."""
    try:
        descendants = psutil.Process(leader).children(recursive=True)
    except psutil.NoSuchProcess:
        return
    for process in descendants:
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError, PermissionError):
            if os.getpgid(process.pid) != leader:
                process.send_signal(number)


def kill_marked(marks: Mapping[str, str], is_meant: Callable[[int], bool]) -> int:
    """Kill every process with all `marks` in its environment that `is_meant`; how many there were.

    Repeats until none is left, because one may fork meanwhile.
    """
    killed = 0
    for _ in range(_KILL_ROUNDS):
        found = [
            process
            for process in psutil.process_iter()
            if process.pid != os.getpid() and _has_marks(process, marks) and is_meant(process.pid)
        ]
        if not found:
            break
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        _wait_for_end(found)
        killed += len(found)
    return killed


def _wait_for_end(processes: Iterable[psutil.Process]) -> None:
    """For a while, without reaping them as psutil would: whoever started one waits for its code."""
    end = time.monotonic() + _ROUND_SECONDS
    while time.monotonic() < end and any(map(_is_alive, processes)):
        time.sleep(_PAUSE_SECONDS)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _has_marks(process: psutil.Process, marks: Mapping[str, str]) -> bool:
    try:
        has_them = marks.items() <= process.environ().items()
        return has_them and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):
        return False
