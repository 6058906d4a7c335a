"""The ``aiohttp-jobs`` command: API keys on the data folder, everything else over HTTP."""

from __future__ import annotations

try:
    import typer
except ModuleNotFoundError:  # the [cli] extra is not installed
    raise SystemExit("This command needs more: pip install 'aiohttp-jobs[cli]'") from None

from .api_keys import api_keys
from .jobs import cancel, jobs, results, submit, watch

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Submit, watch and manage jobs and API keys."
)
app.add_typer(api_keys, name="api-key")
for command in (submit, jobs, watch, cancel, results):
    app.command()(command)


def main() -> None:
    app()
