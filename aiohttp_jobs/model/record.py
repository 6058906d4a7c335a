"""The bases of stored records: their field names in files, their JSON, and whose they are."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypedDict

from pydantic import BaseModel, ConfigDict

from .identity import Identity


def record_name(field: str) -> str:
    """The name of a field in stored records: ``JobID`` for ``job_id``."""
    return "".join("ID" if word == "id" else word.capitalize() for word in field.split("_"))


class KeptRecord(BaseModel):
    """A record that only this package writes. Unknown fields are dropped."""

    model_config = ConfigDict(alias_generator=record_name, extra="ignore", frozen=True, populate_by_name=True)

    def to_record(self) -> dict[str, Any]:
        """The JSON object as it is stored."""
        return self.model_dump(mode="json", by_alias=True)


class Ownership(TypedDict):
    """What a record stores of whoever made it; see `OwnedRecord`."""

    user_id: str
    session_id: str
    submitted_with: str
    roles: tuple[str, ...]


def owned_by(identity: Identity) -> Ownership:
    """What a record of `identity` stores of them."""
    return {
        "user_id": identity.user_id,
        "session_id": identity.session_id,
        "submitted_with": identity.submitted_with,
        "roles": tuple(sorted(identity.roles)),
    }


class OwnedRecord(KeptRecord):
    """A record that runs jobs for its owner, ``UserID``, later: only while they may run them themselves.

    ``SessionID``, ``SubmittedWith`` and ``Roles`` are the owner's when they last said what runs.
    """

    user_id: str
    session_id: str = ""
    submitted_with: str
    roles: tuple[str, ...] = ()

    def owner(self, roles: Collection[str]) -> Identity:
        """The identity of its owner, with their current `roles`, as whom its jobs are submitted."""
        return Identity.remembered(
            self.submitted_with, user_id=self.user_id, session_id=self.session_id, roles=roles
        )
