"""Values as text for people, without what would control their terminal. ``printing`` prints it."""

from __future__ import annotations

import json
from typing import Any


def text_of(value: Any) -> str:
    """A value as text for people, without terminal control sequences."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return harmless(", ".join(value))
    return harmless(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def harmless(text: str) -> str:
    """`text` without terminal control sequences, which another user may have put into a job's name."""
    return "".join(
        each if each.isprintable() or each in "\n\t" else "\N{REPLACEMENT CHARACTER}" for each in text
    )
