"""``/api/v1/openapi.json`` and ``/api/v1/docs``: the OpenAPI document, and a page that shows it.

The page is public, as it is the same everywhere. The document is not: it shows this host's limits and
interpreters.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import MappingProxyType

from aiohttp import web

from ..config import JobsConfig
from ..errors import NotFoundError
from .auth.middleware import needs, public
from .envelope import raw_answer
from .operations import ROOT, Content, operation, unlisted


class ApiDocument:
    """The document of one host, made in a thread when it is first asked for."""

    def __init__(self, config: JobsConfig, interpreters: list[str]) -> None:
        self._config = config
        self._interpreters = interpreters
        self._made: tuple[str, bytes] | None = None
        self._one_at_a_time = asyncio.Lock()

    async def json(self, app: web.Application, address: str) -> bytes:
        """The document of the API that is mounted in `app` and reached at `address`."""
        async with self._one_at_a_time:
            if self._made is None or self._made[0] != address:
                self._made = address, await asyncio.to_thread(self._build, app, address)
            return self._made[1]

    def _build(self, app: web.Application, address: str) -> bytes:
        # A megabyte that hosts do without until somebody reads it.
        from .openapi.document import document_of  # noqa: PLC0415 - as said above

        return json.dumps(document_of(app, self._config, self._interpreters, address)).encode()


DOCUMENT = web.AppKey("aiohttp_jobs.openapi", ApiDocument)

_PAGE = Path(__file__).with_name("openapi") / "page"
_FILES = MappingProxyType(
    {
        "docs.js": "text/javascript; charset=utf-8",
        "docs.css": "text/css; charset=utf-8",
        "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
        "swagger-ui.css": "text/css; charset=utf-8",
    }
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}

routes = web.RouteTableDef()


@routes.get(ROOT + "/openapi.json")
@operation(
    "Get the OpenAPI document",
    {200: Content("application/json", "This document.", schema={"type": "object"})},
)
@needs()
async def show_document(request: web.Request) -> web.Response:
    """The OpenAPI 3.1 document of this host, with its limits."""
    address = request.path.removesuffix("/openapi.json")
    return raw_answer(await request.app[DOCUMENT].json(request.app, address))


@routes.get(ROOT + "/docs")
@public
@operation("Read the API documentation", {200: Content("text/html", "A page that shows this document.")})
async def show_page(_request: web.Request) -> web.FileResponse:
    """A page that shows the document to those who are signed in, and lets them try each request."""
    return _file("docs.html", "text/html; charset=utf-8")


@routes.get(ROOT + "/docs/{name}")
@public
@unlisted
async def send_page_file(request: web.Request) -> web.FileResponse:
    name = request.match_info["name"]
    if name not in _FILES:
        raise NotFoundError
    return _file(name, _FILES[name])


def _file(name: str, content_type: str) -> web.FileResponse:
    response = web.FileResponse(_PAGE / name, headers={**_HEADERS, "Content-Type": content_type})
    response.headers["Cache-Control"] = "no-cache"  # asks each time, and gets 304 until the package changes
    return response
