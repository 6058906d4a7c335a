"""A lean HTTP/1.1 client on kept connections, so that the client costs little beside what is measured."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Self, TypeVar

T = TypeVar("T")


class Connection:
    """One kept connection; one request at a time."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: dict[str, str]
    ) -> None:
        self.reader = reader
        self._writer = writer
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in headers.items())

    @classmethod
    async def open(cls, port: int, secret: str = "") -> Self:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
        headers = {"Host": f"127.0.0.1:{port}"}
        if secret:
            headers["Authorization"] = f"Bearer {secret}"
        return cls(reader, writer, headers)

    def send(self, method: str, path: str, body: bytes = b"") -> None:
        head = f"{method} {path} HTTP/1.1\r\n{self._headers}"
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self._writer.write(head.encode() + b"\r\n" + body)

    async def head(self) -> tuple[int, int]:
        """The status and the length of the answer's body, 0 where it is not told."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        length = 0
        if (at := head.find(b"content-length:")) >= 0:
            length = int(head[at + 15 : head.index(b"\r\n", at)])
        return int(head[9:12]), length

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        self.send(method, path, body)
        status, length = await self.head()
        return status, await self.reader.readexactly(length)

    async def json(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """The answer as JSON. Raises ``RuntimeError`` when it is an error."""
        status, text = await self.ask(method, path, json.dumps(body).encode() if body is not None else b"")
        if status >= 400:
            raise RuntimeError(f"{method} {path} was answered with {status}: {text.decode()[:300]}")
        return dict(json.loads(text))

    async def close(self) -> None:
        self._writer.close()


async def share(
    connections: Iterable[Connection], count: int, one: Callable[[Connection], Awaitable[T]]
) -> list[T]:
    """Do `one` `count` times, over all connections at once."""
    done: list[T] = []
    left = iter(range(count))

    async def worker(connection: Connection) -> None:
        for _ in left:
            done.append(await one(connection))

    await asyncio.gather(*map(worker, connections))
    return done
