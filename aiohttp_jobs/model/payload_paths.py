"""Paths into a JSON document, such as ``commits[0].author.name``. Pure."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, StringConstraints

from .schema_extras import SchemaExtras

_STEP = r"(?:\.?([A-Za-z0-9_@$/-]{1,100})|\[([0-9]{1,6})\]|\[\"([^\"\\\x00-\x1f]{1,100})\"\])"
_PATH = rf"(?!\.){_STEP}{{1,20}}"


def _check(path: str) -> str:
    # A key that follows another without a dot is the same key: the greedy match takes all of it.
    if not re.fullmatch(_PATH, path):
        raise ValueError(
            "must be a path such as commits[0].author.name: keys with dots between them, [0] for an entry of "
            'a list, ["key"] for a key with other characters'
        )
    return path


PayloadPath = Annotated[
    str,
    StringConstraints(min_length=1, max_length=500),
    AfterValidator(_check),
    SchemaExtras({"pattern": f"^{_PATH}$"}),
]


def value_at(payload: Any, path: str) -> Any:
    """The value of `payload` at `path`, a `PayloadPath`; ``None`` if there is none."""
    found = payload
    for key, index, quoted in re.findall(_STEP, path):
        if index:
            is_there = isinstance(found, list) and int(index) < len(found)
            found = found[int(index)] if is_there else None
        else:
            found = found.get(key or quoted) if isinstance(found, dict) else None
    return found
