"""``aiohttp-jobs notices``: what was sent about jobs that ended, and what could not be."""

from __future__ import annotations

from typing import Annotated

import typer

from .connection import Key, Url, with_client
from .printing import AsJSON, print_json, print_table, report

notices = typer.Typer(help="List notices, send failed ones again, delete them.")
NoticeID = Annotated[str, typer.Argument(help="The NoticeID that the list shows.")]


@notices.callback(invoke_without_command=True)
def list_notices(
    context: typer.Context,
    state: Annotated[str | None, typer.Option(help="pending, sent or failed.")] = None,
    job: Annotated[str | None, typer.Option(help="Only of the job with this id.")] = None,
    everyone: Annotated[bool, typer.Option("--all", help="Everybody's, if you may see them.")] = False,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 30,
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """List notices, newest first."""
    if context.invoked_subcommand is not None:
        return
    records = with_client(
        url,
        api_key,
        lambda client: client.notices.list(state=state, job_id=job, everyone=everyone, limit=limit),
    )
    if as_json:
        print_json(records)
        return
    columns = {"NoticeID": "NoticeID", "Job": "JobName", "Event": "Event", "Channel": "Channel"}
    columns |= {"To": "Target", "State": "State", "Attempts": "Attempts", "Error": "LastError"}
    print_table(records, columns)


@notices.command()
def retry(notice_id: NoticeID, as_json: AsJSON = False, url: Url = None, api_key: Key = None) -> None:
    """Have one that failed sent again."""
    with_client(url, api_key, lambda client: client.notices.retry(notice_id))
    report({"noticeId": notice_id}, "The notice will be sent again.", as_json=as_json)


@notices.command()
def delete(notice_id: NoticeID, as_json: AsJSON = False, url: Url = None, api_key: Key = None) -> None:
    """Forget one, whether it was sent or not."""
    with_client(url, api_key, lambda client: client.notices.delete(notice_id))
    report({"noticeId": notice_id}, "The notice is deleted.", as_json=as_json)
