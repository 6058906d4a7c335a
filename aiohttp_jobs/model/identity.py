"""One shape for whoever is calling, however they proved who they are."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum

from .trace import TraceContext


class Proof(StrEnum):
    """How an identity was proven."""

    SESSION = "session"
    API_KEY = "api_key"
    RESOLVER = "resolver"


@dataclass(frozen=True, slots=True)
class Identity:
    """A user. An `identity_resolver` of the host returns one of these.

    `proof` decides two things: requests proven by a Bearer key need no same-origin check, and jobs
    submitted with a key are checked against that key (`key_id`) again when they are picked up. `trace` is
    what the request said that it belongs to.
    """

    user_id: str
    session_id: str = ""
    roles: frozenset[str] = frozenset()
    proof: Proof = Proof.RESOLVER
    key_id: str | None = None
    trace: TraceContext | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Raises ``ValueError`` for a user that cannot have jobs: every submission carries these texts."""
        if not self.user_id or not all(map(_is_storable, (self.user_id, self.session_id, *self.roles))):
            raise ValueError("user_id must not be empty; it, session_id and roles must be text without NUL")

    @property
    def submitted_with(self) -> str:
        """What a submission remembers of this identity's proof."""
        return f"{self.proof}:{self.key_id}" if self.key_id else str(self.proof)

    @classmethod
    def remembered(
        cls, submitted_with: str, *, user_id: str, session_id: str, roles: Collection[str]
    ) -> Identity:
        """Whoever a record's `submitted_with` was of, with other `roles`: usually those they have now.

        Raises ``ValueError`` for a proof that there is not.
        """
        proof, _, key_id = submitted_with.partition(":")
        return cls(user_id, session_id, frozenset(roles), Proof(proof), key_id or None)


def _is_storable(text: str) -> bool:
    return "\0" not in text and (text.isascii() or text == text.encode("utf-8", "replace").decode())
