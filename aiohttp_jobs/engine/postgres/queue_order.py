"""The order of due jobs, computed from the counts of each user's jobs, for places in the queue and lists.

It is the order of ``claim`` in ``schema/``, as if every job could start. ``jobs`` reads the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple


class UsersLine(NamedTuple):
    """The jobs of one user and one priority: their number, when the user's turn was last (0: never), and the
    place of the first in the order of acceptance."""

    priority: int
    user_id: str
    number: int
    turn: int
    head: int


@dataclass(frozen=True, slots=True)
class QueueOrder:
    """By priority; of one priority users take turns, from the one whose turn was longest ago."""

    levels: tuple[tuple[UsersLine, ...], ...]
    """Of each priority, the highest first, the users in the order of their turns."""

    @classmethod
    def of(cls, lines: Iterable[UsersLine]) -> QueueOrder:
        """That of all `lines`."""
        ordered = sorted(lines, key=lambda line: (-line.priority, line.turn, line.head))
        return cls(tuple(tuple(level) for _, level in groupby(ordered, key=lambda line: line.priority)))

    def position(self, priority: int, user_id: str, nth: int) -> int | None:
        """The place of the user's `nth` job of that priority; both count from 1. ``None``: there is none."""
        before = 0
        for level in self.levels:
            if level[0].priority != priority:
                before += sum(line.number for line in level)
                continue
            mine = next((index for index, line in enumerate(level) if line.user_id == user_id), None)
            if mine is None or level[mine].number < nth:
                return None
            earlier = sum(min(line.number, nth - 1) for line in level)
            return before + earlier + sum(line.number >= nth for line in level[:mine]) + 1
        return None

    @property
    def total(self) -> int:
        """How many jobs there are."""
        return sum(line.number for level in self.levels for line in level)

    def of_user(self, user_id: str) -> QueueOrder:
        """The order of one user's jobs alone."""
        return QueueOrder.of(line for level in self.levels for line in level if line.user_id == user_id)

    def first(self, limit: int) -> Iterator[tuple[UsersLine, int]]:
        """The lines that have the first `limit` jobs, and how many of each those are."""
        for level in self.levels:
            if limit <= 0:
                return
            rounds = _whole_rounds(level, limit)
            left = limit - sum(min(line.number, rounds) for line in level)
            for line in level:
                has_one_more = left > 0 and line.number > rounds
                left -= has_one_more
                if most := min(line.number, rounds) + has_one_more:
                    yield line, most
            limit -= sum(line.number for line in level)


def _whole_rounds(level: tuple[UsersLine, ...], limit: int) -> int:
    """How often everyone's turn comes, as far as there are jobs, within the first `limit`."""
    low, high = 0, max(line.number for line in level)
    while low < high:
        middle = (low + high + 1) // 2
        if sum(min(line.number, middle) for line in level) <= limit:
            low = middle
        else:
            high = middle - 1
    return low
