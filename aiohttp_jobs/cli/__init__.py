"""The ``aiohttp-jobs`` command. Which module each subcommand is in, is listed in ``commands``."""

from __future__ import annotations

from typing import Any

try:
    import typer
except ModuleNotFoundError:  # the [cli] extra is not installed
    raise SystemExit("This command needs more: pip install 'aiohttp-jobs[cli]'") from None

from .commands import STYLE, OnDemand
from .streams import OutputError, flush_all, prepare_streams, say

__all__ = ["app", "main"]

app = typer.Typer(**STYLE, cls=OnDemand)


@app.callback()
def _all() -> None:
    """Submit, watch and manage jobs, schedules, templates, functions and API keys."""


def main() -> None:
    """Run the command that the arguments name, and exit with its exit code."""
    prepare_streams()
    code: Any = 0
    try:
        try:
            app(prog_name="aiohttp-jobs")
        except SystemExit as end:
            code = end.code
        except OSError as error:  # the help's own printing
            raise OutputError(error) from None
        flush_all()
    except OutputError as error:
        if not error.is_broken_pipe:
            say(str(error))
        code = code or error.code
    raise SystemExit(code)
