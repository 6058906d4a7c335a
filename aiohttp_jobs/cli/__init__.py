"""The ``aiohttp-jobs`` command: API keys on the data folder, everything else over HTTP."""

from __future__ import annotations

from typing import Any

try:
    import typer
except ModuleNotFoundError:  # the [cli] extra is not installed
    raise SystemExit("This command needs more: pip install 'aiohttp-jobs[cli]'") from None

from .account import configure, me
from .api_keys import api_keys
from .db import db
from .doctor import doctor
from .functions import OPEN_ENDED, function, functions, run
from .jobs import attempts, cancel, jobs, output, rerun, submit, watch
from .notices import notices
from .powershell import powershell_module
from .proxy import accept_no_proxy
from .queue import queue, restart_mainloop, runspaces
from .results import results
from .schedules import schedule
from .sessions import session
from .streams import OutputError, flush_all, prepare_streams, say
from .templates import template
from .worker import worker
from .workers import workers

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Submit, watch and manage jobs, schedules, templates, functions and API keys.",
)
for command in (
    configure,
    submit,
    jobs,
    watch,
    output,
    attempts,
    rerun,
    cancel,
    functions,
    function,
    runspaces,
    restart_mainloop,
    me,
    doctor,
    worker,
    powershell_module,
):
    app.command()(command)
app.command(context_settings=OPEN_ENDED)(run)
app.add_typer(results, name="results")
app.add_typer(schedule, name="schedule")
app.add_typer(template, name="template")
app.add_typer(queue, name="queue")
app.add_typer(workers, name="workers")
app.add_typer(notices, name="notices")
app.add_typer(api_keys, name="api-key")
app.add_typer(session, name="session")
app.add_typer(db, name="db")


accept_no_proxy(app)


def main() -> None:
    """Run the command that the arguments name, and exit as it wants."""
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
