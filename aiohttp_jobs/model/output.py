"""Pieces of a job's output, wherever it is stored."""

from __future__ import annotations

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
