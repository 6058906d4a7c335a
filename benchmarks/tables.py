"""What a section has measured: rounds of each contender, their ratios to a yardstick, and goals.

Measuring is left to ``sections``, showing to ``report`` and ``picture``.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """What a contender is: the yardstick, this package, something else one could use, or for comparison."""

    FLOOR = "floor"
    OURS = "ours"
    PEER = "peer"
    OTHER = "other"


@dataclass(slots=True)
class Contender:
    """One row: a value per round, in the unit of its table."""

    name: str
    kind: Kind
    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.values)


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of the rounds, and the extremes."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Goal:
    """What issue 4 asks for, what was found, and whether that is enough."""

    asked: str
    found: str
    met: bool


@dataclass(slots=True)
class Table:
    """Contenders measured in the same, interleaved rounds. The first of them is the yardstick."""

    key: str
    title: str
    how: str
    unit: str
    more_is_better: bool
    sort: bool = True
    """Show the best first; otherwise the rows stay in their order."""
    contenders: list[Contender] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def contender(self, name: str, kind: Kind) -> Contender:
        """The row of that name, made when it is not there yet."""
        for row in self.contenders:
            if row.name == name:
                return row
        self.contenders.append(Contender(name, kind))
        return self.contenders[-1]

    def note(self, name: str, kind: Kind, value: float) -> None:
        """Add one round's value of a contender."""
        self.contender(name, kind).values.append(value)

    @property
    def floor(self) -> Contender:
        return self.contenders[0]

    def ratio(self, row: Contender) -> Spread:
        """A contender's value over the yardstick's, round by round."""
        pairs = zip(row.values, self.floor.values, strict=False)
        return Spread.of([value / max(limit, 1e-12) for value, limit in pairs])

    def difference(self, row: Contender) -> Spread:
        """A contender's value less the yardstick's, round by round."""
        pairs = zip(row.values, self.floor.values, strict=False)
        return Spread.of([value - limit for value, limit in pairs])

    def ask(self, asked: str, found: str, met: bool) -> None:
        self.goals.append(Goal(asked, found, met))

    def ask_ahead_of_peers(self, ours: str) -> None:
        """The goal that `ours` is better than every peer that ran."""
        peers = [row for row in self.contenders if row.kind is Kind.PEER]
        if not peers:
            return
        better = max if self.more_is_better else min
        best = better(peers, key=lambda row: row.median)
        times = self._times_as_good(ours, best)
        found = f"{times:.2f} times as good as {best.name}, the best of them"
        self.ask("ahead of every peer", found, times > 1)

    def ask_ahead_of_each_peer(self, ours: str) -> None:
        """The same as a goal for each peer that ran."""
        for peer in self.contenders:
            if peer.kind is Kind.PEER:
                times = self._times_as_good(ours, peer)
                self.ask(f"ahead of {peer.name}", f"{times:.2f} times as good", times > 1)

    def _times_as_good(self, ours: str, other: Contender) -> float:
        mine = self.contender(ours, Kind.OURS).median
        return mine / other.median if self.more_is_better else other.median / mine


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile, `share` between 0 and 1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
