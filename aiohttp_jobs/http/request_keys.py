"""Typed keys of the values that the plugin stores on a request, for every supported version of aiohttp."""

from __future__ import annotations

from typing import TypeVar, cast

from aiohttp import web

from ..model.identity import Identity

T = TypeVar("T")


def request_key(name: str, kind: type[T]) -> web.RequestKey[T]:
    """A key for ``request[key]`` with a value of type `kind`; `name` is unique and starts with the package's
    name.
    """
    if hasattr(web, "RequestKey"):
        return web.RequestKey(name, kind)
    # Before 3.14 aiohttp takes plain strings there, and since then it warns of them.
    return cast("web.RequestKey[T]", name)


IDENTITY = request_key("aiohttp_jobs.identity", Identity)
"""The identity that sent the request; absent on public routes. See ``auth.middleware``."""
