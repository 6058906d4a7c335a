"""``aiohttp-jobs session``: who is signed in, and signing them out, over HTTP or on the data folder.

What it needs of the server is imported when it is used: every other command would wait for that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ..client import JobsClient
from ..errors import ConfigurationError, JobsError
from ..system.operating_system import require_supported_system
from .connection import Key, Url, with_client
from .printing import AsJSON, fail, print_json, print_table, report

if TYPE_CHECKING:
    from ..engine.embedded.session_registry import SessionRegistry

T = TypeVar("T")

session = typer.Typer(
    no_args_is_help=True,
    help="Show who is signed in, and sign them out. Over HTTP this takes an administrator's key.",
)

DataDir = Annotated[
    Path | None,
    typer.Option(help="Work on this folder, which holds apps/WebHostTaskManagement/, and not over HTTP."),
]
User = Annotated[str | None, typer.Option(help="Whose; by default the key's own user, on a folder all.")]
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
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """Show the sessions that are open, the last to sign in first."""

    def on_folder(registry: SessionRegistry) -> list[dict[str, Any]]:
        return [each.public() for each in registry.all(user)]

    found = _ask(
        data_dir,
        url,
        api_key,
        on_folder,
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
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """Sign out one session; what it has open ends."""

    def on_folder(registry: SessionRegistry) -> None:
        try:
            registry.revoke(registry.owner_of(session_id), session_id)
        except JobsError as error:
            fail(error.message)

    _ask(data_dir, url, api_key, on_folder, lambda client: client.sessions.revoke(session_id))
    report({"sessionId": session_id}, f"Session {session_id} is signed out.", as_json=as_json)


@session.command("revoke-all")
def revoke_all(
    user: User = None,
    data_dir: DataDir = None,
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """Sign a user out everywhere; on a folder without --user, everybody."""

    def on_folder(registry: SessionRegistry) -> int:
        users = {each.record.user_id for each in registry.all(user)}
        return sum(registry.revoke_all(each) for each in users)

    count = _ask(data_dir, url, api_key, on_folder, lambda client: client.sessions.revoke_all(user_id=user))
    report({"revoked": count}, f"{count} sessions are signed out.", as_json=as_json)


def _ask(
    data_dir: Path | None,
    url: str | None,
    api_key: str | None,
    on_folder: Callable[[SessionRegistry], T],
    ask: Callable[[JobsClient], Awaitable[T]],
) -> T:
    """What `on_folder` finds in a data folder, if one is named, and else what `ask` learns of the server."""
    return with_client(url, api_key, ask) if data_dir is None else on_folder(_registry_in(data_dir))


def _registry_in(data_dir: Path) -> SessionRegistry:
    from ..engine.embedded.session_registry import SessionRegistry  # noqa: PLC0415 - as said above

    try:
        require_supported_system()
    except ConfigurationError as error:
        fail(str(error))
    return SessionRegistry.in_data_dir(data_dir)
