"""A host in a process of its own that dies at a named point of a notice's life: python -m … FOLDER POINT.

With the point ``never`` it runs until it is killed. Prints its port.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from aiohttp import web

import aiohttp_jobs
from aiohttp_jobs import JobsConfig
from aiohttp_jobs.engine.embedded.notices import NoticeStore
from aiohttp_jobs.engine.embedded.results import IndexedResults
from aiohttp_jobs.engine.embedded.store import FileSystemStore
from aiohttp_jobs.notify.outbox import Outbox
from aiohttp_jobs.notify.webhook import WebhookChannel

SETTINGS: dict[str, Any] = {
    "poll_interval": 0.2,
    "webhook_allow_private": True,
    "webhook_allowed_ports": "any",
    "max_parallel_background": 3,
    "max_parallel_runspace": 1,
}


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


POINTS: dict[str, tuple[type, str]] = {
    "before_preparing": (Outbox, "prepare"),
    "before_the_result": (FileSystemStore, "finish"),
    "after_the_result": (IndexedResults, "note"),
    "before_releasing": (Outbox, "release"),
    "before_sending": (WebhookChannel, "send"),
    "after_sending": (NoticeStore, "change"),
}


async def main(data_dir: Path, point: str) -> None:
    if point in POINTS:
        setattr(*POINTS[point], die)
    app = web.Application()
    aiohttp_jobs.setup(app, JobsConfig(data_dir=data_dir, **SETTINGS))
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.sleep(120)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
