"""Streams that last longer than the rights of whoever reads them are ended with those rights."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

from aiohttp import web

from .middleware import identity_now, identity_of

T = TypeVar("T")


async def while_known(request: web.Request, things: AsyncIterator[T], every: float) -> AsyncIterator[T]:
    """`things`, for as long as the request still proves the same identity with the same roles.

    Looked at before the next thing once `every` seconds have passed: a key that was disabled while its
    stream was open must not go on reading what a new request would be refused.
    """
    clock = asyncio.get_running_loop().time
    due = clock() + every
    async for thing in things:
        if clock() >= due:
            if await identity_now(request) != identity_of(request):
                return
            due = clock() + every
        yield thing
