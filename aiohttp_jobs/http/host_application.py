"""Finds the application that the plugin is mounted in: the given one, or the root of the first request."""

from __future__ import annotations

from collections.abc import Awaitable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware


class HostApplication:
    """The root application: `given`, or else that of the first request; until then `mounted`."""

    def __init__(self, given: web.Application | None) -> None:
        self._given = given
        self._found: web.Application | None = None
        self.mounted: web.Application | None = None

    def __call__(self) -> web.Application | None:
        """The application, as far as it is known."""
        return self._given or self._found or self.mounted

    @property
    def noting(self) -> list[Middleware]:
        """The middleware that learns the root application from the first request, if none is given."""
        if self._given is not None:
            return []

        @web.middleware
        def middleware(request: web.Request, handler: Handler) -> Awaitable[web.StreamResponse]:
            if self._found is None:
                self._found = request.match_info.apps[0]
            return handler(request)

        return [middleware]
