"""Identity: who sent a request, however they were authenticated."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum

from .trace import TraceContext


class Proof(StrEnum):
    """How an identity was authenticated."""

    SESSION = "session"
    API_KEY = "api_key"
    RESOLVER = "resolver"


@dataclass(frozen=True, slots=True)
class Identity:
    """A user who sent a request. A host's `identity_resolver` returns one of these.

    `proof` decides two things: requests with an API key need no same-origin check, and jobs submitted with a
    key (`key_id`) are checked against it again when they are picked up. `trace` is the request's trace
    context.
    """

    user_id: str
    session_id: str = ""
    roles: frozenset[str] = frozenset()
    proof: Proof = Proof.RESOLVER
    key_id: str | None = None
    trace: TraceContext | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Raises ``ValueError`` for a user id or session id that a submission cannot store."""
        if not self.user_id or not _is_storable("".join((self.user_id, self.session_id, *self.roles))):
            raise ValueError("user_id must not be empty; it, session_id and roles must be text without NUL")

    @property
    def submitted_with(self) -> str:
        """What a submission stores about the authentication of its submitter."""
        return f"{self.proof}:{self.key_id}" if self.key_id else str(self.proof)

    @classmethod
    def remembered(
        cls, submitted_with: str, *, user_id: str, session_id: str, roles: Collection[str]
    ) -> Identity:
        """The identity that a record's `submitted_with` was made from, with other `roles`, usually the
        current ones.

        Raises ``ValueError`` for an unknown proof.
        """
        proof, _, key_id = submitted_with.partition(":")
        return cls(user_id, session_id, frozenset(roles), Proof(proof), key_id or None)


def _is_storable(text: str) -> bool:
    return "\0" not in text and (text.isascii() or text == text.encode("utf-8", "replace").decode())
