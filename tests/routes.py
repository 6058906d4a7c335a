"""Every route of the mounted plugin, from its router, so that tests which walk them meet a new one too."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from aiohttp_jobs.http.auth.middleware import Right, right_of

from .conftest import Host


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    handler: Any

    @property
    def name(self) -> str:
        return f"{self.method} {self.path.partition('/api/v1')[2] or self.path}"

    @property
    def right(self) -> Right | None:
        return right_of(self.handler)

    @property
    def has_id(self) -> bool:
        return "{" in self.path

    def address(self, value: str) -> str:
        return re.sub(r"\{[^}]+\}", value, self.path)


def walk(host: Host) -> list[Route]:
    """Every route of the plugin, those of the page and its files too."""
    (jobs_app,) = host.app._subapps
    return [
        Route(route.method, route.resource.canonical, route.handler)
        for route in jobs_app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    ]
