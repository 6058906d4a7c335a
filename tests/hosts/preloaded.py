"""A host whose application is made when its module is imported, as gunicorn takes it.

Settings come from ``AIOHTTP_JOBS_*`` variables.
"""

from __future__ import annotations

import os

from aiohttp import web

import aiohttp_jobs


async def worker(_request: web.Request) -> web.Response:
    """The process that answers, for tests that want to know whether it is another one by now."""
    return web.Response(text=str(os.getpid()))


app = web.Application()
app.router.add_get("/worker", worker)
aiohttp_jobs.setup(app)
