"""The options that name an installation for commands that need no host: a data folder, or a database."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

_SECRET, _DSN, _DATA_DIR = "AIOHTTP_JOBS_SECRET", "AIOHTTP_JOBS_DSN", "AIOHTTP_JOBS_DATA_DIR"
_DATABASE = (
    "postgresql://user@host/database. If it has a password, use the variable: everybody on the machine can "
    "read command lines."
)
_ITS_SECRET = f"Its hosts' secret is read from {_SECRET}."
_FOLDER = "The folder that contains apps/WebHostTaskManagement/."

RequiredDsn = Annotated[str, typer.Option("--dsn", help=f"The database: {_DATABASE}", envvar=_DSN)]
Dsn = Annotated[
    str | None, typer.Option("--dsn", help=f"The database: {_DATABASE} {_ITS_SECRET}", envvar=_DSN)
]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help=_FOLDER, envvar=_DATA_DIR)]
"""`Dsn` and `DataDir` are for commands that may look at both. For those that look at either, `place` has to
know what was typed, so it reads the variables itself."""
DsnOrFolder = Annotated[
    str | None,
    typer.Option(
        "--dsn", help=f"The database, instead of a folder: {_DATABASE} {_ITS_SECRET} [env var: {_DSN}]"
    ),
]
FolderOrDsn = Annotated[Path | None, typer.Option("--data-dir", help=f"{_FOLDER} [env var: {_DATA_DIR}]")]
DsnWithoutHTTP = Annotated[
    str | None, typer.Option("--dsn", help=f"Use this database instead of HTTP: {_DATABASE} {_ITS_SECRET}")
]
DataDirWithoutHTTP = Annotated[
    Path | None, typer.Option("--data-dir", help=f"Use this folder instead of HTTP. {_FOLDER}")
]


def secret_of_hosts() -> str | None:
    """The secret of a database's hosts and workers, as the environment has it."""
    return os.environ.get(_SECRET) or None


def place(data_dir: Path | None, dsn: str | None) -> dict[str, Any]:
    """The data folder or database to open, from the options and the environment.

    Hosts with a database have a folder too, so if both variables are set, the database is used.
    """
    if data_dir is None and dsn is None:
        dsn = os.environ.get(_DSN)
        folder = os.environ.get(_DATA_DIR)
        data_dir = Path(folder) if folder else None
    return {"data_dir": data_dir, "dsn": dsn or None, "secret": secret_of_hosts()}
