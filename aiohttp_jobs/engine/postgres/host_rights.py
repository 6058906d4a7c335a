"""The tables of roles in the hosts' configuration, which each host stores for workers that have none.

Who has which role is left to ``access``. All calls block.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...config import JobsConfig
from ...model.job import ExecutionMode
from ...system.signing import Signer
from .database import Database

_SAY = "UPDATE aiohttp_jobs.installation SET rights = %s::json WHERE rights::text IS DISTINCT FROM %s"
_ASK = "SELECT rights FROM aiohttp_jobs.installation"


@dataclass(frozen=True, slots=True)
class RightsTables:
    """The roles that may use each mode and those that have each right; and whether hosts ask a resolver for a
    user's roles.
    """

    modes: Mapping[ExecutionMode, frozenset[str]]
    rights: Mapping[str, frozenset[str]]
    asks_resolver: bool


class HostRights:
    """The tables of the host that started last. They are signed: write access to the database alone gives
    nobody a right.
    """

    def __init__(self, database: Database, signer: Signer) -> None:
        self._database = database
        self._signer = signer

    def say(self, config: JobsConfig) -> None:
        """Store the tables of `config`."""
        record = {
            "ModeRoles": {mode.value: sorted(roles) for mode, roles in config.mode_roles.items()},
            "EndpointRoles": {right: sorted(roles) for right, roles in config.endpoint_roles.items()},
            "AsksResolver": config.roles_resolver is not None,
        }
        text = json.dumps(self._signer.sign(record), sort_keys=True)
        self._database.change(_SAY, (text, text))

    def now(self) -> RightsTables | None:
        """The stored tables, for a worker that starts; later each claim returns them.

        ``None`` when no host has stored any yet, or the stored ones are not signed by a host.
        """
        row = self._database.row(_ASK)
        return None if row is None else self.read(row[0])

    def read(self, record: Any) -> RightsTables | None:
        """The tables in a stored record; ``None`` when it is not signed by a host."""
        if not isinstance(record, dict) or not self._signer.is_valid(record):
            return None
        return _tables(record)


def _tables(record: Mapping[str, Any]) -> RightsTables:
    known = frozenset(ExecutionMode)
    modes = {ExecutionMode(mode): roles for mode, roles in record["ModeRoles"].items() if mode in known}
    return RightsTables(_sets(modes), _sets(record["EndpointRoles"]), record["AsksResolver"])


def _sets(table: Mapping[Any, Any]) -> Mapping[Any, frozenset[str]]:
    return {name: frozenset(roles) for name, roles in table.items()}
