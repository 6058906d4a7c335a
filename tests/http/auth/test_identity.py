"""What an `Identity` may hold: it ends up in every submission of its owner."""

from __future__ import annotations

import pytest

from aiohttp_jobs.model.identity import Identity


@pytest.mark.parametrize(
    ("user_id", "session_id", "roles"),
    [
        ("", "", ()),
        ("a\0b", "", ()),
        ("\ud800", "", ()),
        ("alice", "a\0b", ()),
        ("alice", "", ("\ud800",)),
    ],
)
def test_a_resolver_that_returns_what_cannot_be_kept_is_told_so(
    user_id: str, session_id: str, roles: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match="user_id"):
        Identity(user_id, session_id, frozenset(roles))


@pytest.mark.parametrize("user_id", ["alice", "élise", "a/../b", " ", "用户"])
def test_any_other_text_is_a_user(user_id: str) -> None:
    assert Identity(user_id).user_id == user_id
