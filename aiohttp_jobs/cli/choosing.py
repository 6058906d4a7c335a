"""Finding what somebody means who names a schedule or a template by its id or by its name."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable

from ..client import Record
from .printing import fail


async def by_id_or_name(
    text: str,
    kind: str,
    get: Callable[[str], Awaitable[Record]],
    every: Callable[[], Awaitable[list[Record]]],
) -> Record:
    """The one with this id, or else the only one with this name."""
    try:
        return await get(str(uuid.UUID(text)))
    except ValueError:
        found = [record for record in await every() if record.get("Name") == text]
    if len(found) > 1:
        fail(f"There are {len(found)} {kind}s with the name {text!r}; give the id.")
    return found[0] if found else fail(f"There is no {kind} with the name {text!r}.")
