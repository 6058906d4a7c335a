"""What every engine promises of sessions and API keys: they are their holders', in every process."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from aiohttp_jobs.errors import ConflictError, ForbiddenError, NotFoundError
from aiohttp_jobs.model.api_key import ApiKey
from aiohttp_jobs.model.job import utc_now

from .records import MOST_SESSIONS, KeptRecords

# --- sessions


async def test_a_session_is_its_holders_in_every_process(kept: KeptRecords, other: KeptRecords) -> None:
    session, secret = kept.sessions.add("alice ü", address="10.0.0.1", user_agent="Firefox\n\x1b[2J")
    for process in (kept, other):
        assert await process.sessions.find("alice ü", session.session_id, secret) == session
        assert await process.sessions.find("bob", session.session_id, secret) is None
        assert await process.sessions.find("alice ü", session.session_id, secret + "x") is None
        assert await process.sessions.find("alice ü", str(uuid4()), secret) is None
        for nonsense in ("", "../x", session.session_id.upper(), "\0"):
            assert await process.sessions.find("alice ü", nonsense, secret) is None
    assert session.user_agent == "Firefox??[2J"
    assert other.sessions.owner_of(session.session_id) == "alice ü"


async def test_one_that_has_ended_has_ended_everywhere(kept: KeptRecords, other: KeptRecords) -> None:
    session, secret = kept.sessions.add("alice")
    assert await other.sessions.find("alice", session.session_id, secret) is not None
    assert not kept.sessions.revoke("bob", session.session_id)
    assert kept.sessions.revoke("alice", session.session_id)
    assert not kept.sessions.revoke("alice", session.session_id)
    assert await other.sessions.find("alice", session.session_id, secret) is None
    with pytest.raises(NotFoundError, match="There is no session"):
        other.sessions.owner_of(session.session_id)
    with pytest.raises(NotFoundError):
        other.sessions.owner_of("nonsense")


def test_sessions_are_listed_and_ended_by_user(kept: KeptRecords, other: KeptRecords) -> None:
    first, _ = kept.sessions.add("alice")
    second, _ = kept.sessions.add("alice")
    theirs, _ = kept.sessions.add("bob")
    assert [each.record for each in other.sessions.all("alice")] == [second, first]
    assert len(other.sessions.all()) == 3
    assert all(abs(each.last_used_at - utc_now()) < timedelta(minutes=5) for each in other.sessions.all())
    assert other.sessions.revoke_all("alice", keep=first.session_id) == 1
    assert [each.record for each in kept.sessions.all("alice")] == [first]
    assert other.sessions.revoke_all("alice") == 1
    assert [each.record for each in kept.sessions.all()] == [theirs]


async def test_with_one_too_many_another_ends(kept: KeptRecords) -> None:
    made = [kept.sessions.add("alice") for _ in range(MOST_SESSIONS + 1)]
    kept.sessions.add("bob")
    found = [await kept.sessions.find("alice", each.session_id, secret) for each, secret in made]
    assert sum(each is not None for each in found) == MOST_SESSIONS
    assert found[-1] is not None


# --- API keys


def make(kept: KeptRecords, **fields: object) -> tuple[ApiKey, str]:
    given = {"name": "ci", "user_id": "alice", "roles": ["task_manager"], **fields}
    return kept.api_keys.create(**given)  # type: ignore[arg-type]


async def test_a_key_is_found_by_its_secret_in_every_process(kept: KeptRecords, other: KeptRecords) -> None:
    assert (await other.api_keys.now()).find("nonsense", None) is None
    key, secret = make(kept, allowed_ips=["10.0.0.0/8"])
    ring = await other.api_keys.now()
    assert ring.find(secret, "10.1.2.3") == key
    assert ring.find(secret, "192.168.0.1") is None
    assert ring.find(secret + "x", "10.1.2.3") is None
    assert ring.get(key.key_id) == key
    assert ring.id_meant_by(secret + "x") == key.key_id
    assert other.api_keys.all() == [key]
    assert secret not in repr(key)


async def test_one_that_is_disabled_or_deleted_is_so_everywhere(
    kept: KeptRecords, other: KeptRecords
) -> None:
    key, secret = make(kept)
    assert (await other.api_keys.now()).find(secret, None) == key
    kept.api_keys.change(key.key_id, lambda each: each.model_copy(update={"enabled": False}))
    assert (await other.api_keys.now()).find(secret, None) is None
    kept.api_keys.change(key.key_id, lambda each: each.model_copy(update={"enabled": True}))
    assert (await other.api_keys.now()).find(secret, None) == key
    assert kept.api_keys.delete(key.key_id) == key
    assert (await other.api_keys.now()).find(secret, None) is None
    assert other.api_keys.all() == []


async def test_an_expired_key_does_not_work(kept: KeptRecords) -> None:
    _, secret = make(kept, expires_at=utc_now() - timedelta(seconds=1))
    assert (await kept.api_keys.now()).find(secret, None) is None


def test_a_user_has_so_many_keys(kept: KeptRecords) -> None:
    make(kept, most=1)
    with pytest.raises(ConflictError, match="You have 1 API keys, and no more than 1 are allowed"):
        make(kept, most=1)
    make(kept, user_id="bob", most=1)


def test_what_is_required_of_a_key_is_asked_before_it_changes(kept: KeptRecords) -> None:
    key, _ = make(kept)

    def refuse(_: ApiKey) -> None:
        raise ForbiddenError

    with pytest.raises(ForbiddenError):
        kept.api_keys.change(key.key_id, lambda each: each.model_copy(update={"enabled": False}), refuse)
    with pytest.raises(ForbiddenError):
        kept.api_keys.delete(key.key_id, refuse)
    assert kept.api_keys.all() == [key]
    for nonsense in (str(uuid4()), "nonsense", ""):
        with pytest.raises(NotFoundError, match="There is no API key"):
            kept.api_keys.delete(nonsense)


def test_keys_come_oldest_first(kept: KeptRecords) -> None:
    made = [make(kept, name=f"key {number}")[0] for number in range(5)]
    assert kept.api_keys.all() == made
