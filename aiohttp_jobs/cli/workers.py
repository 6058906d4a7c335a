"""``aiohttp-jobs workers``: lists and drains the hosts and workers that share the work."""

from __future__ import annotations

from typing import Annotated

import typer

from ..client import JobsClient, Record
from .connection import Key, Url, with_client
from .printing import AsJSON, print_json, print_table, report

workers = typer.Typer(help="List hosts and workers, and drain one. For admins.")


@workers.callback(invoke_without_command=True)
def show_by_default(
    context: typer.Context, as_json: AsJSON = False, url: Url = None, api_key: Key = None
) -> None:
    if context.invoked_subcommand is None:
        show(as_json, url, api_key)


@workers.command()
def show(as_json: AsJSON = False, url: Url = None, api_key: Key = None) -> None:
    """List hosts and workers and their running jobs."""
    records = with_client(url, api_key, lambda client: client.workers.list())
    if as_json:
        print_json(records)
        return
    columns = {"WorkerID": "WorkerID", "Kind": "Kind", "Name": "Name", "Machine": "Machine"}
    columns |= {"Version": "Version", "Labels": "Labels", "Runs": "Running", "State": "State"}
    print_table([_line(each) for each in records], columns | {"Last heard": "LastHeardAt"})


@workers.command()
def drain(
    worker_id: Annotated[str, typer.Argument(help="The worker's id, as shown by 'workers'.")],
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """Let a worker finish its jobs, and then exit."""

    async def work(client: JobsClient) -> None:
        await client.workers.drain(worker_id)

    with_client(url, api_key, work)
    said = f"Worker {worker_id} takes no more jobs, and ends when those that it runs have ended."
    report({"workerId": worker_id, "draining": True}, said, as_json=as_json)


def _line(record: Record) -> Record:
    state = "draining" if record["Draining"] else "runs" if record["Alive"] else "not heard of"
    return {**record, "Labels": ", ".join(record["Labels"]), "State": state}
