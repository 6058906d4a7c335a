"""``aiohttp-jobs api-key``: manages keys in a data folder or database.

A running host sees each change at once. Server modules are imported on demand, to keep the other commands'
start-up fast.
"""

from __future__ import annotations

import getpass
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from ..errors import JobsError
from ..model.field_faults import what_is_wrong
from .choosing import require_beginning, the_only
from .place import DsnOrFolder, FolderOrDsn, place
from .printing import AsJSON, fail, print_json, print_table, print_text

if TYPE_CHECKING:
    from ..assembly.keys_and_sessions import Access
    from ..model.api_key import ApiKey

api_keys = typer.Typer(no_args_is_help=True, help="Create, list, disable, enable and delete API keys.")

KeyID = Annotated[str, typer.Argument(help="The key's id, or the beginning of it.")]


@api_keys.command()
def create(
    name: Annotated[str, typer.Option(help="What the key is for.")],
    user: Annotated[str, typer.Option(help="The user it acts as.")],
    data_dir: FolderOrDsn = None,
    dsn: DsnOrFolder = None,
    role: Annotated[list[str] | None, typer.Option(help="A role of the key; may be repeated.")] = None,
    allowed_ip: Annotated[
        list[str] | None,
        typer.Option(help="An address or CIDR range that may use the key; may be repeated."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="When the key expires: an ISO 8601 date or date and time, in UTC.")
    ] = None,
    service: Annotated[
        bool,
        typer.Option("--service", help="For a program whose user the host's roles_resolver does not know."),
    ] = False,
    as_json: AsJSON = False,
) -> None:
    """Create a key and print it. It is shown only once."""
    try:
        with _opened(data_dir, dsn) as at:
            key, secret = at.api_keys.create(
                name=name,
                user_id=user,
                roles=role or [],
                allowed_ips=allowed_ip or [],
                created_by=getpass.getuser(),
                expires_at=_moment(expires),
                service=service,
            )
    except ValidationError as error:
        fault = error.errors()[0]
        fail(f"{fault['loc'][0]} {what_is_wrong(fault)}.")
    except JobsError as error:
        fail(error.message)
    if as_json:
        print_json({**key.public(), "ApiKey": secret})
        return
    print_text(f"KeyID:  {key.key_id}\nApiKey: {secret}")
    print_text("Keep the key safe: only its digest is stored, it cannot be shown again.")


@api_keys.command("list")
def list_keys(data_dir: FolderOrDsn = None, dsn: DsnOrFolder = None, as_json: AsJSON = False) -> None:
    """List the keys, without their secrets."""
    try:
        with _opened(data_dir, dsn) as at:
            keys = at.api_keys.all()
    except JobsError as error:
        fail(error.message)
    if as_json:
        print_json([key.public() for key in keys])
        return
    shown = (
        {
            "KeyID": key.key_id,
            "Name": key.name,
            "User": key.user_id,
            "Roles": list(key.roles),
            "Allowed IPs": list(key.allowed_ips) or "any",
            "Expires": f"{key.expires_at:%Y-%m-%d %H:%M}Z" if key.expires_at else "never",
            "Enabled": "yes" if key.enabled else f"no, by {key.disabled_by}" if key.disabled_by else "no",
            "Service": f"yes, by {key.created_by}" if key.service else "no",
        }
        for key in keys
    )
    columns = ("KeyID", "Name", "User", "Roles", "Allowed IPs", "Expires", "Enabled", "Service")
    print_table(shown, dict(zip(columns, columns, strict=True)))


@api_keys.command()
def disable(
    key_id: KeyID, data_dir: FolderOrDsn = None, dsn: DsnOrFolder = None, as_json: AsJSON = False
) -> None:
    """Disable a key, and keep its record."""
    try:
        with _opened(data_dir, dsn) as at:
            news = {"enabled": False, "disabled_by": f"cli:{getpass.getuser()}"}
            key = at.api_keys.change(_key_id(at, key_id), lambda key: key.model_copy(update=news))
    except JobsError as error:
        fail(error.message)
    _report(key, "disabled", as_json)


@api_keys.command()
def enable(
    key_id: KeyID, data_dir: FolderOrDsn = None, dsn: DsnOrFolder = None, as_json: AsJSON = False
) -> None:
    """Enable a key again, whoever disabled it."""
    try:
        with _opened(data_dir, dsn) as at:
            news = {"enabled": True, "disabled_by": None}
            key = at.api_keys.change(_key_id(at, key_id), lambda key: key.model_copy(update=news))
    except JobsError as error:
        fail(error.message)
    _report(key, "enabled", as_json)


@api_keys.command()
def delete(
    key_id: KeyID, data_dir: FolderOrDsn = None, dsn: DsnOrFolder = None, as_json: AsJSON = False
) -> None:
    """Delete a key for good."""
    try:
        with _opened(data_dir, dsn) as at:
            key = at.api_keys.delete(_key_id(at, key_id))
    except JobsError as error:
        fail(error.message)
    _report(key, "deleted", as_json)


def _opened(data_dir: Path | None, dsn: str | None) -> AbstractContextManager[Access]:
    from ..assembly.keys_and_sessions import opened_access  # noqa: PLC0415 - as said above

    return opened_access(**place(data_dir, dsn))


def _key_id(at: Access, text: str) -> str:
    """The KeyID that `text` is, or the only one that begins with it."""
    records = [key.public() for key in at.api_keys.all()]
    if any(record["KeyID"] == text for record in records):
        return text
    require_beginning(text, "key")
    return str(the_only(records, text, "key", "KeyID", "Name")["KeyID"])


def _report(key: ApiKey, done: str, as_json: bool) -> None:
    if as_json:
        print_json(key.public())
    else:
        print_text(f"The key {key.name!r} ({key.key_id}) is {done}.")


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        fail(f"--expires: {text!r} is not an ISO 8601 date, such as 2027-01-31")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
