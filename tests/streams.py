"""A job's event stream, read as a browser would."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import ClientTimeout

from .conftest import Caller
from .gate import PATIENCE_SECONDS


class Stream:
    """Reads one job's event stream as a browser's EventSource does."""

    def __init__(self, caller: Caller, job_id: str) -> None:
        self._caller = caller
        self._url = f"{caller.base}/jobs/{job_id}/events"
        self.events: list[tuple[str, str, Any]] = []

    @property
    def text(self) -> str:
        return "".join(data["Text"] for name, _, data in self.events if name == "output")

    @property
    def ended(self) -> bool:
        return bool(self.events) and self.events[-1][0] == "end"

    async def read(self, *, resume: str | None = None, at_most: int | None = None) -> None:
        """Take in events up to the end, or `at_most` output events; then close the connection."""
        headers = {"Last-Event-ID": resume} if resume else {}
        async with self._caller.session.get(
            self._url, headers=headers, timeout=ClientTimeout(total=PATIENCE_SECONDS)
        ) as response:
            assert response.status == 200
            assert response.content_type == "text/event-stream"
            rest, outputs = b"", 0
            async for chunk in response.content.iter_any():
                *blocks, rest = (rest + chunk).replace(b"\r\n", b"\n").split(b"\n\n")
                for block in blocks:
                    fields = dict(line.split(": ", 1) for line in block.decode().split("\n") if ": " in line)
                    if "id" not in fields:
                        continue
                    self.events.append((fields["event"], fields["id"], json.loads(fields["data"])))
                    outputs += fields["event"] == "output"
                    if self.ended or outputs == at_most:
                        return
