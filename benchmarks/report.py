"""The tables as text for a terminal, and as the page of the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .tables import Contender, Kind, Spread, Table

_NOTHING = 1e-3
_TOP = """# Benchmarks

Written by `make bench`, which measures everything here side by side: {command}, {when}, on {machine}.
Every number belongs to a yardstick that was measured in the same rounds, one after the other, so ratios are
what to look at; the rest depends on the machine. `make bench ARGS=--quick` does less in under 90 seconds and
changes nothing here.

![aiohttp-jobs and its peers against the yardstick](_static/benchmarks.svg)

Every contender does the same work: a command as a subprocess whose output is kept as a result, Python, or a
function. aiohttp-jobs syncs each accepted job and each result, files and folders, before it says so. What the
peers promise is listed below, with their versions; a Redis that syncs every second may lose that second.

Not measured by it, as it takes half an hour and 20 GB: ten million results over PostgreSQL, by
`make bench-results`. Of 40 questions (pages, filters, searches), all cost at most 1.5 times what they cost
among 10,000 ([how far one database goes](explanation/scale.md) has the figures).
"""
_MARK = {Kind.FLOOR: "=", Kind.OURS: "*", Kind.PEER: " ", Kind.OTHER: "+"}


@dataclass(frozen=True, slots=True)
class Facts:
    """What the page says of the run beside its numbers."""

    when: str
    machine: str
    command: str
    versions: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def spread(value: Spread) -> str:
    """The median, and the extremes where there are any."""
    if value.low == value.high:
        return number(value.median)
    return f"{number(value.median)} ({number(value.low)} to {number(value.high)})"


def rows(table: Table) -> list[tuple[Contender, str, str]]:
    """Each contender with its value and its ratio to the yardstick; in the order to show."""
    sign = -1 if table.more_is_better else 1
    others = table.contenders[1:]
    if table.sort:
        others = sorted(others, key=lambda row: sign * row.median)
    return [(row, spread(Spread.of(row.values)), _ratio(table, row)) for row in (table.floor, *others)]


def _ratio(table: Table, row: Contender) -> str:
    if row is table.floor:
        return "1"
    return spread(table.ratio(row)) if table.floor.median > _NOTHING else "–"


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


def page(tables: Sequence[Table], facts: Facts) -> str:
    """The page of the documentation: Markdown."""
    parts = [_TOP.format(when=facts.when, machine=facts.machine, command=facts.command)]
    if asked := [goal for table in tables for goal in table.goals]:
        parts.append(f"Of {len(asked)} goals, {sum(goal.met for goal in asked)} are met.\n")
        parts.append(_goals(tables))
    parts += [_section(table) for table in tables]
    parts.append("## What was measured with what\n\n" + "".join(f"- {line}\n" for line in facts.versions))
    if facts.missing:
        parts.append("## What did not run\n\n" + "".join(f"- {line}\n" for line in facts.missing))
    return "\n".join(parts)


def _goals(tables: Sequence[Table]) -> str:
    lines = ["| what | goal | found | |", "| --- | --- | --- | --- |"]
    for table in tables:
        lines += [
            f"| {table.title} | {goal.asked} | {goal.found} | {'met' if goal.met else '**not met**'} |"
            for goal in table.goals
        ]
    return "\n".join(lines) + "\n"


def _section(table: Table) -> str:
    rounds = len(table.floor.values)
    spreads = f"; median of {rounds} interleaved rounds (lowest to highest)" if rounds > 1 else ""
    lines = [
        f"## {table.title}\n",
        f"{table.how}\n",
        f"| | {table.unit}{spreads} | ratio to the yardstick |",
        "| --- | --- | --- |",
    ]
    for row, value, ratio in rows(table):
        name = {Kind.FLOOR: f"{row.name} (the yardstick)", Kind.OURS: f"**{row.name}**"}.get(
            row.kind, row.name
        )
        lines.append(f"| {name} | {value} | {ratio} |")
    lines += [f"\n{note}" for note in table.notes]
    return "\n".join(lines) + "\n"
