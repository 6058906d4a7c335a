"""Where the server is and with which key: from options, the environment, or a file of the user's own."""

from __future__ import annotations

import asyncio
import os
import stat
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from aiohttp import ClientError as TransportError

from ..client import ClientError, JobsClient
from .printing import fail

T = TypeVar("T")

Url = Annotated[
    str | None,
    typer.Option(
        envvar="AIOHTTP_JOBS_URL",
        help="Where the plugin is mounted, such as http://127.0.0.1:8080/apps/WebHostTaskManagement.",
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        envvar="AIOHTTP_JOBS_API_KEY",
        help="The API key. Better in the environment or the file: ps shows options to everybody.",
    ),
]


def config_file() -> Path:
    """``$XDG_CONFIG_HOME/aiohttp-jobs/config.toml``, with the keys ``url`` and ``api_key``."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "aiohttp-jobs" / "config.toml"


def with_client(url: str | None, key: str | None, work: Callable[[JobsClient], Awaitable[T]]) -> T:
    """Run `work` with a client; what goes wrong ends the command with a sentence."""
    kept = {} if url and key else _kept()
    url, key = url or kept.get("url"), key or kept.get("api_key")
    if not url or not key:
        fail(
            "Say where the server is and with which key: --url and --api-key, AIOHTTP_JOBS_URL and "
            f"AIOHTTP_JOBS_API_KEY, or url and api_key in {config_file()}."
        )

    async def run() -> T:
        async with JobsClient(url, key) as client:
            return await work(client)

    try:
        return asyncio.run(run())
    except ClientError as error:
        fail(str(error))
    except (TransportError, TimeoutError) as error:
        fail(f"The server at {url} cannot be reached: {error}")
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _kept() -> dict[str, str]:
    path = config_file()
    try:
        mode = path.stat().st_mode
        if stat.S_IMODE(mode) & 0o077:
            fail(f"{path} holds a key and others can read it. Run: chmod 600 {path}")
        return {name: str(value) for name, value in tomllib.loads(path.read_text()).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        fail(f"{path} cannot be read: {error}")
