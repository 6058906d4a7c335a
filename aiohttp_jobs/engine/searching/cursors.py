"""Cursors: where a page of results ended, as opaque text. Pure.

They are not signed: a forged cursor can only start elsewhere in the caller's own results.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from typing import Any

from ...model.results import ResultFilter, Sort
from ..base import BadCursorError

_MOST = 2000
_ID_LIMIT = 1 << 63

Key = tuple[int | float | str, ...]
"""A place in an order: the value that results are sorted by, unless that is completion, and the id."""


def write_cursor(key: Key, wanted: ResultFilter, sort: Sort) -> str:
    text = json.dumps([_digest(wanted, sort), *key], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(text: str, wanted: ResultFilter, sort: Sort) -> Key:
    """The place that the cursor `text` stands for. Raises `BadCursorError`."""
    try:
        if len(text) > _MOST:
            raise BadCursorError
        data = text.encode("ascii")
        parts = json.loads(base64.b64decode(data + b"=" * (-len(data) % 4), altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        raise BadCursorError from None
    length = 2 if sort.column == "completed" else 3
    if not isinstance(parts, list) or len(parts) != length or parts[0] != _digest(wanted, sort):
        raise BadCursorError
    if not _is_id(parts[-1]) or not (length == 2 or _fits(parts[1], sort)):
        raise BadCursorError
    return tuple(parts[1:])


def _digest(wanted: ResultFilter, sort: Sort) -> str:
    return hashlib.sha256(repr((wanted, sort.value)).encode("utf-8", "replace")).hexdigest()[:16]


def _fits(value: Any, sort: Sort) -> bool:
    match sort.column:
        case "started":
            return _is_id(value)
        case "runtime":
            return isinstance(value, float) and math.isfinite(value)
        case _:
            return isinstance(value, str) and value == value.encode("utf-8", "replace").decode()


def _is_id(value: Any) -> bool:
    return type(value) is int and -_ID_LIMIT <= value < _ID_LIMIT
