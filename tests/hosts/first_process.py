"""A host that is the first process of its PID namespace: ``unshare -pf --mount-proc python -m`` and its name.

Takes the data folder, prints its port. ``GET /zombies`` tells the ended processes that nobody has waited for;
``POST /child`` starts a process of the host's own, which ends at once with code 7, and ``GET /child`` is how
it ended.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from aiohttp import web

import aiohttp_jobs
from aiohttp_jobs import JobsConfig

children: list[subprocess.Popen[bytes]] = []


async def zombies(_request: web.Request) -> web.Response:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state = stat.read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state == "Z":
            found.append(int(stat.parent.name))
    return web.json_response({"pid": os.getpid(), "zombies": found})


async def start_child(_request: web.Request) -> web.Response:
    children.append(subprocess.Popen(["/bin/sh", "-c", "exit 7"], start_new_session=True))
    return web.json_response({"pid": children[-1].pid})


async def child(_request: web.Request) -> web.Response:
    return web.json_response({"code": children[-1].poll()})


async def main(data_dir: Path) -> None:
    app = web.Application()
    app.router.add_get("/zombies", zombies)
    app.router.add_post("/child", start_child)
    app.router.add_get("/child", child)
    aiohttp_jobs.setup(app, JobsConfig(data_dir=data_dir, poll_interval=0.2, max_parallel_runspace=1))
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
