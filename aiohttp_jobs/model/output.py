"""Pieces of a job's output, wherever it is kept."""

from __future__ import annotations

from typing import NamedTuple

CHUNK = 64 * 1024
"""How many bytes are read at once unless more are asked for."""


class OutputPart(NamedTuple):
    """A piece of an output. `offset` is where it starts, past the one asked for if that is not kept."""

    offset: int
    data: bytes


class Span(NamedTuple):
    """A stretch of an output that is kept without a gap: from `start` up to `stop`, in bytes."""

    start: int
    stop: int
