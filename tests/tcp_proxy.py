"""A TCP proxy before PostgreSQL's socket: cuts off those who use it, or only the answer to one request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

_AT_ONCE = 65536


class TcpProxy:
    """Listens on `port` of 127.0.0.1 inside its block, and forwards to the Unix socket at `target`."""

    def __init__(self, target: Path) -> None:
        self._target = str(target)
        self._flows = asyncio.Event()
        self._flows.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.after_request: Callable[[bytes], bool] = lambda data: False
        """Is shown what goes to PostgreSQL; true: no answer comes back, and the connection is lost."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for _ in range(3):
            await asyncio.sleep(0)  # what it has accepted last begins to be served
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Let nothing through, as a network that lost its cable: nobody is told."""
        self._flows.clear()

    def mend(self) -> None:
        """Go on, with what has waited first."""
        self._flows.set()

    def drop(self) -> None:
        """Lose all connections of now."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            with suppress(OSError, asyncio.CancelledError):  # cancelled by `__aexit__`
                await self._flows.wait()
                await self._forward(reader, writer)
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to_there = await asyncio.open_unix_connection(self._target)
        is_lost = asyncio.Event()

        async def up() -> None:
            while data := await reader.read(_AT_ONCE):
                await self._flows.wait()
                if self.after_request(data):
                    is_lost.set()
                to_there.write(data)
                await to_there.drain()

        async def down() -> None:
            while data := await there.read(_AT_ONCE):
                await self._flows.wait()
                if is_lost.is_set():
                    return  # it was done, and nobody is told
                writer.write(data)
                await writer.drain()

        ways = [asyncio.create_task(up()), asyncio.create_task(down())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            to_there.transport.abort()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
