"""An aiohttp host in a process of its own: the plugin mounted, or without it, to compare with.

Run as ``python -m benchmarks.host '<JSON>'``. Here are the yardsticks' routes; those that use the
plugin are left to ``embedded``.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from aiohttp import web


class Yardsticks:
    """Handlers that do only what cannot be avoided."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._written = 0

    async def write(self, request: web.Request) -> web.Response:
        """Write the body to a new file and fsync it, in a thread."""
        body = await request.read()
        self._written += 1
        await asyncio.to_thread(_write_durably, self._folder / str(self._written), body)
        return web.json_response({"success": True})

    async def events(self, request: web.Request) -> web.StreamResponse:
        """A file's content as Server-Sent Events."""
        from aiohttp_sse import sse_response  # noqa: PLC0415

        text = await asyncio.to_thread(Path(request.query["path"]).read_text)
        size = int(request.query["piece"])
        async with sse_response(request) as response:
            for offset in range(0, len(text), size):
                await response.send(json.dumps({"Text": text[offset : offset + size]}), event="output")
            await response.send("{}", event="end")
        return response


def _write_durably(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def _ping(_request: web.Request) -> web.Response:
    return web.Response(text="pong")


@web.middleware
async def _tell_errors(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        return await handler(request)  # type: ignore[no-any-return]
    except web.HTTPException:
        raise
    except Exception as error:
        print(f"{request.path}: {error!r}", file=sys.stderr)
        return web.json_response({"error": repr(error)}, status=500)


async def serve(data_dir: Path, settings: dict[str, Any], *, plugin: bool, functions: bool) -> None:
    """Serve until stdin ends; the port, the key and the seconds it took to be ready are printed."""
    started = time.perf_counter()
    app = web.Application(middlewares=[_tell_errors], client_max_size=1 << 26)
    secret = ""
    app.router.add_get("/ping", _ping)
    yardsticks = Yardsticks(data_dir / "yardsticks")
    app.router.add_post("/bench/write", yardsticks.write)
    app.router.add_get("/bench/events", yardsticks.events)
    if plugin:
        # Not at the top: a host without the plugin is not to pay for it.
        from .embedded import mount  # noqa: PLC0415
        from .functions import jobs  # noqa: PLC0415

        secret = mount(app, data_dir, settings, jobs if functions else None)
    runner = web.AppRunner(app, shutdown_timeout=1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    port = runner.addresses[0][1]
    hello = {"port": port, "secret": secret, "ready": time.perf_counter() - started}
    print(json.dumps(hello), flush=True)
    await _stdin_closed()
    await runner.cleanup()


async def _stdin_closed() -> None:
    loop, closed = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin, lambda: None if os.read(0, 4096) else closed.set())
    await closed.wait()
    loop.remove_reader(sys.stdin)


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    new_loop = None
    if asked["uvloop"]:
        import uvloop

        new_loop = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(
            serve(
                Path(asked["data_dir"]),
                asked["settings"],
                plugin=asked["plugin"],
                functions=asked["functions"],
            )
        )
