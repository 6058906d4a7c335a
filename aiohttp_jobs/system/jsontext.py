"""JSON with orjson, and with the standard library where orjson is stricter. Does no I/O."""

from __future__ import annotations

import json
from typing import Any

import orjson


def dumps(data: Any) -> bytes:
    """Compact JSON. A lone surrogate, which other programs may have written, is escaped as `json` does it."""
    try:
        return orjson.dumps(data)
    except orjson.JSONEncodeError:
        return json.dumps(data).encode()


def indented(data: Any) -> bytes:
    """Indented JSON in UTF-8, which cannot represent a lone surrogate: it becomes ``?``."""
    try:
        return orjson.dumps(data, option=orjson.OPT_INDENT_2)
    except orjson.JSONEncodeError:
        return json.dumps(data, ensure_ascii=False, indent=2).encode("utf-8", "replace")


def loads(data: bytes) -> Any:
    """Parse JSON, also with a byte order mark, in UTF-16, or with escaped lone surrogates.

    Integers of more than 64 bits become floats. Raises ``ValueError``.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return json.loads(data)
