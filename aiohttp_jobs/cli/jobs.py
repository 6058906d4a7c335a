"""``aiohttp-jobs submit|jobs|watch|output|attempts|rerun|cancel``: jobs, over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..client import JobsClient, SavedHow
from ..model.words import ExecutionMode
from .choosing import job_id_of
from .connection import JobID, Key, Url, with_client, with_job
from .following import follow, run_job
from .printing import AsJSON, fail, print_json, print_table, report
from .streams import reason, write_out
from .submission import (
    Backoff,
    Command,
    CommandFile,
    ConcurrencyKey,
    Delay,
    Description,
    Interpreter,
    Label,
    Mode,
    NotifyEmail,
    NotifyOn,
    NotifyWebhook,
    Priority,
    Retries,
    RunAt,
    Timeout,
    command_text,
    job_body,
    name_of,
    notices,
    retry_policy,
)

Wait = Annotated[bool, typer.Option(help="Follow the output, and exit as the job does.")]
CancelOnInterrupt = Annotated[
    bool, typer.Option(help="Ctrl-C cancels the job too. By default the job goes on.")
]
_SAVED = {
    SavedHow.NEW: "",
    SavedHow.CONTINUED: "; what it had of them was kept",
    SavedHow.UNCHANGED: ", as it had before",
    SavedHow.REPLACED: "; what it had was not the beginning of this output and was replaced",
}
_JOB_COLUMNS = {
    "JobID": "JobID",
    "Name": "JobName",
    "User": "UserID",
    "Mode": "ExecutionMode",
    "Status": "Status",
    "Runtime": "Runtime",
}


def submit(
    command: Command = None,
    file: CommandFile = None,
    name: Annotated[str | None, typer.Option(help="The job's name.")] = None,
    mode: Mode = ExecutionMode.BACKGROUND_JOB,
    interpreter: Interpreter = None,
    description: Description = "",
    timeout: Timeout = None,
    priority: Priority = None,
    concurrency_key: ConcurrencyKey = None,
    label: Label = None,
    run_at: RunAt = None,
    delay: Delay = None,
    retries: Retries = 0,
    backoff: Backoff = 10.0,
    notify_email: NotifyEmail = None,
    notify_webhook: NotifyWebhook = None,
    notify_on: NotifyOn = "always",
    wait: Wait = False,
    cancel_on_interrupt: CancelOnInterrupt = False,
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """Submit a job."""
    text = command_text(command, file)
    body = job_body(
        command=text,
        mode=mode,
        name=name or name_of(text),
        interpreter=interpreter,
        description=description,
        timeout=timeout,
        priority=priority,
        concurrency_key=concurrency_key,
        labels=label,
        retry=retry_policy(retries, backoff),
        notify=notices(notify_email, notify_webhook, notify_on),
    )
    body |= {"runAt": run_at} if run_at is not None else {}
    body |= {"delaySeconds": delay} if delay is not None else {}

    async def start(client: JobsClient) -> str:
        return str((await client.call("POST", "/jobs/submit", json=body))["jobId"])

    raise typer.Exit(
        run_job(url, api_key, start, wait=wait, as_json=as_json, cancel_on_interrupt=cancel_on_interrupt)
    )


def watch(
    job_id: JobID,
    cancel_on_interrupt: CancelOnInterrupt = False,
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """Follow a job's output until it ends; exit as it does."""

    async def work(client: JobsClient, job_id: str) -> int:
        return await follow(client, job_id, as_json=as_json, cancel_on_interrupt=cancel_on_interrupt)

    raise typer.Exit(with_job(url, api_key, job_id, work))


def jobs(
    state: Annotated[
        list[str] | None,
        typer.Option(help="Only in this state: running, queued, pending or done; may be repeated."),
    ] = None,
    everyone: Annotated[bool, typer.Option("--all", help="Those of all users, if you may see them.")] = False,
    limit: Annotated[int, typer.Option(help="The maximum number to show.")] = 30,
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """List running, queued, pending and ended jobs."""
    records = with_client(
        url, api_key, lambda client: client.jobs(*(state or []), everyone=everyone, limit=limit)
    )
    if as_json:
        print_json(records)
    else:
        print_table(records, _JOB_COLUMNS)


def output(
    job_id: JobID,
    save: Annotated[
        Path | None,
        typer.Option(
            help="Save to this file. If it contains the beginning already, only the rest is fetched."
        ),
    ] = None,
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """Print a job's output so far, or save it to a file."""

    async def to_stdout(client: JobsClient, job_id: str) -> None:
        async for piece in client.stream_output(job_id):
            write_out(piece)

    async def as_record(client: JobsClient, job_id: str) -> dict[str, str]:
        return {"jobId": job_id, "output": await client.output(job_id)}

    try:
        if save is not None:
            saved = with_job(url, api_key, job_id, lambda client, found: client.download_output(found, save))
            report(
                {"file": str(save), "bytes": saved.size, "attempt": saved.attempt, "how": saved.how},
                f"{save} has {saved.size} bytes{_SAVED[saved.how]}.",
                as_json=as_json,
            )
        elif as_json:
            print_json(with_job(url, api_key, job_id, as_record))
        else:
            with_job(url, api_key, job_id, to_stdout)
    except OSError as error:
        fail(f"{save} cannot be written: {reason(error)}")


def attempts(job_id: JobID, as_json: AsJSON = False, url: Url = None, api_key: Key = None) -> None:
    """List the attempts of a job with retries."""
    records = with_job(url, api_key, job_id, lambda client, found: client.attempts(found))
    if as_json:
        print_json(records)
        return
    columns = {"Attempt": "Attempt", "Status": "Status", "Exit": "ExitCode", "Started": "DateStarted"}
    print_table(records, columns | {"Runtime": "Runtime"})


def rerun(
    job_id: JobID,
    wait: Wait = False,
    cancel_on_interrupt: CancelOnInterrupt = False,
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """Submit the same job again, with your own roles."""

    async def start(client: JobsClient) -> str:
        return await client.rerun(await job_id_of(client, job_id))

    raise typer.Exit(
        run_job(url, api_key, start, wait=wait, as_json=as_json, cancel_on_interrupt=cancel_on_interrupt)
    )


def cancel(job_id: JobID, as_json: AsJSON = False, url: Url = None, api_key: Key = None) -> None:
    """Cancel a running or waiting job."""

    async def work(client: JobsClient, job_id: str) -> dict[str, str]:
        return {"jobId": job_id, "status": await client.cancel(job_id)}

    done = with_job(url, api_key, job_id, work)
    report(done, f"The job is being cancelled ({done['status']}).", as_json=as_json)
