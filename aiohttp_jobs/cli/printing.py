"""What the commands share in speaking: JSON for scripts, tables for people, failures on stderr."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

_GOOD, _BAD, _BUSY = "green", "red", "cyan"
_STYLES = {
    **dict.fromkeys(("Succeeded", "sent"), _GOOD),
    **dict.fromkeys(("Failed", "TimedOut", "Interrupted", "Rejected", "failed"), _BAD),
    **dict.fromkeys(("Running", "pending"), _BUSY),
    "Cancelled": "yellow",
}


def print_json(data: Any) -> None:
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False))


def print_table(records: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    """A table of `records`; `columns` maps headings to the names of fields."""
    console = Console()
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    if console.is_terminal:
        for column in table.columns[1:]:
            column.overflow = "fold"
    else:  # for a pipe: nothing is cut, whatever the width is
        console.width = 10_000
        for column in table.columns:
            column.no_wrap = True
    for record in records:
        table.add_row(*(_cell(record.get(name)) for name in columns.values()))
    console.print(table)


def print_fields(record: Mapping[str, Any]) -> None:
    """One record, a field a line; fields without a value are left out."""
    shown = {name: _text(value) for name, value in record.items() if value not in (None, "", [], ())}
    width = max(map(len, shown), default=0)
    for name, text in shown.items():
        lines = text.splitlines() or [""]
        typer.echo(f"{name:<{width}}  {lines[0]}")
        for line in lines[1:]:
            typer.echo(f"{'':<{width}}  {line}")


def report(data: Any, sentence: str, *, as_json: bool) -> None:
    """Say what was done: `data` for scripts, `sentence` for people."""
    if as_json:
        print_json(data)
    else:
        typer.echo(sentence)


def fail(message: str, code: int = 1) -> NoReturn:
    """End with exit code `code`, saying why on stderr."""
    typer.echo(f"aiohttp-jobs: {message}", err=True)
    raise typer.Exit(code)


def _cell(value: Any) -> Text:
    # As `Text`, because a plain string would be read as rich's markup.
    text = " ".join(_text(value).splitlines())
    return Text(text, style=_STYLES.get(text, ""))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return _harmless(", ".join(value))
    return _harmless(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _harmless(text: str) -> str:
    """Without what a terminal would obey: what others named their jobs is only to be read."""
    return "".join(
        each if each.isprintable() or each in "\n\t" else "\N{REPLACEMENT CHARACTER}" for each in text
    )
