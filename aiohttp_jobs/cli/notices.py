"""``aiohttp-jobs notices``: the e-mails and webhooks about ended jobs: sent, waiting or failed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from ..client import JobsClient, Record
from .choosing import job_id_of, notice_id_of
from .connection import Key, Url, with_client
from .printing import AsJSON, print_json, print_table, report

notices = typer.Typer(help="List, retry and delete e-mail and webhook notices.")
NoticeID = Annotated[str, typer.Argument(help="The notice's id, or the beginning of it.")]


@notices.callback(invoke_without_command=True)
def list_notices(
    context: typer.Context,
    state: Annotated[str | None, typer.Option(help="Only in this state: pending, sent or failed.")] = None,
    job: Annotated[
        str | None, typer.Option(help="Only about this job: its id, or the beginning of it.")
    ] = None,
    everyone: Annotated[bool, typer.Option("--all", help="Those of all users, if you may see them.")] = False,
    limit: Annotated[int, typer.Option(help="The maximum number to show.")] = 30,
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """List notices, newest first."""
    if context.invoked_subcommand is not None:
        return

    async def find(client: JobsClient) -> list[Record]:
        job_id = await job_id_of(client, job) if job is not None else None
        return await client.notices.list(state=state, job_id=job_id, everyone=everyone, limit=limit)

    records = with_client(url, api_key, find)
    if as_json:
        print_json(records)
        return
    columns = {"NoticeID": "NoticeID", "Job": "JobName", "Event": "Event", "Channel": "Channel"}
    columns |= {"To": "Target", "State": "State", "Attempts": "Attempts", "Error": "LastError"}
    print_table(records, columns)


@notices.command()
def retry(notice_id: NoticeID, as_json: AsJSON = False, url: Url = None, api_key: Key = None) -> None:
    """Send a failed notice again."""
    found = _with_notice(url, api_key, notice_id, lambda client, found: client.notices.retry(found))
    report({"noticeId": found}, "The notice will be sent again.", as_json=as_json)


@notices.command()
def delete(notice_id: NoticeID, as_json: AsJSON = False, url: Url = None, api_key: Key = None) -> None:
    """Delete a notice, whether it was sent or not."""
    found = _with_notice(url, api_key, notice_id, lambda client, found: client.notices.delete(found))
    report({"noticeId": found}, "The notice is deleted.", as_json=as_json)


def _with_notice(
    url: str | None, api_key: str | None, notice_id: str, work: Callable[[JobsClient, str], Awaitable[None]]
) -> str:
    """Do `work` with the notice whose id is or begins with `notice_id`; the whole id."""

    async def run(client: JobsClient) -> str:
        found = await notice_id_of(client, notice_id)
        await work(client, found)
        return found

    return with_client(url, api_key, run)
