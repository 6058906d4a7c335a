"""The worker's side of its dead man's switch, a process that ends its commands when it cannot.

That is when the worker was killed, is stopped, or hangs. The process itself is in ``child.dead_mans_switch``.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Lock

from ..child import dead_mans_switch
from ..child.dead_mans_switch import is_older, stat_of
from .process import INSTANCE_VARIABLE

_CLOSE_SECONDS = 5.0
_MOST_LEADERS = 1000
_NEEDED = {"LD_LIBRARY_PATH"}
"""What its program may need of the environment; the rest is none of its business."""
_logger = logging.getLogger(__name__)


def boottime() -> float:
    """Seconds on a clock that goes on during suspend, where there is one."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def started_before(pid: int, moment: float) -> bool:
    """Whether a process started before a `moment` of `boottime`; true where that cannot be told."""
    stat = stat_of(pid)
    return stat is None or is_older(stat, moment)


class DeadMansSwitch:
    """Ends the commands marked with `instance_id` once it is no longer `held`. Linux only. Thread-safe.

    Never raises: if the process cannot be started, that is logged.
    """

    def __init__(self, instance_id: str) -> None:
        self._instance_id = instance_id
        self._guard = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe = -1
        self._until: float | None = None
        self._leaders: dict[int, str] = {}
        self._is_closed = not (hasattr(os, "pidfd_open") and hasattr(signal, "pidfd_send_signal"))

    @property
    def pid(self) -> int | None:
        """The id of its process."""
        return None if self._process is None else self._process.pid

    def hold(self, until: float) -> None:
        """Let commands run until this `boottime`. The first call starts the process."""
        with self._guard:
            self._until = until
            self._tell(f"until {until}\n")

    def watch(self, pid: int) -> None:
        """Register the process `pid`, which this process has started as the leader of a session."""
        if pid == os.getpid():
            return
        with self._guard:
            stat = stat_of(pid)
            if stat is None or self._leaders.get(pid) == stat.start or self._until is None:
                return
            if len(self._leaders) >= _MOST_LEADERS:
                self._forget_ended()
            self._leaders[pid] = stat.start
            self._tell(f"leader {pid} {stat.start}\n")

    def close(self) -> None:
        """End its process. Blocks."""
        with self._guard:
            self._is_closed = True
            if self._process is not None:
                self._send("end\n")
                self._end(self._process)

    def _tell(self, line: str) -> None:
        if self._is_closed or (self._process is not None and self._send(line)):
            return
        if self._process is not None:
            _logger.warning("The process that watches over this one's commands is gone; starting another")
            # If it is there all the same, it is not to take its end of the pipe for the end of this process.
            self._process.kill()
            self._end(self._process)
        self._start()

    def _send(self, line: str) -> bool:
        try:
            # Nothing or all of it, as it is short; it does not block.
            return os.write(self._pipe, line.encode()) == len(line)
        except OSError:
            return False

    def _start(self) -> None:
        command = [sys.executable, "-I", "-S", str(Path(dead_mans_switch.__file__))]
        environment = {name: os.environ[name] for name in _NEEDED & os.environ.keys()}
        reading, self._pipe = os.pipe()
        os.set_blocking(self._pipe, False)
        try:
            self._process = subprocess.Popen(
                [*command, str(os.getpid()), INSTANCE_VARIABLE, self._instance_id],
                stdin=reading, stdout=subprocess.DEVNULL, cwd="/", env=environment, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            os.close(self._pipe)
            _logger.error("What watches over this process's commands cannot be started: %s", error)
            return
        finally:
            os.close(reading)
        self._forget_ended()
        for line in (f"until {self._until}", *(f"leader {pid} {at}" for pid, at in self._leaders.items())):
            self._send(line + "\n")

    def _forget_ended(self) -> None:
        stats = {pid: stat_of(pid) for pid in self._leaders}
        self._leaders = {
            pid: stat.start
            for pid, stat in stats.items()
            if stat is not None and stat.start == self._leaders[pid]
        }

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        self._process = None
        os.close(self._pipe)
        try:
            process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
