"""Pieces of a job's output, wherever it is stored."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

CHUNK = 64 * 1024
"""How many bytes are read at once unless more are asked for."""


class OutputPart(NamedTuple):
    """A piece of an output. `offset` is where it starts: after the requested one, if that is in a gap."""

    offset: int
    data: bytes


class Span(NamedTuple):
    """A byte range that is stored without a gap: from `start` up to `stop`."""

    start: int
    stop: int


def joined_spans(spans: Iterable[Span]) -> list[Span]:
    """The bytes of all `spans` as few spans, first to last: those that touch or overlap become one."""
    found: list[Span] = []
    for span in sorted(spans):
        if found and span.start <= found[-1].stop:
            found[-1] = Span(found[-1].start, max(found[-1].stop, span.stop))
        else:
            found.append(span)
    return found
