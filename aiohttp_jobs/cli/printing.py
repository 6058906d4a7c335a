"""What the commands share in speaking: JSON for scripts, tables for people, failures on stderr."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import zip_longest
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .streams import say, takes_all_characters, write_out

AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

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


def print_json(data: Any) -> None:
    write_out(json.dumps(data, indent=2, ensure_ascii=not takes_all_characters()) + "\n")


def print_text(text: str = "") -> None:
    """`text` and the end of a line."""
    write_out(f"{text}\n")


def print_table(records: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    """A table of `records`; `columns` maps headings to the names of fields.

    Ids are never cut, as they are typed again. On a terminal times are short and local.
    """
    shown, console = list(records), Console()
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
    write_out(captured.get())


def print_fields(record: Mapping[str, Any]) -> None:
    """One record, a field a line; fields without a value are left out."""
    shown = {name: _text(value) for name, value in record.items() if value not in (None, "", [], ())}
    width = max(map(len, shown), default=0)
    for name, text in shown.items():
        lines = text.splitlines() or [""]
        for heading, line in zip_longest((name,), lines, fillvalue=""):
            print_text(f"{heading:<{width}}  {line}")


def report(data: Any, sentence: str, *, as_json: bool) -> None:
    """Say what was done: `data` for scripts, `sentence` for people."""
    if as_json:
        print_json(data)
    else:
        print_text(sentence)


def fail(message: str, code: int = 1) -> NoReturn:
    """End with exit code `code`, saying why on stderr."""
    say(message)
    raise typer.Exit(code)


def _cell(value: Any, *, is_short: bool) -> Text:
    # As `Text`, because a plain string would be read as rich's markup.
    text = _short_time(value) if is_short else None
    text = text or " ".join(_text(value).splitlines())
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


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return harmless(", ".join(value))
    return harmless(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def harmless(text: str) -> str:
    """Without what a terminal would obey: what others named their jobs is only to be read."""
    return "".join(
        each if each.isprintable() or each in "\n\t" else "\N{REPLACEMENT CHARACTER}" for each in text
    )
