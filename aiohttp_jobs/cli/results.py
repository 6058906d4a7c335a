"""``aiohttp-jobs results``: searches, shows, counts and deletes results."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from ..client import JobsClient
from ..model.terminal import as_seen
from .choosing import job_id_of
from .connection import JobID, Key, Url, with_client, with_job
from .printing import AsJSON, fail, print_fields, print_json, print_table, report
from .streams import write_out

results = typer.Typer(help="List, search, show, count and delete results.")

Status = Annotated[
    list[str] | None,
    typer.Option(help="Only with this status: Succeeded, Failed, TimedOut, …; may be repeated."),
]
InMode = Annotated[list[str] | None, typer.Option("--mode", help="Only of this mode; may be repeated.")]
Name = Annotated[str | None, typer.Option(help="Only jobs of this name; may end with '*'.")]
Since = Annotated[
    str | None, typer.Option(help="Only jobs that ended then or later: ISO 8601, local time by default.")
]
Until = Annotated[
    str | None, typer.Option(help="Only jobs that ended before then: ISO 8601, local time by default.")
]
Everyone = Annotated[bool, typer.Option("--all", help="Those of all users, if you may see them.")]
Search = Annotated[str | None, typer.Option(help="Words to search for in names, commands and outputs.")]


@results.callback(invoke_without_command=True)
def list_results(
    context: typer.Context,
    search: Search = None,
    status: Status = None,
    mode: InMode = None,
    name: Name = None,
    user: Annotated[str | None, typer.Option(help="Only those of this user, if you may see them.")] = None,
    since: Since = None,
    until: Until = None,
    sort: Annotated[
        str | None,
        typer.Option(help="completed, started, runtime or name; a leading '-' reverses the order."),
    ] = None,
    everyone: Everyone = False,
    limit: Annotated[int, typer.Option(min=1, help="The maximum number to show.")] = 30,
    all_pages: Annotated[bool, typer.Option("--all-pages", help="Show all, without a maximum.")] = False,
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """List or search results, newest first."""
    if context.invoked_subcommand is not None:
        return
    filters: dict[str, Any] = {
        "status": status or (),
        "mode": mode or (),
        "name": name,
        "user": user,
        "since": _moment("--since", since),
        "until": _moment("--until", until),
        "sort": sort,
    }

    async def find(client: JobsClient) -> list[dict[str, Any]]:
        if search is None and not all_pages and not any(filters.values()):
            return await client.jobs("done", everyone=everyone, limit=limit)
        found = client.search_results(
            search, everyone=everyone, limit=None if all_pages else limit, **filters
        )
        return [record async for record in found]

    records = with_client(url, api_key, find)
    if as_json:
        print_json(records)
        return
    columns = {"JobID": "JobID", "Name": "JobName", "Status": "Status", "Exit": "ExitCode"}
    columns |= {"Runtime": "Runtime", "Completed": "DateCompleted"}
    print_table(records, columns | ({"Found": "Snippet"} if search else {}))


@results.command()
def show(
    job_id: JobID,
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """Show one result with its output."""
    record = with_job(url, api_key, job_id, lambda client, found: client.result(found)).to_record()
    if as_json:
        print_json(record)
        return
    output = str(record.pop("Output"))
    if not sys.stdout.isatty():
        output = as_seen(output)
    print_fields(record)
    write_out(("\n" + output + ("" if output.endswith("\n") else "\n")).encode("utf-8", "replace"))


@results.command()
def delete(
    job_ids: Annotated[
        list[str] | None, typer.Argument(help="The jobs' ids, or at least the first 8 characters of each.")
    ] = None,
    status: Status = None,
    mode: InMode = None,
    name: Name = None,
    search: Search = None,
    until: Until = None,
    since: Since = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """Delete your results by id, or all that match."""
    given = {
        "status": status,
        "mode": mode,
        "name": name,
        "q": search,
        "to": _moment("--until", until),
        "from": _moment("--since", since),
    }
    where = {field: value for field, value in given.items() if value}
    if bool(job_ids) == bool(where):
        fail("Say which results: give ids, or options such as --status Failed --until 2026-01-01.")
    if where and not yes:
        typer.confirm("Delete every result of yours that matches?", abort=True, err=True)

    async def work(client: JobsClient) -> int:
        found = [await job_id_of(client, job_id) for job_id in job_ids or ()]
        if len(found) == 1:
            await client.delete_result(found[0])
            return 1
        return await client.delete_results(found, where=where or None)

    count = with_client(url, api_key, work)
    report({"deleted": count}, f"Deleted {count} {'result' if count == 1 else 'results'}.", as_json=as_json)


@results.command()
def stats(
    bucket: Annotated[str, typer.Option(help="The length of each period: hour or day.")] = "day",
    name: Annotated[str | None, typer.Option(help="Only jobs of exactly this name.")] = None,
    since: Since = None,
    until: Until = None,
    everyone: Everyone = False,
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """Count how jobs ended, by hour or day."""

    async def work(client: JobsClient) -> dict[str, Any]:
        return await client.result_stats(
            since=_moment("--since", since),
            until=_moment("--until", until),
            bucket=bucket,
            name=name,
            everyone=everyone,
        )

    record = with_client(url, api_key, work)
    if as_json:
        print_json(record)
        return
    outcomes = ("Start", "Succeeded", "Failed", "TimedOut", "Cancelled", "Interrupted", "Rejected")
    print_table(record["buckets"], {outcome: outcome for outcome in outcomes})
    print_fields({"Runtime": ", ".join(f"{name} {value}" for name, value in record["runtime"].items())})
    print_table(record["names"], {"Name": "JobName", "Jobs": "Count", "Failed": "Failed", "Median": "P50"})


def _moment(option: str, text: str | None) -> str | None:
    """What people write, as the server wants it: with a time zone."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError):
        fail(f"{option}: {text!r} is not an ISO 8601 date, such as 2027-01-31 or 2027-01-31T18:00")
