"""A host that soon stops what blocks its event loop, and code that runs on it and blocks nothing."""

from __future__ import annotations

import textwrap
from typing import Any

from .conftest import Caller

SOON_SECONDS = 1.0
"""How long a job may block the loop of such a host: what blocks it keeps a processor busy for as long."""


async def python(caller: Caller, command: str) -> dict[str, Any]:
    """The result of Python in MainLoop."""
    return await caller.run(textwrap.dedent(command), "MainLoop", interpreter="python")


async def short_python(caller: Caller, command: str) -> dict[str, Any]:
    """The result of Python that takes a moment.

    A busy machine may give it no processor for as long as it may block; it runs again then. What is left of
    the job before it would stop it at once.
    """
    result = await python(caller, command)
    while result["Runtime"] >= SOON_SECONDS:
        result = await python(caller, command)
    return result
