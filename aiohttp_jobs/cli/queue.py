"""``aiohttp-jobs queue``, ``runspaces`` and ``restart-mainloop``: the queue and the warm workers."""

from __future__ import annotations

import typer

from ..client import JobsClient
from .connection import Key, Url, with_client
from .printing import AsJSON, print_fields, print_json, print_table, report

queue = typer.Typer(help="Show, pause and resume the queue.")


@queue.callback(invoke_without_command=True)
def show_by_default(
    context: typer.Context, as_json: AsJSON = False, url: Url = None, api_key: Key = None
) -> None:
    if context.invoked_subcommand is None:
        show(as_json, url, api_key)


@queue.command()
def show(as_json: AsJSON = False, url: Url = None, api_key: Key = None) -> None:
    """Show the waiting jobs, in order."""
    record = with_client(url, api_key, JobsClient.queue)
    if as_json:
        print_json(record)
        return
    limits = ", ".join(f"{name} {most}" for name, most in record["limits"].items() if most is not None)
    summary = {name: record[name] for name in ("paused", "running", "queued", "pending")}
    print_fields({name.capitalize(): value for name, value in summary.items()} | {"At once": limits})
    if record["jobs"]:
        columns = {"Place": "Position", "JobID": "JobID", "Name": "JobName", "User": "UserID"}
        print_table(record["jobs"], columns | {"Priority": "Priority", "Key": "ConcurrencyKey"})


@queue.command()
def pause(as_json: AsJSON = False, url: Url = None, api_key: Key = None) -> None:
    """Pause the queue: no more jobs are started. For admins."""
    with_client(url, api_key, JobsClient.pause)
    report(
        {"paused": True}, "The queue is paused: what runs goes on, nothing more is started.", as_json=as_json
    )


@queue.command()
def resume(as_json: AsJSON = False, url: Url = None, api_key: Key = None) -> None:
    """Resume the queue. For admins."""
    with_client(url, api_key, JobsClient.resume)
    report({"paused": False}, "The queue goes on.", as_json=as_json)


def runspaces(as_json: AsJSON = False, url: Url = None, api_key: Key = None) -> None:
    """List the warm workers."""
    records = with_client(url, api_key, JobsClient.runspaces)
    if as_json:
        print_json(records)
        return
    columns = {"Worker": "Worker", "Busy": "Busy", "User": "UserID", "JobID": "JobID", "Served": "JobsServed"}
    print_table(records, columns | {"Memory": "MemoryBytes", "Since": "StartedAt"})


def restart_mainloop(as_json: AsJSON = False, url: Url = None, api_key: Key = None) -> None:
    """Start PowerShell's MainLoop session anew. For debug.

    Variables and modules of the session are lost. Needs the role debug.
    """
    with_client(url, api_key, JobsClient.restart_main_loop)
    report({"restarted": True}, "The next MainLoop job in PowerShell begins a new session.", as_json=as_json)
