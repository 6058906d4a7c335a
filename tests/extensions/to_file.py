"""A notice channel that writes each notice into a file."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from aiohttp_jobs.model.notice import Notice


class ToFile:
    """A `Channel`."""

    async def open(self) -> None:
        return None

    async def close(self) -> None:
        return None

    async def send(self, notice: Notice) -> None:
        await asyncio.to_thread(Path(notice.target).write_text, json.dumps(notice.job), "utf-8")
