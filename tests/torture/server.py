"""The host that is tortured: python -m tests.torture.server.

Says ``ready`` once all is imported, so that a tracer can be attached before the first step that matters;
then reads one JSON line with ``data``, ``port``, ``epoch`` (see `tests.hosts.clock`) and ``settings`` beside
`SETTINGS`, and prints ``up`` when it answers requests. Ends on SIGTERM, and with whoever started it. What it
logs goes to its standard error.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from pathlib import Path
from typing import Any

from aiohttp import web

import aiohttp_jobs
from aiohttp_jobs import JobsConfig
from aiohttp_jobs.errors import ConfigurationError

from ..hosts.clock import hurry

SETTINGS: dict[str, Any] = {
    "poll_interval": 0.2,
    "kill_grace": 0.3,
    "shutdown_grace": 0.5,
    "mainloop_timeout": 5.0,
    "max_parallel_background": 4,
    "max_parallel_runspace": 1,
    "min_free_bytes": 0,
}


async def main(data_dir: Path, port: int, settings: dict[str, Any]) -> None:
    app = web.Application()
    aiohttp_jobs.setup(app, JobsConfig(**{"data_dir": data_dir, **SETTINGS, **settings}))
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    loop.add_reader(sys.stdin.fileno(), ended.set)
    print("up", flush=True)
    await ended.wait()
    await runner.cleanup()


if __name__ == "__main__":
    print("ready", flush=True)
    order = json.loads(sys.stdin.readline())
    if order["epoch"] is not None:
        hurry(order["epoch"])
    # Where the disk is made to fail, what is logged may be what fails: that is no fault of the host.
    logging.raiseExceptions = False
    try:
        asyncio.run(main(Path(order["data"]), order["port"], order["settings"]))
    except ConfigurationError as error:
        sys.exit(error.message)
