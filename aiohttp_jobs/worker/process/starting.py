"""Chooses how a job's process is started on this system and event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from .endings import Endings, can_watch_descriptors
from .process import Process
from .program import Program
from .with_asyncio import AsyncioProcess
from .with_popen import PopenProcess

Start = Callable[[Program, Endings], Awaitable[Process]]
"""One way of starting a process: the interface that `start_process` has, and each of the two below it."""


async def start_with_asyncio(program: Program, endings: Endings) -> Process:
    """Start it with ``asyncio.create_subprocess_exec``. Raises ``OSError``."""
    return await AsyncioProcess.start(program, endings.orphans)


async def start_with_popen(program: Program, endings: Endings) -> Process:
    """Start it with ``subprocess.Popen``. Raises ``OSError``."""
    return PopenProcess(program, endings)


async def start_process(program: Program, endings: Endings) -> Process:
    """Start it; `endings` reports its end where the loop does not. Raises ``OSError``.

    When cancelled, what was started by then may be left running.
    """
    # The portable way, where neither the system has a leaner one nor the loop makes it unsafe.
    is_portable = not can_watch_descriptors() and _is_asyncios_own(asyncio.get_running_loop())
    start = start_with_asyncio if is_portable else start_with_popen
    return await start(program, endings)


def _is_asyncios_own(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether it is the loop of Python's library.

    uvloop has the same function, but hands the child each descriptor of the host that may be inherited
    (a server's listening sockets, for one), and forks the whole host where Python has ``vfork``: twice the
    processor time for a job, as ``benchmarks/sections/processes.py`` shows.
    """
    return isinstance(loop, asyncio.SelectorEventLoop)
