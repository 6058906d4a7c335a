"""Run as process 1: a stranger gets the number of a job that has just been reaped."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

from aiohttp_jobs.worker.process.orphans import Orphans
from aiohttp_jobs.worker.process.process import Program
from aiohttp_jobs.worker.process.with_asyncio import AsyncioProcess


def _has_ended(pid: int) -> bool | None:
    """``None`` once it was reaped. One call, as that thread may reap between two."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return None


async def main() -> None:
    program = Program(["/bin/sleep", "0.2"], {}, "/", sys.stderr.fileno())
    process = await AsyncioProcess.start(program, Orphans())
    # The thread of a child watcher reaps while the loop is held up; a watcher on the loop, before it tells.
    while (has_ended := _has_ended(process.pid)) is not None:
        if has_ended:
            await asyncio.sleep(0)
        else:
            time.sleep(0.01)  # noqa: ASYNC251 - the loop is to hear of it only later
    await asyncio.to_thread(Path("/proc/sys/kernel/ns_last_pid").write_text, str(process.pid - 1))
    stranger = subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True)
    print("the number is a stranger's" if stranger.pid == process.pid else stranger.pid, flush=True)
    await process.wait()
    await asyncio.sleep(0.2)
    print("the stranger lives" if stranger.poll() is None else "the stranger was killed", flush=True)
    stranger.kill()
    stranger.wait()


if __name__ == "__main__":
    asyncio.run(main())
