"""Processes that tests start or look at: what they print, that they end in any case, and finding some."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import subprocess
import sys
import warnings
from collections.abc import Callable

import psutil

from .gate import PATIENCE_SECONDS

_AFTER_KILLED_SECONDS = 10.0


async def printed_by(
    process: asyncio.subprocess.Process, given: bytes | None = None, seconds: float = PATIENCE_SECONDS
) -> tuple[bytes, bytes]:
    """What it prints to stdout and stderr until it has ended, when it is `given` that on stdin.

    After so many seconds, or when the test is cancelled, it is killed with its descendants, so that nothing
    of it is left to a later test. Raises ``TimeoutError``, which says what it has printed.
    """
    talking = asyncio.ensure_future(process.communicate(given))
    try:
        await asyncio.wait([talking], timeout=seconds)
    finally:
        is_late = not talking.done()
        if is_late:
            kill_all_of(process.pid)
            await asyncio.wait([talking], timeout=_AFTER_KILLED_SECONDS)
            talking.cancel()  # somebody else has its streams
    if is_late:
        raise TimeoutError(f"it still ran after {seconds:g} s, and had printed {await talking}")
    return talking.result()


def printed_by_new_python(code: str) -> str:
    """What a Python that has loaded nothing yet prints when it runs `code`. Blocks.

    Raises ``CalledProcessError`` where it fails, and ``TimeoutExpired``.
    """
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True
    ).stdout


def end_what_was_left() -> None:
    """Kill what a test that failed has started and left, and let go of it.

    Else warnings of it would come when it happens to be collected, and fail whichever test runs then.
    """
    for name in (
        "last_exc",
        "last_type",
        "last_value",
        "last_traceback",
    ):  # they hold all of it
        if hasattr(sys, name):
            delattr(sys, name)
    told, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        with warnings.catch_warnings(action="ignore"):
            for each in gc.get_objects():
                if isinstance(each, asyncio.SubprocessTransport) and _is_left(each):
                    kill_all_of(each.get_pid())
            gc.collect()
    finally:
        sys.unraisablehook = told


def _is_left(transport: asyncio.SubprocessTransport) -> bool:
    loop: asyncio.AbstractEventLoop | None = transport._loop  # type: ignore[attr-defined]
    return loop is not None and loop.is_closed() and transport.get_returncode() is None


def kill_all_of(pid: int) -> None:
    """Kill the process and all that descend from it, if there still are any."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in [*process.children(recursive=True), process]:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()


def children(
    is_one: Callable[[list[str]], object], pid: int | None = None, *, recursive: bool = False
) -> list[psutil.Process]:
    """The children of the process, or of the tests' own, whose command line `is_one` says yes to.

    Any of them may end while it is looked at, and is none of them then.
    """
    found: list[psutil.Process] = []
    for each in psutil.Process(pid).children(recursive):
        with contextlib.suppress(psutil.NoSuchProcess):  # or a zombie
            if is_one(each.cmdline()):
                found.append(each)
    return found
