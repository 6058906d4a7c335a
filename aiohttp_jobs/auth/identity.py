"""One shape for whoever is calling, however they proved who they are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Proof(StrEnum):
    """How an identity was proven."""

    SESSION = "session"
    API_KEY = "api_key"
    RESOLVER = "resolver"


@dataclass(frozen=True, slots=True)
class Identity:
    """A user. An `identity_resolver` of the host returns one of these.

    `proof` decides two things: requests proven by a Bearer key need no same-origin check, and jobs
    submitted with a key are checked against that key (`key_id`) again when they are picked up.
    """

    user_id: str
    session_id: str = ""
    roles: frozenset[str] = frozenset()
    proof: Proof = Proof.RESOLVER
    key_id: str | None = None

    @property
    def submitted_with(self) -> str:
        """What a submission remembers of this identity's proof."""
        return f"{self.proof}:{self.key_id}" if self.key_id else str(self.proof)
