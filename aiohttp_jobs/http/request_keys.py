"""Keys of what the plugin keeps on a request, in every version of aiohttp that it runs with."""

from __future__ import annotations

from typing import TypeVar, cast

from aiohttp import web

T = TypeVar("T")


def request_key(name: str, kind: type[T]) -> web.RequestKey[T]:
    """A key for ``request[key]``, whose value is a `kind`; `name` is unique, with the package's in front."""
    if hasattr(web, "RequestKey"):
        return web.RequestKey(name, kind)
    # Before 3.14 aiohttp takes plain strings there, and since then it warns of them.
    return cast("web.RequestKey[T]", name)
