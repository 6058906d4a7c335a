"""The schema of a database: made, brought up to date and checked, by whoever and however often."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from aiohttp_jobs.errors import ConfigurationError

from ...postgres import PostgresServer

pytest.importorskip("psycopg", reason="psycopg is missing: pip install 'aiohttp-jobs[postgres]'")

import psycopg

from aiohttp_jobs.engine.postgres import migrations
from aiohttp_jobs.engine.postgres.migrations import SchemaStep, schema_state, schema_steps, upgrade_schema

if TYPE_CHECKING:
    from collections.abc import Callable

NEWEST = len(schema_steps())


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes this a release with these steps."""

    def become(*steps: SchemaStep) -> None:
        monkeypatch.setattr(migrations, "schema_steps", lambda: steps)

    return become


def tables(dsn: str) -> set[str]:
    with psycopg.connect(dsn) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'aiohttp_jobs'")
        return {name for (name,) in found}


def test_steps_are_numbered_from_one_without_a_gap() -> None:
    assert [step.number for step in schema_steps()] == list(range(1, NEWEST + 1))


def test_an_empty_database_gets_all_tables(bare_postgres: str) -> None:
    assert schema_state(bare_postgres).taken == 0
    assert upgrade_schema(bare_postgres) == list(schema_steps())
    assert schema_state(bare_postgres).problem is None
    assert {"installation", "records", "schema_steps"} <= tables(bare_postgres)


def test_upgrading_again_does_nothing(bare_postgres: str) -> None:
    upgrade_schema(bare_postgres)
    assert upgrade_schema(bare_postgres) == []


def test_of_many_that_upgrade_at_once_one_takes_each_step(bare_postgres: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        taken = list(threads.map(upgrade_schema, [bare_postgres] * 4))
    assert sorted(map(len, taken)) == [0, 0, 0, NEWEST]


def test_a_later_release_takes_what_is_missing(bare_postgres: str, release: Callable[..., None]) -> None:
    one = SchemaStep(1, "one", "CREATE TABLE aiohttp_jobs.one (a int)")
    two = SchemaStep(2, "two", "CREATE TABLE aiohttp_jobs.two (a int)")
    release(one)
    upgrade_schema(bare_postgres)
    release(one, two)
    problem = schema_state(bare_postgres).problem
    assert problem is not None
    assert "has schema 1, and this release needs schema 2" in problem
    assert upgrade_schema(bare_postgres) == [two]
    release(one)
    with pytest.raises(ConfigurationError, match="a newer one has upgraded it"):
        upgrade_schema(bare_postgres)


def test_a_step_that_fails_leaves_the_ones_before_it(
    bare_postgres: str, release: Callable[..., None]
) -> None:
    good = SchemaStep(1, "good", "CREATE TABLE aiohttp_jobs.good (a int)")
    release(good, SchemaStep(2, "bad", "CREATE TABLE aiohttp_jobs.half (a int); CREATE TABLE nonsense"))
    with pytest.raises(ConfigurationError, match="The database refused: syntax error"):
        upgrade_schema(bare_postgres)
    assert tables(bare_postgres) == {"good", "schema_steps"}
    assert schema_state(bare_postgres).taken == 1


def test_a_role_that_may_not_make_tables_is_told_what_it_needs(
    bare_postgres: str, postgres_server: PostgresServer
) -> None:
    with psycopg.connect(bare_postgres.replace("jobs@", "postgres@"), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS reader")
        connection.execute("CREATE ROLE reader LOGIN")
    with pytest.raises(ConfigurationError, match="has to own the database"):
        upgrade_schema(bare_postgres.replace("jobs@", "reader@"))


@pytest.mark.parametrize("dsn", ["postgresql://alice:secret@[half", "secret", "host=x secret"])
def test_what_is_wrong_with_a_dsn_does_not_show_its_password(dsn: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        schema_state(dsn)
    assert "secret" not in refused.value.message
    assert "postgresql://user@host:5432/database" in refused.value.message


def test_a_server_that_is_not_there_is_said_so() -> None:
    with pytest.raises(ConfigurationError, match="The database cannot be used: "):
        schema_state("postgresql://alice:secret@/jobs?host=/nowhere")
