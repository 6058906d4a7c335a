"""``aiohttp-jobs worker``: runs jobs of a PostgreSQL database on this machine, without HTTP.

The worker itself is in ``assembly.worker``.
"""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import ConfigurationError
from .place import Dsn, secret_of_hosts
from .printing import fail
from .streams import say

_SECRET = "AIOHTTP_JOBS_SECRET"  # noqa: S105 - the name of a variable


def worker(
    dsn: Dsn = None,
    secret_file: Annotated[
        Path | None,
        typer.Option(help=f"Read the installation's secret from this private file. Default: {_SECRET}."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The worker's name. Default: the name of this machine.")
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", help="A label that jobs may ask for, such as gpu; may be repeated."),
    ] = None,
    concurrency: Annotated[
        str | None,
        typer.Option(help="How many jobs to run at once, by mode, such as runspace=4,background=16."),
    ] = None,
    import_: Annotated[
        list[str] | None,
        typer.Option(
            "--import",
            metavar="MODULE",
            help="Import the host's functions from this module; may be repeated.",
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:NAME",
            help="The hosts' JobsConfig, or a function that returns it; for a roles_resolver.",
        ),
    ] = None,
    app_dir: Annotated[Path | None, typer.Option(help="The folder to import these modules from.")] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="This machine's folder for running jobs. Default: AIOHTTP_JOBS_DATA_DIR."),
    ] = None,
    grace: Annotated[
        float | None, typer.Option(help="How many seconds running jobs get to finish when it is stopped.")
    ] = None,
) -> None:
    """Run jobs from a PostgreSQL database.

    SIGTERM drains the worker: it finishes its jobs, then exits. A second one stops it now.
    """
    from ..assembly.worker import WorkerRequest, run_worker  # noqa: PLC0415 - others would wait for it

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if dsn is None and config is None:
        fail("Say where the database is: AIOHTTP_JOBS_DSN, or --dsn.")
    if data_dir is None and config is None and "AIOHTTP_JOBS_DATA_DIR" not in os.environ:
        fail("Say in which folder of this machine jobs may work: --data-dir, or AIOHTTP_JOBS_DATA_DIR.")
    settings: dict[str, Any] = {"dsn": dsn, "data_dir": data_dir, "shutdown_grace": grace}
    settings["secret"] = _secret(secret_file)
    request = WorkerRequest(
        name=name or socket.gethostname(),
        labels=label or (),
        places=_places(concurrency),
        imports=import_ or (),
        config=config,
        app_dir=app_dir,
        settings={setting: value for setting, value in settings.items() if value is not None},
    )
    try:
        run_worker(request, say)
    except ConfigurationError as error:
        fail(error.message)


def _secret(file: Path | None) -> str | None:
    if file is None:
        return secret_of_hosts()
    try:
        if file.stat().st_mode & 0o077:
            fail(f"{file} can be read by others. Make it yours alone: chmod 600 {file}")
        return file.read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        fail(f"{file} cannot be read: {error}")


def _places(text: str | None) -> dict[str, int]:
    places: dict[str, int] = {}
    for part in (text or "").split(",") if text else ():
        kind, _, most = part.strip().partition("=")
        if not most.isascii() or not most.isdigit():
            fail(f"--concurrency takes runspace=4,background=16, and not {text!r}.")
        places[kind.lower()] = int(most)
    return places
