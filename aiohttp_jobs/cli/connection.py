"""The server's address and the API key: from options, the environment, or the user's configuration file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer
from aiohttp import ClientError as TransportError
from yarl import URL

from ..client import ClientError, JobsClient
from ..model.trace import TRACEPARENT, TRACESTATE, TraceContext
from .choosing import job_id_of
from .keyfile import config_file, read_config
from .printing import fail
from .proxy import proxy_for

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
        help="The API key. Safer in the environment or the file: ps shows options to everybody.",
    ),
]

JobID = Annotated[str, typer.Argument(help="The job's id, or at least its first 8 characters.")]

INTERRUPTED = 130


def with_client(url: str | None, key: str | None, work: Callable[[JobsClient], Awaitable[T]]) -> T:
    """Run `work` with a client. A failure ends the command with a sentence."""
    kept = {} if url and key else read_config()
    url, key = url or kept.get("url"), (key or kept.get("api_key") or "").strip()
    if not url or not key:
        fail(
            "Say where the server is and with which key: run 'aiohttp-jobs configure', or give --url and "
            f"--api-key, AIOHTTP_JOBS_URL and AIOHTTP_JOBS_API_KEY, or url and api_key in {config_file()}."
        )
    if not _is_address(url):
        fail(f"'{url}' is no URL: give one such as http://127.0.0.1:8080/apps/WebHostTaskManagement.")
    if not key.isascii() or not key.isprintable():
        fail("The API key has characters in it that no key has. Copy it again.")

    async def run() -> T:
        async with JobsClient(url, key, proxy=proxy_for(url), headers=_trace()) as client:
            return await work(client)

    try:
        return asyncio.run(run())
    except ClientError as error:
        fail(str(error))
    except (TransportError, TimeoutError) as error:
        fail(f"The server at {url} cannot be reached: {error}")
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def _is_address(url: str) -> bool:
    try:
        return URL(url).scheme in ("http", "https") and bool(URL(url).host)
    except ValueError:
        return False


def _trace() -> dict[str, str]:
    """The headers that say which trace this command is in, if it is in one: as a job is, for example."""
    found = TraceContext.of([os.environ.get("TRACEPARENT", "")], [os.environ.get("TRACESTATE", "")])
    if found is None:
        return {}
    return {TRACEPARENT: found.parent, **({} if found.state is None else {TRACESTATE: found.state})}


def with_job(
    url: str | None, key: str | None, job_id: str, work: Callable[[JobsClient, str], Awaitable[T]]
) -> T:
    """Run `work` with a client and the full id of the job whose id is, or begins with, `job_id`."""

    async def on_job(client: JobsClient) -> T:
        return await work(client, await job_id_of(client, job_id))

    return with_client(url, key, on_job)
