"""``aiohttp-jobs submit|jobs|watch|cancel|results``: jobs from the command line, over HTTP."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ..client import JobsClient
from ..models import ExecutionMode, InterpreterName, RetryPolicy
from .connection import Key, Url, with_client
from .printing import AsJSON, fail, print_json

JobID = Annotated[str, typer.Argument(help="The job's id.")]
_NO_EXIT_CODE = 1


def submit(
    command: Annotated[
        str | None, typer.Argument(help="The command; '-' or nothing reads it from stdin.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="Read the command from this file.")] = None,
    name: Annotated[str | None, typer.Option(help="What to call the job.")] = None,
    mode: Annotated[ExecutionMode, typer.Option(help="Where it runs.")] = ExecutionMode.BACKGROUND_JOB,
    interpreter: Annotated[InterpreterName | None, typer.Option(help="What reads it.")] = None,
    description: Annotated[str, typer.Option(help="A note kept with the job.")] = "",
    timeout: Annotated[float | None, typer.Option(help="Seconds after which it is stopped.")] = None,
    priority: Annotated[int | None, typer.Option(help="0 (last) to 9 (first).")] = None,
    concurrency_key: Annotated[str | None, typer.Option(help="Jobs with the same key never overlap.")] = None,
    run_at: Annotated[str | None, typer.Option(help="When to start: ISO 8601 with a time zone.")] = None,
    delay: Annotated[float | None, typer.Option(help="Seconds to wait before starting.")] = None,
    retries: Annotated[int, typer.Option(help="How often to try again when it fails.")] = 0,
    backoff: Annotated[float, typer.Option(help="Seconds before the first retry.")] = 10.0,
    wait: Annotated[bool, typer.Option(help="Show the output as it comes; exit as the job does.")] = False,
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """Submit a job."""
    text = _command_text(command, file)
    retry = RetryPolicy(count=retries, backoff_seconds=backoff) if retries else None

    async def work(client: JobsClient) -> int:
        job_id = await client.submit(
            text,
            name=name or _name_of(text),
            mode=mode,
            interpreter=interpreter,
            description=description,
            timeout_seconds=timeout,
            priority=priority,
            concurrency_key=concurrency_key,
            run_at=run_at,
            delay_seconds=delay,
            retry=retry,
        )
        if wait:
            return await _follow(client, job_id, as_json=as_json)
        if as_json:
            print_json({"jobId": job_id})
        else:
            typer.echo(job_id)
        return 0

    raise typer.Exit(with_client(url, api_key, work))


def watch(job_id: JobID, as_json: AsJSON = False, url: Url = None, api_key: Key = None) -> None:
    """Show a job's output as it comes, to its end; exit as the job does."""
    raise typer.Exit(with_client(url, api_key, lambda client: _follow(client, job_id, as_json=as_json)))


def jobs(
    state: Annotated[
        list[str] | None, typer.Option(help="running, queued, pending or done; may be repeated.")
    ] = None,
    everyone: Annotated[bool, typer.Option("--all", help="Everybody's, if you may see them.")] = False,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 30,
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """List jobs: running, queued, pending and ended."""
    records = with_client(
        url, api_key, lambda client: client.jobs(*(state or []), everyone=everyone, limit=limit)
    )
    if as_json:
        print_json(records)
        return
    table = Table("JobID", "Name", "User", "Mode", "Status", "Runtime")
    for record in records:
        table.add_row(*_cells(record, "JobID", "JobName", "UserID", "ExecutionMode", "Status", "Runtime"))
    Console().print(table)


def cancel(job_id: JobID, as_json: AsJSON = False, url: Url = None, api_key: Key = None) -> None:
    """Have a job stopped, or never started."""
    status = with_client(url, api_key, lambda client: client.cancel(job_id))
    if as_json:
        print_json({"jobId": job_id, "status": status})
    else:
        typer.echo(f"The job is being cancelled ({status}).")


def results(
    limit: Annotated[int, typer.Option(help="How many at most.")] = 30,
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """List one's own results, newest first."""
    records = with_client(url, api_key, lambda client: client.results(limit))
    if as_json:
        print_json(records)
        return
    table = Table("JobID", "Name", "Status", "Exit", "Runtime", "Completed")
    for record in records:
        table.add_row(*_cells(record, "JobID", "JobName", "Status", "ExitCode", "Runtime", "DateCompleted"))
    Console().print(table)


async def _follow(client: JobsClient, job_id: str, *, as_json: bool) -> int:
    ended: dict[str, Any] = {}
    try:
        async for event in client.follow(job_id):
            if event.name == "end":
                ended = event.data
            elif event.name == "output" and not as_json:
                sys.stdout.write(event.text)
                sys.stdout.flush()
    except BrokenPipeError:
        return 141
    if as_json:
        print_json((await client.result(job_id)).to_record())
    elif ended.get("Status") not in ("Succeeded", "Failed"):
        typer.echo(f"aiohttp-jobs: the job ended as {ended.get('Status')}", err=True)
    return _exit_code(ended)


def _exit_code(record: dict[str, Any]) -> int:
    """The job's own exit code, as a shell would report it; 1 for a failure that has none."""
    code = record.get("ExitCode")
    if record.get("Success"):
        return 0
    if not isinstance(code, int) or code == 0:
        return _NO_EXIT_CODE
    return code if code > 0 else 128 - code


def _command_text(command: str | None, file: Path | None) -> str:
    if file is not None and command is not None:
        fail("Give either a command or --file, not both.")
    if file is not None:
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            fail(f"{file} cannot be read: {error}")
    return sys.stdin.read() if command in (None, "-") else str(command)


def _name_of(command: str) -> str:
    words = " ".join(command.split())
    return words[:40] or "job"


def _cells(record: dict[str, Any], *names: str) -> list[str]:
    return ["" if record.get(name) is None else str(record[name]) for name in names]
