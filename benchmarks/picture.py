"""The picture of the report: bars of each contender against the yardstick, as SVG.

Legible in light and dark: it brings its own background, and follows the reader's preference.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .report import number, rows
from .tables import Contender, Kind, Table

_WIDTH, _LEFT, _RIGHT = 880, 270, 190
_ROW, _BAR, _HEAD, _GAP = 26, 16, 54, 26
_STYLE = """
  text { font: 13px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif; fill: #1f2430; }
  .title { font-weight: 600; font-size: 15px; } .small { font-size: 11.5px; fill: #5b6472; }
  .mine { font-weight: 600; } .paper { fill: #fbfbfd; stroke: #d9dde5; }
  .floor { fill: #a7b0bf; } .ours { fill: #2463d6; } .other { fill: #8db4f5; } .peer { fill: #e0a33e; }
  .track { fill: #edf0f5; } .limit { stroke: #4d5666; stroke-width: 1.5; stroke-dasharray: 4 3; }
  .spread { stroke: #1f2430; stroke-width: 1.2; opacity: .55; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6e9ef; } .small { fill: #a3acba; } .paper { fill: #191d25; stroke: #343b48; }
    .floor { fill: #6d7686; } .ours { fill: #5b93f7; } .other { fill: #34548f; } .peer { fill: #c98a25; }
    .track { fill: #242a35; } .limit { stroke: #b9c1ce; } .spread { stroke: #e6e9ef; }
  }
"""


def draw(tables: Sequence[Table]) -> str:
    """An SVG with a panel for each table."""
    parts: list[str] = []
    top = _GAP
    for table in tables:
        panel, height = _panel(table, top)
        parts.append(panel)
        top += height + _GAP
    parts.append(_legend(top))
    height = top + 34
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
        f'height="{height}" role="img" aria-label="{escape(_label(tables))}">\n<style>{_STYLE}</style>\n'
        f'<rect class="paper" x=".5" y=".5" width="{_WIDTH - 1}" height="{height - 1}" rx="10"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _label(tables: Sequence[Table]) -> str:
    return "Measured against a yardstick: " + "; ".join(table.title for table in tables)


def _panel(table: Table, top: int) -> tuple[str, int]:
    shown = [row for row, _, _ in rows(table)]
    most = max(max(row.values) if len(row.values) < 3 else row.median * 1.05 for row in shown)
    scale = (_WIDTH - _LEFT - _RIGHT) / most
    better = "more" if table.more_is_better else "less"
    lines = [
        f'<text class="title" x="24" y="{top + 14}">{escape(table.title.replace("`", ""))}</text>',
        f'<text class="small" x="24" y="{top + 32}">{escape(table.unit)}, {better} is better; '
        "the dashed line is the yardstick, thin lines show the spread of the rounds</text>",
    ]
    first = top + _HEAD
    for place, row in enumerate(shown):
        lines += _bar(table, row, first + place * _ROW, scale)
    limit, bottom = _LEFT + table.floor.median * scale, first + len(shown) * _ROW
    lines.append(
        f'<line class="limit" x1="{limit:.1f}" x2="{limit:.1f}" y1="{first - 6}" y2="{bottom - 4}"/>'
    )
    return "\n".join(lines), _HEAD + len(shown) * _ROW


def _bar(table: Table, row: Contender, y: int, scale: float) -> list[str]:
    room = _WIDTH - _LEFT - _RIGHT
    width = min(room, row.median * scale)
    low, high = (_LEFT + min(room, value * scale) for value in (min(row.values), max(row.values)))
    middle = y + _BAR / 2
    value = number(row.median)
    if row is not table.floor:
        value += f" · {number(table.ratio(row).median)} × the yardstick"
    mine = ' class="mine"' if row.kind is Kind.OURS else ""
    return [
        f'<text{mine} x="{_LEFT - 10}" y="{y + 13}" text-anchor="end">{escape(row.name)}</text>',
        f'<rect class="track" x="{_LEFT}" y="{y}" width="{room}" height="{_BAR}" rx="3"/>',
        f'<rect class="{row.kind}" x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}" rx="3"/>',
        f'<line class="spread" x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}"/>',
        f'<text class="small" x="{_WIDTH - _RIGHT + 8}" y="{y + 12}">{escape(value)}</text>',
    ]


def _legend(top: int) -> str:
    words = {
        Kind.FLOOR: "yardstick",
        Kind.OURS: "aiohttp-jobs",
        Kind.OTHER: "aiohttp-jobs, in another way",
        Kind.PEER: "peers",
    }
    parts, x = [], 24
    for kind, text in words.items():
        parts.append(f'<rect class="{kind}" x="{x}" y="{top}" width="12" height="12" rx="2"/>')
        parts.append(f'<text class="small" x="{x + 18}" y="{top + 10}">{text}</text>')
        x += 44 + 7 * len(text)
    return "\n".join(parts)
