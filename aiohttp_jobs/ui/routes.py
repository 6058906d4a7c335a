"""The page's routes: the HTML at the mount point, and its assets. Both are public and contain no data."""

from __future__ import annotations

import asyncio
import hashlib
from typing import NamedTuple

from aiohttp import web
from aiohttp.typedefs import Handler

from ..config import JobsConfig
from ..http.as_is import ResponseAsIs
from ..http.auth.middleware import public
from .assets import Asset, Assets
from .page import WORKER, Page

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_ASSET_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
"""For a picture that somebody opens by itself: it may look as it likes, and do nothing."""
_WORKER_POLICY = "default-src 'none'; script-src 'self'; connect-src 'self'"
"""A worker has the policy that its own file came with, not that of the page."""
_NOSNIFF = {"X-Content-Type-Options": "nosniff"}
_PAGE_HEADERS = {
    **_NOSNIFF,
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
_ASSET_HEADERS = {
    **_NOSNIFF,
    "Content-Security-Policy": _ASSET_POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "public, max-age=31536000, immutable",
    "Vary": "Accept-Encoding",
}


def ui_routes(config: JobsConfig) -> list[web.RouteDef]:
    """The page's routes; none if it is disabled.

    Raises `ConfigurationError` for a template or a logo that cannot be used.
    """
    if not config.ui_enabled:
        return []
    files = _Files(Page(config))
    return [
        web.get("", _add_slash),
        web.get("/", _page_handler(files)),
        web.get("/ui/{fingerprint}/{path:.+}", _asset_handler(files)),
    ]


class _AsSent(NamedTuple):
    page: Asset
    etag: str
    assets: Assets


class _Files:
    """A page and all that it loads, as they are sent.

    They are read when the first of them is asked for: a host without visitors has neither the quarter of a
    megabyte that they take, nor the time that compressing them takes.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self._read: _AsSent | None = None

    async def read(self) -> _AsSent:
        """The page, and what it loads. Raises ``OSError``."""
        if self._read is None:
            self._read = await asyncio.to_thread(self._from_disk)
        return self._read

    def _from_disk(self) -> _AsSent:
        assets = self._page.assets()
        body = self._page.html(assets).encode()
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        return _AsSent(Asset(body, "text/html; charset=utf-8"), etag, assets)


@public
async def _add_slash(request: web.Request) -> web.StreamResponse:
    """To the page; by a relative address, since a proxy may have changed the path."""
    last = request.rel_url.raw_parts[-1]
    query = f"?{request.rel_url.raw_query_string}" if request.query_string else ""
    raise web.HTTPPermanentRedirect(f"{last}/{query}", headers={"Cache-Control": "no-cache"})


def _page_handler(files: _Files) -> Handler:
    @public
    async def show_page(request: web.Request) -> web.StreamResponse:
        read = await files.read()
        headers = {**_PAGE_HEADERS, "Vary": "Accept-Encoding", "ETag": read.etag}
        return await _answer(request, read.page, headers)

    return show_page


def _asset_handler(files: _Files) -> Handler:
    @public
    async def show_asset(request: web.Request) -> web.StreamResponse:
        """404 for the files of another version too: they are not these."""
        assets = (await files.read()).assets
        asset = assets.files.get(request.match_info["path"])
        if asset is None or request.match_info["fingerprint"] != assets.fingerprint:
            raise web.HTTPNotFound
        headers = {**_ASSET_HEADERS, "ETag": f'"{assets.fingerprint}"'}
        if request.match_info["path"] == WORKER:
            headers["Content-Security-Policy"] = _WORKER_POLICY
        return await _answer(request, asset, headers)

    return show_asset


async def _answer(request: web.Request, asset: Asset, headers: dict[str, str]) -> web.StreamResponse:
    if headers["ETag"] in request.headers.get("If-None-Match", ""):
        return ResponseAsIs(status=304, headers=headers)
    headers["Content-Type"] = asset.content_type
    if asset.compressed is not None and "gzip" in request.headers.get("Accept-Encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return ResponseAsIs(body=asset.compressed, headers=headers)
    return web.Response(body=asset.body, headers=headers)
