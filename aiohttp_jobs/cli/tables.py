"""Tables for people, as wide as their terminal. Printing them is left to ``printing``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .texts import text_of

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_LEAST_WIDTH = 4
_BETWEEN = 2
_GOOD, _BAD, _BUSY = "green", "red", "cyan"
_STYLES = {
    **dict.fromkeys(("Succeeded", "sent"), _GOOD),
    **dict.fromkeys(("Failed", "TimedOut", "Interrupted", "Rejected", "failed"), _BAD),
    **dict.fromkeys(("Running", "pending"), _BUSY),
    "Cancelled": "yellow",
}


def table_text(shown: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> str:
    """`shown` as a table; see `print_table`."""
    console = Console()
    is_terminal = console.is_terminal
    if is_terminal and shown:  # there is little room, and nothing in some
        columns = {
            heading: name
            for heading, name in columns.items()
            if any(record.get(name) not in (None, "", []) for record in shown)
        }
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for column, (heading, name) in zip(table.columns, columns.items(), strict=True):
        column.no_wrap = not is_terminal or heading.endswith("ID")
        column.overflow = "fold"
        if heading.endswith("ID"):
            column.min_width = max((len(str(record.get(name) or "")) for record in shown), default=0)
    # For a pipe nothing is cut, whatever the width is; a terminal too narrow breaks the lines itself.
    least = sum((column.min_width or _LEAST_WIDTH) + _BETWEEN for column in table.columns)
    console.width = max(console.width, least) if is_terminal else 10_000
    for record in shown:
        table.add_row(*(_cell(record.get(name), is_short=is_terminal) for name in columns.values()))
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def _cell(value: Any, *, is_short: bool) -> Text:
    # As `Text`, because a plain string would be read as rich's markup.
    text = _short_time(value) if is_short else None
    text = text or " ".join(text_of(value).splitlines())
    return Text(text, style=_STYLES.get(text, ""))


def _short_time(value: Any) -> str | None:
    """A moment as the API writes it, by the clock on the wall here; ``None`` for anything else."""
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        return None
    try:
        moment, now = datetime.fromisoformat(value).astimezone(), datetime.now().astimezone()
    except (ValueError, OverflowError):
        return None
    if moment.date() == now.date():
        return f"{moment:%H:%M:%S}"
    return f"{moment:%b %d %H:%M}" if moment.year == now.year else f"{moment:%Y-%m-%d}"
