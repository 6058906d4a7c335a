"""The options that name an installation for commands that need no host: a data folder, or a database."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

DataDir = Annotated[
    Path | None,
    typer.Option(
        help="The folder that contains apps/WebHostTaskManagement/. [env var: AIOHTTP_JOBS_DATA_DIR]",
    ),
]
Dsn = Annotated[
    str | None,
    typer.Option(
        help="The database, instead of a folder: postgresql://user@host/database. Its hosts' secret is read "
        "from AIOHTTP_JOBS_SECRET. A dsn with a password belongs into the variable. "
        "[env var: AIOHTTP_JOBS_DSN]",
    ),
]


def place(data_dir: Path | None, dsn: str | None) -> dict[str, Any]:
    """The data folder or database to open, from the options and the environment.

    Hosts with a database have a folder too, so if both variables are set, the database is used.
    """
    if data_dir is None and dsn is None:
        dsn = os.environ.get("AIOHTTP_JOBS_DSN")
        folder = os.environ.get("AIOHTTP_JOBS_DATA_DIR")
        data_dir = Path(folder) if folder else None
    return {"data_dir": data_dir, "dsn": dsn or None, "secret": os.environ.get("AIOHTTP_JOBS_SECRET")}
