"""``aiohttp-jobs session``: lists and ends sessions, over HTTP, or in a data folder or database.

Server modules are imported on demand, to keep the other commands' start-up fast.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ..client import JobsClient
from ..errors import JobsError
from .connection import Key, Url, with_client
from .place import DataDirWithoutHTTP, DsnWithoutHTTP, place
from .printing import AsJSON, fail, print_json, print_table, report

if TYPE_CHECKING:
    from ..assembly.keys_and_sessions import Access

T = TypeVar("T")

session = typer.Typer(
    no_args_is_help=True,
    help="List and end sessions. Over HTTP this needs an administrator's key.",
)

User = Annotated[
    str | None, typer.Option(help="Only this user's. Default: over HTTP the key's own user, otherwise all.")
]
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
    everyone: Annotated[bool, typer.Option("--all", help="Those of all users.")] = False,
    data_dir: DataDirWithoutHTTP = None,
    dsn: DsnWithoutHTTP = None,
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """List open sessions, latest sign-in first."""

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
    session_id: Annotated[str, typer.Argument(help="The session's id, as shown by 'list'.")],
    data_dir: DataDirWithoutHTTP = None,
    dsn: DsnWithoutHTTP = None,
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """End one session and its open streams."""

    def without_host(at: Access) -> None:
        at.sessions.revoke(at.sessions.owner_of(session_id), session_id)

    _ask((data_dir, dsn), url, api_key, without_host, lambda client: client.sessions.revoke(session_id))
    report({"sessionId": session_id}, f"Session {session_id} is signed out.", as_json=as_json)


@session.command("revoke-all")
def revoke_all(
    user: User = None,
    data_dir: DataDirWithoutHTTP = None,
    dsn: DsnWithoutHTTP = None,
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """End all sessions of a user.

    With --data-dir or --dsn and without --user: those of all users.
    """

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
    from ..assembly.keys_and_sessions import opened_access  # noqa: PLC0415 - as said above

    try:
        with opened_access(**place(*where)) as at:
            return without_host(at)
    except JobsError as error:
        fail(error.message)
