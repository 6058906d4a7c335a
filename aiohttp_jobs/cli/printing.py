"""How commands print: JSON for scripts, tables for people, errors on stderr."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import zip_longest
from typing import Annotated, Any, NoReturn

import typer

from .streams import say, takes_all_characters, write_out
from .texts import text_of

AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def print_json(data: Any) -> None:
    write_out(json.dumps(data, indent=2, ensure_ascii=not takes_all_characters()) + "\n")


def print_text(text: str = "") -> None:
    """Print a line."""
    write_out(f"{text}\n")


def print_table(records: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    """Print `records` as a table; `columns` maps headings to field names.

    Ids are never shortened, so that they can be used again. On a terminal, times are short and local.
    """
    from .tables import table_text  # noqa: PLC0415 - most commands print none, and would wait for it

    write_out(table_text(list(records), columns))


def print_fields(record: Mapping[str, Any]) -> None:
    """Print one record, a field a line. Fields without a value are left out."""
    shown = {name: text_of(value) for name, value in record.items() if value not in (None, "", [], ())}
    width = max(map(len, shown), default=0)
    for name, text in shown.items():
        lines = text.splitlines() or [""]
        for heading, line in zip_longest((name,), lines, fillvalue=""):
            print_text(f"{heading:<{width}}  {line}")


def report(data: Any, sentence: str, *, as_json: bool) -> None:
    """Report what was done: `data` with ``--json``, otherwise `sentence`."""
    if as_json:
        print_json(data)
    else:
        print_text(sentence)


def fail(message: str, code: int = 1) -> NoReturn:
    """End with exit code `code`, saying why on stderr."""
    say(message)
    raise typer.Exit(code)
