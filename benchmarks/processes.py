"""Child processes of the benchmark: started in groups of their own, and never left behind.

What they do is left to whoever starts them.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import psutil

_PR_SET_CHILD_SUBREAPER = 36
_ANSWER_SECONDS = 300.0
_STOP_SECONDS = 5.0
_LONGEST_LINE = 64 * 1024 * 1024


def adopt_orphans() -> None:
    """Become the parent of what our children leave behind, so that it can be found and ended."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_descendants() -> None:
    """Kill every process below this one."""
    left = psutil.Process().children(recursive=True)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=_STOP_SECONDS)


class AnsweringProcess:
    """A child that reads a JSON object a line from its stdin and answers each with one on its stdout."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log
        self.pid = process.pid
        self.hello: dict[str, Any] = {}
        self._owed = 1  # which is the hello

    @classmethod
    async def start(
        cls, arguments: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None
    ) -> Self:
        """Start it and wait for its first line; what it prints on stderr goes to `log`.

        Raises ``RuntimeError`` with the end of its log when it does not come up.
        """
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
                limit=_LONGEST_LINE,
            )
        child = cls(process, log)
        try:
            child.hello = await child._read()
        except BaseException:
            await child.stop()
            raise
        return child

    async def ask(self, **question: Any) -> dict[str, Any]:
        """Its answer. Raises ``RuntimeError`` with what it says went wrong."""
        assert self._process.stdin is not None
        while self._owed:  # to somebody who did not wait any longer
            await self._line()
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        self._owed += 1
        return await self._read()

    async def _line(self) -> bytes:
        assert self._process.stdout is not None
        async with asyncio.timeout(_ANSWER_SECONDS):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"it ended unexpectedly; its last words:\n{self._last_words()}")
        self._owed -= 1
        return line

    async def _read(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(await self._line())
        if "error" in answer:
            raise RuntimeError(f"{answer['error']}\n{self._last_words()}".rstrip())
        return answer

    def _last_words(self) -> str:
        text = self._log.read_text(errors="replace").strip()
        return "\n".join(text.splitlines()[-15:])

    def freeze(self) -> None:
        """Stop it and its group from using the machine until `thaw`."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def kill(self) -> None:
        """End it as a crash would: at once, without cleaning up."""
        self._signal(signal.SIGKILL)

    async def stop(self) -> None:
        """Ask it to end, by closing its stdin; then kill what is left of its group."""
        self.thaw()
        if self._process.stdin is not None:
            self._process.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), _STOP_SECONDS)
        self.kill()
        await self._process.wait()


def module(name: str, *arguments: str) -> list[str]:
    """How to run a module of this package with this interpreter."""
    return [sys.executable, "-m", f"benchmarks.{name}", *arguments]
