"""``aiohttp-jobs session``: who is signed in, and signing them out: over HTTP, on a data folder or database.

What it needs of the server is imported when it is used: every other command would wait for that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ..client import JobsClient
from ..errors import JobsError
from .connection import Key, Url, with_client
from .place import place
from .printing import AsJSON, fail, print_json, print_table, report

if TYPE_CHECKING:
    from ..without_a_host import Access

T = TypeVar("T")

session = typer.Typer(
    no_args_is_help=True,
    help="Show who is signed in, and sign them out. Over HTTP this takes an administrator's key.",
)

DataDir = Annotated[
    Path | None,
    typer.Option(help="Work on this folder, which holds apps/WebHostTaskManagement/, and not over HTTP."),
]
Dsn = Annotated[str | None, typer.Option(help="Work on this database, and not over HTTP.")]
User = Annotated[str | None, typer.Option(help="Whose; by default the key's own user; without HTTP all.")]
_COLUMNS = {
    "SessionID": "SessionID",
    "User": "UserID",
    "Signed in": "SignedInAt",
    "Last used": "LastUsedAt",
    "Address": "Address",
    "With": "UserAgent",
}


@session.command("list")
def list_sessions(
    user: User = None,
    everyone: Annotated[bool, typer.Option("--all", help="Everybody's.")] = False,
    data_dir: DataDir = None,
    dsn: Dsn = None,
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """Show the sessions that are open, the last to sign in first."""

    def without_host(at: Access) -> list[dict[str, Any]]:
        return [each.public() for each in at.sessions.all(user)]

    found = _ask(
        (data_dir, dsn),
        url,
        api_key,
        without_host,
        lambda client: client.sessions.list(everyone=everyone, user_id=user),
    )
    if as_json:
        print_json(found)
    else:
        print_table(found, _COLUMNS)


@session.command()
def revoke(
    session_id: Annotated[str, typer.Argument(help="The SessionID that 'list' shows.")],
    data_dir: DataDir = None,
    dsn: Dsn = None,
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """Sign out one session; what it has open ends."""

    def without_host(at: Access) -> None:
        at.sessions.revoke(at.sessions.owner_of(session_id), session_id)

    _ask((data_dir, dsn), url, api_key, without_host, lambda client: client.sessions.revoke(session_id))
    report({"sessionId": session_id}, f"Session {session_id} is signed out.", as_json=as_json)


@session.command("revoke-all")
def revoke_all(
    user: User = None,
    data_dir: DataDir = None,
    dsn: Dsn = None,
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """Sign a user out everywhere; without HTTP and --user, everybody."""

    def without_host(at: Access) -> int:
        users = {each.record.user_id for each in at.sessions.all(user)}
        return sum(at.sessions.revoke_all(each) for each in users)

    count = _ask(
        (data_dir, dsn), url, api_key, without_host, lambda client: client.sessions.revoke_all(user_id=user)
    )
    report({"revoked": count}, f"{count} sessions are signed out.", as_json=as_json)


def _ask(
    where: tuple[Path | None, str | None],
    url: str | None,
    api_key: str | None,
    without_host: Callable[[Access], T],
    ask: Callable[[JobsClient], Awaitable[T]],
) -> T:
    """What `without_host` finds in a data folder or database that is named, or else `ask` on the server."""
    if where == (None, None):
        return with_client(url, api_key, ask)
    from ..without_a_host import opened_access  # noqa: PLC0415 - as said above

    try:
        with opened_access(**place(*where)) as at:
            return without_host(at)
    except JobsError as error:
        fail(error.message)
