"""Jobs that wait until a test lets them go on, and waiting for something to become true."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

PATIENCE_SECONDS = 120.0
_LONGER, _LONGEST = 1.1, 0.1


def pauses(first: float = 0.01) -> Iterator[float]:
    """Between looks, in seconds: longer ones, up to a tenth of one, as what takes long is asked for long."""
    pause = first
    while True:
        yield pause
        pause = min(pause * _LONGER, _LONGEST)


async def until(is_true: Callable[[], object], what: str) -> None:
    """Wait until `is_true()`; fail, saying that `what` did not happen, when it never is."""
    deadline, pause = time.monotonic() + PATIENCE_SECONDS, pauses()
    while not is_true():
        assert time.monotonic() < deadline, f"{what} did not happen within {PATIENCE_SECONDS:g} s"
        await asyncio.sleep(next(pause))


async def until_answered(is_true: Callable[[], Awaitable[object]], what: str) -> None:
    """The same for what has to be asked."""
    deadline, pause = time.monotonic() + PATIENCE_SECONDS, pauses(0.02)
    while not await is_true():
        assert time.monotonic() < deadline, f"{what} did not happen within {PATIENCE_SECONDS:g} s"
        await asyncio.sleep(next(pause))


class Gate:
    """Holds jobs that run `shell` or `python` between entering and `open`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._entered = folder / "entered"
        self._opened = folder / "opened"

    @property
    def shell(self) -> str:
        return f"echo $$ >> {self._entered}; while [ ! -e {self._opened} ]; do sleep 0.02; done"

    @property
    def python(self) -> str:
        return (
            f"import os, time\n"
            f"with open({str(self._entered)!r}, 'a') as file: print(os.getpid(), file=file)\n"
            f"while not os.path.exists({str(self._opened)!r}): time.sleep(0.02)"
        )

    @property
    def awaiting_python(self) -> str:
        """For MainLoop: waits without blocking the loop."""
        return self.python.replace("import os", "import asyncio, os").replace(
            "time.sleep", "await asyncio.sleep"
        )

    @property
    def pids(self) -> list[int]:
        """The processes that have entered so far, in order."""
        return [int(pid) for pid in self._entered.read_text().split()] if self._entered.exists() else []

    async def reached(self, count: int = 1) -> None:
        """Wait until `count` jobs are inside."""
        await until(lambda: len(self.pids) >= count, f"{count} jobs starting")

    def open(self) -> None:
        """Let everybody go on, and whoever enters later."""
        self._opened.touch()
