"""``aiohttp-jobs db``: creates, upgrades and checks the tables of a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from ..errors import ConfigurationError
from .place import RequiredDsn, secret_of_hosts
from .printing import AsJSON, fail, print_json, print_text

T = TypeVar("T")

db = typer.Typer(no_args_is_help=True, help="Create and upgrade the tables of a PostgreSQL database.")

_OUTDATED = 2


@db.command()
def upgrade(dsn: RequiredDsn, as_json: AsJSON = False) -> None:
    """Create or upgrade the tables.

    Can be repeated, and run while hosts are running.
    """
    from ..assembly import database  # noqa: PLC0415 - every other command would wait for it

    taken = _or_fail(lambda: database.upgrade(dsn))
    if as_json:
        print_json({"steps": taken})
    elif taken:
        print_text(f"The database was upgraded: {', '.join(taken)}.")
    else:
        print_text("The database was up to date.")


@db.command()
def check(dsn: RequiredDsn, as_json: AsJSON = False) -> None:
    """Check that this release can use the database.

    Exits with 2 when it cannot.
    """
    from ..assembly import database  # noqa: PLC0415 - every other command would wait for it

    problem = _or_fail(lambda: database.problem(dsn))
    if as_json:
        print_json({"problem": problem})
    else:
        print_text(problem or "The database is up to date.")
    if problem is not None:
        raise typer.Exit(_OUTDATED)


@db.command("import")
def import_(
    dsn: RequiredDsn,
    data_dir: Annotated[Path, typer.Option(help="The data folder. Its hosts must be stopped.")],
    as_json: AsJSON = False,
) -> None:
    """Move a stopped installation from its folder to a database.

    Its results with their outputs, notices, waiting jobs, schedules, templates and API keys are brought,
    sessions are not. Can be run again: what is there already is left as it is. Start no host on the folder
    afterwards. The secret of the database's hosts is taken from AIOHTTP_JOBS_SECRET.
    """
    secret = secret_of_hosts()
    if not secret:
        fail("Put the secret of the database's hosts into AIOHTTP_JOBS_SECRET: it signs what is brought.")
    from ..assembly import importing  # noqa: PLC0415 - every other command would wait for it

    counts = _or_fail(lambda: importing.import_data_dir(data_dir, dsn, secret))
    if as_json:
        print_json({name: asdict(count) for name, count in counts.items()})
        return
    for name, count in counts.items():
        line = f"{name.replace('_', ' ')}: {count.new} brought, {count.known} there already"
        print_text(line + (f", {count.refused} not usable" if count.refused else ""))


def _or_fail(ask: Callable[[], T]) -> T:
    try:
        return ask()
    except ConfigurationError as error:
        fail(error.message)
