"""Skips tests of endpoints that other branches bring, for as long as this tree does not have them.

To go away, with its calls, when the last of them is merged.
"""

from __future__ import annotations

import pytest
from aiohttp import ClientSession

from .conftest import Host

_NOBODY = "00000000-0000-4000-8000-000000000000"
_ENDPOINTS = {
    "me": ("GET", "/me"),
    "keys": ("GET", "/api-keys"),
    "search": ("GET", "/results"),
    "rerun": ("POST", f"/jobs/{_NOBODY}/rerun"),
    "templates": ("GET", "/templates"),
    "notices": ("GET", "/notices"),
    "openapi": ("GET", "/openapi.json"),
}


async def missing(api: str, key: str) -> set[str]:
    """Which of `_ENDPOINTS` the host at `api` does not have."""
    absent: set[str] = set()
    async with ClientSession(headers={"Authorization": f"Bearer {key}"}) as session:
        for feature, (method, path) in _ENDPOINTS.items():
            async with session.request(method, api + path) as response:
                text = await response.text()
                if response.status == 404 and "nothing at this address" in text:
                    absent.add(feature)
    return absent


async def needs(host: Host, *features: str) -> None:
    """Skip the test unless the host has all these."""
    caller = host.caller("debug", user_id="prober")
    key = caller.session.headers["Authorization"].removeprefix("Bearer ")
    absent = (await missing(host.api, key)).intersection(features)
    if absent:
        endpoints = ", ".join(" ".join(_ENDPOINTS[feature]) for feature in sorted(absent))
        pytest.skip(f"not in this tree yet: {endpoints}")
