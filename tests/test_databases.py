"""The databases that tests have one after another are as new each time, or thrown away."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

pytest.importorskip("psycopg")

import psycopg

from . import databases as module
from .databases import Databases
from .postgres import PostgresServer

_ROWS = """
INSERT INTO aiohttp_jobs.processes (process_id) VALUES (gen_random_uuid());
INSERT INTO aiohttp_jobs.user_turns (priority, user_id, turn)
    VALUES (1, 'alice', nextval('aiohttp_jobs.turns'));
UPDATE aiohttp_jobs.installation SET secret_fingerprint = 'known', is_paused = true;
UPDATE aiohttp_jobs.record_kinds SET number = 17;
DELETE FROM aiohttp_jobs.record_kinds WHERE kind = 'trigger';
CREATE TABLE aiohttp_jobs.results_1970_01 PARTITION OF aiohttp_jobs.results FOR VALUES FROM (0) TO (1);
"""
_FILES = """
SELECT relname, pg_relation_size(oid), relpages, reltuples FROM pg_class
WHERE relnamespace = 'aiohttp_jobs'::regnamespace
"""
_TABLES = """
SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relname <> 'schema_steps'
AND relnamespace = 'aiohttp_jobs'::regnamespace ORDER BY relname
"""


def change(dsn: str, statements: str) -> None:
    with closing(psycopg.connect(dsn, autocommit=True)) as connection:
        for statement in statements.split(";\n"):
            connection.execute(statement)


def content(dsn: str) -> list[Any]:
    """All rows, the numbers that come next, and how long the files are."""
    with closing(psycopg.connect(dsn, autocommit=True)) as connection:
        tables = [name for (name,) in connection.execute(_TABLES).fetchall()]
        numbers = "SELECT sequencename, last_value FROM pg_sequences"
        questions = [_FILES, numbers, *(f"SELECT * FROM {table}" for table in tables)]
        return [sorted(map(str, connection.execute(each).fetchall())) for each in questions]


def test_what_a_test_has_written_is_not_there_for_the_next_one(
    databases: Databases, postgres_server: PostgresServer
) -> None:
    name = databases.take()
    new = content(postgres_server.dsn(name))
    change(postgres_server.dsn(name), f"{_ROWS};\nVACUUM aiohttp_jobs.leases")
    assert content(postgres_server.dsn(name)) != new
    databases.give_back(name)
    again = databases.take()
    assert again != name  # so that whoever is still there does not find it
    assert content(postgres_server.dsn(again)) == new
    databases.give_back(again)


@pytest.mark.parametrize(
    "changed",
    [
        "CREATE TABLE left_behind (a int)",
        "ALTER TABLE aiohttp_jobs.jobs ALTER COLUMN state SET DEFAULT 'mine'",
        "ALTER TABLE aiohttp_jobs.jobs DISABLE TRIGGER line_up",
        "CREATE OR REPLACE FUNCTION aiohttp_jobs.month_of(id bigint) RETURNS bigint "
        "LANGUAGE sql AS 'SELECT 1'",
        "ALTER DATABASE {name} SET jit = on",
        "INSERT INTO aiohttp_jobs.leases VALUES ('a', gen_random_uuid());\nANALYZE aiohttp_jobs.leases",
        "DELETE FROM aiohttp_jobs.schema_steps WHERE number = 1",
    ],
)
def test_one_in_which_more_than_rows_was_changed_is_thrown_away(
    databases: Databases, postgres_server: PostgresServer, changed: str
) -> None:
    name, thrown_away = databases.take(), databases.thrown_away
    change(postgres_server.dsn(name), changed.format(name=name))
    databases.give_back(name)
    assert databases.thrown_away == thrown_away + 1


def test_one_to_which_somebody_is_still_connected_is_thrown_away(
    databases: Databases, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEAVE_SECONDS", 0.0)
    name, thrown_away = databases.take(), databases.thrown_away
    with closing(psycopg.connect(postgres_server.dsn(name), autocommit=True)) as connection:
        databases.give_back(name)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    assert databases.thrown_away == thrown_away + 1
