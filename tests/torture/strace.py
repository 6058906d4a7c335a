"""Debian's strace as the hand that kills: at the n-th system call of a kind, or makes it fail or wait.

The jobs' processes are let go of when they start their programs, so that only the host is touched.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

FAMILIES: dict[str, tuple[str, ...]] = {
    "rename": ("rename", "renameat", "renameat2"),
    "link": ("link", "linkat"),
    "unlink": ("unlink", "unlinkat", "rmdir"),
    "fsync": ("fsync", "syncfs"),
    "fdatasync": ("fdatasync",),
    "mkdir": ("mkdir", "mkdirat"),
    "pwrite": ("pwrite64", "pwritev", "pwritev2"),
    "ftruncate": ("ftruncate",),
    "openat": ("open", "openat"),
    "write": ("write", "writev"),
}
"""The steps of a job's life, by what they ask of the kernel. Not every machine has all of them."""
NEEDS = "strace is needed (Debian: apt-get install strace), as is the right to trace one's processes"
_LINE = re.compile(r"(\d+) +(\w+)\(")
_ATTACH_SECONDS = 30.0


@dataclass(frozen=True)
class Injection:
    """What happens to which system call; `when` is strace's: ``7``, ``3+``, ``2..5``. Counted by thread."""

    calls: tuple[str, ...]
    effect: str
    when: str
    log: Path | None = None

    def __str__(self) -> str:
        return f"inject={','.join(self.calls)}:{self.effect}:when={self.when}"

    @property
    def arguments(self) -> list[str]:
        calls = ",".join(f"?{call}" for call in self.calls)
        arguments = ["-e", f"trace={calls}", "-e", "signal=none"]
        return arguments + (["-e", f"inject={calls}:{self.effect}:when={self.when}"] if self.effect else [])


def killing(calls: Iterable[str], when: int) -> Injection:
    """The process dies before it makes one of these calls for the `when`-th time."""
    return Injection(tuple(calls), "signal=SIGKILL", str(when))


def counting(log: Path) -> Injection:
    """Nothing happens, but all calls of the families are written to `log`."""
    return Injection(tuple(call for calls in FAMILIES.values() for call in calls), "", "", log)


@dataclass(frozen=True)
class Step:
    """A thread's `number`-th `call`: one that has happened, and may be died at the next time."""

    call: str
    number: int


def steps(log: Path) -> dict[str, list[Step]]:
    """What `counting` has written, by family, in the order in which it happened."""
    family_of = {call: family for family, calls in FAMILIES.items() for call in calls}
    found: dict[str, list[Step]] = {family: [] for family in FAMILIES}
    counts: Counter[tuple[str, str]] = Counter()
    for line in log.read_text(errors="replace").splitlines():
        match = _LINE.match(line)
        if match is not None and match[2] in family_of:
            counts[match[1], match[2]] += 1
            found[family_of[match[2]]].append(Step(match[2], counts[match[1], match[2]]))
    return found


class Tracer:
    """strace, attached to a process and all its threads."""

    def __init__(self, injection: Injection) -> None:
        self._injection = injection

    async def attach(self, pid: int) -> None:
        """Return when `injection` holds."""
        output = str(self._injection.log or "/dev/null")
        self._process: Process = await asyncio.create_subprocess_exec(
            "strace", "-f", "-b", "execve", "-o", output, *self._injection.arguments, "-p", str(pid),
            stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE,
        )  # fmt: skip
        stderr = self._process.stderr
        assert stderr is not None
        line = await asyncio.wait_for(stderr.readline(), _ATTACH_SECONDS)
        if b"attached" not in line:
            raise RuntimeError(f"strace cannot be attached: {line.decode(errors='replace')}")
        self._drain = asyncio.create_task(stderr.read())

    async def detach(self) -> None:
        """Let the process go on as if nothing had been."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)
        await self.ended()

    async def ended(self) -> None:
        """Return when it has: soon after its process."""
        try:
            await asyncio.wait_for(self._process.wait(), 10)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._drain


def is_usable() -> bool:
    """Whether strace is here, and may attach to a process that is not its own child."""
    if shutil.which("strace") is None:
        return False
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as sleeper:
        command = ["timeout", "-s", "INT", "1", "strace", "-f", "-b", "execve", "-p", str(sleeper.pid)]
        done = subprocess.run(command, stderr=subprocess.PIPE, check=False, timeout=30)
        sleeper.kill()
    return b"attached" in done.stderr
