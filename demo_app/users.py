"""The demo's three accounts: made at the first start, kept with hashed passwords, read at each use.

How somebody signs in with one is left to `login`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from aiohttp_jobs import ConfigurationError
from aiohttp_jobs.system.atomic import create_secret

DEMO_ACCOUNTS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("admin", "admin-demo", ("debug", "system_admin")),
    ("operator", "operator-demo", ("task_manager",)),
    ("viewer", "viewer-demo", ()),
)
"""Name, password and roles. The passwords are documented: this is a demo."""


class Account(BaseModel):
    """What is kept of a user."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    roles: tuple[str, ...]
    password_hash: str


_Accounts = TypeAdapter(dict[str, Account])


class Users:
    """The accounts in one file. A change to the file counts from the next look at it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._hasher = PasswordHasher()

    @classmethod
    def in_data_dir(cls, data_dir: Path) -> Users:
        """The users of `data_dir`, made with the demo's accounts if there are none yet.

        Blocks. Raises ``OSError`` when the file cannot be made, `ConfigurationError` when it is damaged.
        """
        users = cls(data_dir / "demo-users.json")
        if not users._path.exists():
            accounts = {
                name: Account(roles=roles, password_hash=users._hasher.hash(password))
                for name, password, roles in DEMO_ACCOUNTS
            }
            create_secret(users._path, _Accounts.dump_json(accounts, indent=2))
        users._read()
        return users

    def get(self, name: str) -> Account | None:
        """Blocks for as long as reading a small file takes."""
        return self._read().get(name)

    async def roles(self, name: str) -> tuple[str, ...] | None:
        """The plugin's ``roles_resolver``: the user's roles of this moment, ``None`` for no such user."""
        account = await asyncio.to_thread(self.get, name)
        return None if account is None else account.roles

    def verify(self, name: str, password: str) -> Account | None:
        """The account, if the password is its own. Blocks for about a tenth of a second, on purpose."""
        accounts = self._read()
        account = accounts.get(name)
        # A name that nobody has costs the same work as one that somebody has, so that the time of
        # the answer does not tell which names exist.
        checked = account or next(iter(accounts.values()), None)
        if checked is None:
            return None
        try:
            self._hasher.verify(checked.password_hash, password)
        except VerificationError:
            return None
        return account

    def _read(self) -> dict[str, Account]:
        try:
            return _Accounts.validate_json(self._path.read_bytes())
        except ValidationError:
            raise ConfigurationError(
                f"The users file {self._path} is damaged. Delete it to have the demo's accounts made again."
            ) from None
