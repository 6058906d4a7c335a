"""Follows a job's event stream, and reconnects after broken connections and server restarts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiohttp import ClientConnectionError, ClientPayloadError, ClientTimeout

from .connection import ClientError, Connection, Record, raise_for

_RECONNECT_SECONDS = 1.0
_MOST_RECONNECTS = 30
_SERVER_IS_AWAY = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One event of a job: ``output``, ``status``, ``progress`` or ``end``.

    Resume after it with `position`.
    """

    name: str
    position: str
    data: Record

    @property
    def text(self) -> str:
        """The printed text of an ``output`` event."""
        return str(self.data.get("Text", ""))


class EventCalls(Connection):
    """Follows jobs."""

    async def follow(self, job_id: str, position: str | None = None) -> AsyncIterator[JobEvent]:
        """The job's events after `position` until it ends; reconnects when the stream breaks.

        Raises `ClientError`, and aiohttp's client errors when it has broken off again and again.
        """
        failures = 0
        while failures <= _MOST_RECONNECTS:
            try:
                async for event in self._stream(job_id, position):
                    failures, position = 0, event.position or position
                    yield event
                    if event.name == "end":
                        return
            except (ClientConnectionError, ClientPayloadError, TimeoutError):
                if failures == _MOST_RECONNECTS:
                    raise
            except ClientError as error:
                if error.status not in _SERVER_IS_AWAY or failures == _MOST_RECONNECTS:
                    raise
            failures += 1
            await asyncio.sleep(_RECONNECT_SECONDS)
        raise ClientConnectionError(f"the events of job {job_id} broke off {failures} times")

    async def _stream(self, job_id: str, position: str | None) -> AsyncIterator[JobEvent]:
        headers = {"Last-Event-ID": position} if position else {}
        no_limit = ClientTimeout(total=None, sock_connect=30, sock_read=None)
        async with self._request(
            "GET", f"/jobs/{job_id}/events", headers=headers, timeout=no_limit
        ) as response:
            await raise_for(response, "text/event-stream")
            async for fields in _events(response.content.iter_any()):
                if fields.get("event") in ("output", "status", "progress", "end"):
                    yield JobEvent(fields["event"], fields.get("id", ""), json.loads(fields["data"]))


async def _events(chunks: AsyncIterator[bytes]) -> AsyncIterator[dict[str, str]]:
    """The events of a text/event-stream (WHATWG HTML), each with its fields."""
    rest = b""
    fields: dict[str, str] = {}
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for raw in lines:
            line = raw.rstrip(b"\r").decode()
            if line:
                name, _, value = line.partition(":")
                fields[name] = value.removeprefix(" ")
            elif fields:
                yield fields
                fields = {}
