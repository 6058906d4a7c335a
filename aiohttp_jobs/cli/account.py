"""``aiohttp-jobs configure`` and ``me``: the server's address, the user's key, and what that key may do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..client import JobsClient
from .connection import Key, Url, with_client
from .keyfile import read_config, write_config
from .printing import AsJSON, fail, print_fields, print_json, report
from .streams import read_in


def configure(
    url: Annotated[
        str | None, typer.Option(help="Where the plugin is mounted. Prompted for if not given.")
    ] = None,
    key_file: Annotated[
        Path | None, typer.Option(help="Read the API key from this file ('-': stdin) instead of a prompt.")
    ] = None,
    check: Annotated[bool, typer.Option(help="Try the key before storing it.")] = True,
    as_json: AsJSON = False,
) -> None:
    """Store the server's address and your API key.

    They are written to a configuration file that only you can read.
    """
    if url is None and key_file is None:
        url = typer.prompt("Address of the plugin", default=read_config().get("url"))
    url = url or read_config().get("url") or fail("Give --url, the address at which the plugin is mounted.")
    key = typer.prompt("API key", hide_input=True) if key_file is None else _read_key(key_file)
    if not key.strip():
        fail("The API key is empty.")
    if check:
        with_client(url, key, JobsClient.queue)
    path = write_config(url, key.strip())
    report({"file": str(path), "url": url}, f"Kept in {path}.", as_json=as_json)


def me(as_json: AsJSON = False, url: Url = None, api_key: Key = None) -> None:
    """Show who you are to the server, and your rights."""
    record = with_client(url, api_key, JobsClient.me)
    if as_json:
        print_json(record)
        return
    print_fields(
        {
            "User": record.get("userId"),
            "Roles": record.get("roles"),
            "Known by": record.get("proof"),
            "Modes": record.get("modes"),
            "Interpreters": record.get("interpreters"),
            "Highest priority": record.get("maxPriority"),
            "May": record.get("permissions"),
        }
    )


def _read_key(file: Path) -> str:
    try:
        return read_in() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        fail(f"{file} cannot be read: {error}")
