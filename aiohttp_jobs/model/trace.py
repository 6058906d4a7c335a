"""W3C Trace Context of a request and its job. Invalid values are ignored, as the standard requires.

https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_KEY = r"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
_MEMBER = re.compile(rf"{_KEY}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{{0,255}}[\x21-\x2b\x2d-\x3c\x3e-\x7e]", re.ASCII)
_MOST_MEMBERS = 32
_LONGEST_STATE = 512
_LONGEST_PARENT = 512


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A trace context: `parent` is a ``traceparent`` of version 00, `state` its ``tracestate``."""

    parent: str
    state: str | None = None

    @classmethod
    def of(cls, parents: Sequence[str], states: Sequence[str] = ()) -> Self | None:
        """The trace context in a request's headers; ``None`` if there is no valid one.

        Of a later version, the parts that version 00 defines are used. An invalid ``tracestate`` alone is
        dropped.
        """
        if len(parents) != 1 or (parent := _parent(parents[0].strip(" \t"))) is None:
            return None
        return cls(parent, valid_state(states))

    @property
    def trace_id(self) -> str:
        return self.parent[3:35]


def trace_id_of(parent: str | None) -> str | None:
    """The trace id in a valid ``traceparent``."""
    return None if parent is None else TraceContext(parent).trace_id


def _parent(text: str) -> str | None:
    found = _PARENT.fullmatch(text) if len(text) <= _LONGEST_PARENT else None
    if found is None:
        return None
    version, trace_id, parent_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or not trace_id.strip("0") or not parent_id.strip("0"):
        return None
    # Of the flags version 00 knows the first alone.
    return f"00-{trace_id}-{parent_id}-{int(flags, 16) & 1:02x}"


def valid_state(headers: Sequence[str]) -> str | None:
    """The combined ``tracestate`` headers; ``None`` if they are empty or not valid."""
    members = [each.strip(" \t") for header in headers for each in header.split(",")]
    members = [each for each in members if each]
    keys = {each.partition("=")[0] for each in members}
    state = ",".join(members)
    is_valid = len(keys) == len(members) <= _MOST_MEMBERS and all(map(_MEMBER.fullmatch, members))
    return state if state and is_valid and len(state) <= _LONGEST_STATE else None
