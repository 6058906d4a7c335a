"""The tables as text for a terminal, and as the page of the documentation."""

from __future__ import annotations

from .tables import Contender, Kind, Spread, Table

_MARK = {Kind.FLOOR: "=", Kind.OURS: "*", Kind.PEER: " ", Kind.OTHER: "+"}


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def spread(value: Spread) -> str:
    return f"{number(value.median)} ({number(value.low)} to {number(value.high)})"


def rows(table: Table) -> list[tuple[Contender, str, str]]:
    """Each contender with its value and its ratio to the yardstick; the best first after the yardstick."""
    sign = -1 if table.more_is_better else 1
    others = sorted(table.contenders[1:], key=lambda row: sign * row.median)
    return [
        (row, spread(Spread.of(row.values)), "1" if row is table.floor else spread(table.ratio(row)))
        for row in (table.floor, *others)
    ]


def show(table: Table) -> None:
    """Print a table."""
    print(f"\n{table.title}  [{table.unit}; median (spread) of {len(table.floor.values)} rounds]")
    cells = rows(table)
    width = max(len(row.name) for row, _, _ in cells)
    middle = max(len(value) for _, value, _ in cells)
    for row, value, ratio in cells:
        print(f"  {_MARK[row.kind]} {row.name:<{width}}  {value:<{middle}}  ratio {ratio}")
    for goal in table.goals:
        print(f"  goal: {goal.asked}: {goal.found}: {'met' if goal.met else 'NOT MET'}")
    for note in table.notes:
        print(f"  {note}")
