"""What the commands share in speaking: JSON for scripts, sentences on stderr for failures."""

from __future__ import annotations

import json
from typing import Annotated, Any, NoReturn

import typer

AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def print_json(data: Any) -> None:
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False))


def fail(message: str, code: int = 1) -> NoReturn:
    """End with exit code `code`, saying why on stderr."""
    typer.echo(f"aiohttp-jobs: {message}", err=True)
    raise typer.Exit(code)
