"""The schema of the database and its versions: which steps exist, which were taken, and taking the others.

The steps are the files in ``schema/``. A released step is never changed; a change is a new step. Blocks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, LiteralString

import psycopg

from ...errors import ConfigurationError

_FILE = re.compile(r"(\d{4})_(\w+)\.sql")
_UPGRADING = 0x61696F6A6F6273  # the bytes of "aiojobs": a lock that nothing else in the database takes
_BEGINNING = """
CREATE SCHEMA IF NOT EXISTS aiohttp_jobs;
CREATE TABLE IF NOT EXISTS aiohttp_jobs.schema_steps (
    number integer PRIMARY KEY,
    name text NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""
_CONNECT_SECONDS = 10

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class SchemaStep:
    """One change of the schema: its number, counted from 1, its description, and its SQL."""

    number: int
    name: str
    sql: str

    def __str__(self) -> str:
        return f"{self.number} ({self.name.replace('_', ' ')})"


@dataclass(frozen=True, slots=True)
class SchemaState:
    """The version of a database, `taken`, and that of this release, `newest`; 0 is an empty database."""

    taken: int
    newest: int

    @property
    def problem(self) -> str | None:
        """A sentence that says why this release cannot use the database, and what to do; ``None`` when it
        can.
        """
        if self.taken == self.newest:
            return None
        if self.taken == 0:
            return "The database has no tables of aiohttp-jobs yet. Run 'aiohttp-jobs db upgrade'."
        if self.taken < self.newest:
            return (
                f"The database has schema {self.taken}, and this release needs schema {self.newest}. "
                "Run 'aiohttp-jobs db upgrade'."
            )
        return (
            f"The database has schema {self.taken}, and this release knows schema {self.newest} at most: a "
            "newer one has upgraded it. Install that release here too."
        )


@cache
def schema_steps() -> tuple[SchemaStep, ...]:
    """All steps in order."""
    found = [
        SchemaStep(int(match[1]), match[2], entry.read_text("utf-8"))
        for entry in files(__package__).joinpath("schema").iterdir()
        if (match := _FILE.fullmatch(entry.name))
    ]
    return tuple(sorted(found, key=lambda step: step.number))


def schema_state(dsn: str) -> SchemaState:
    """The version of the database at `dsn`. Raises `ConfigurationError`."""
    with connected(dsn) as connection:
        return state_of(connection)


def state_of(connection: Connection) -> SchemaState:
    """The version of the database behind `connection`."""
    newest = schema_steps()[-1].number
    (table,) = _one(connection, "SELECT to_regclass('aiohttp_jobs.schema_steps')")
    if table is None:
        return SchemaState(0, newest)
    (taken,) = _one(connection, "SELECT coalesce(max(number), 0) FROM aiohttp_jobs.schema_steps")
    return SchemaState(taken, newest)


def upgrade_schema(dsn: str) -> list[SchemaStep]:
    """Take the missing steps in the database at `dsn`; return them.

    Each step is atomic, and taken by one process, however many upgrade at once. Raises `ConfigurationError`
    when the database cannot be used, or belongs to a newer release.
    """
    with connected(dsn) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_UPGRADING,))
        connection.execute(_BEGINNING)
        state = state_of(connection)
        if state.taken > state.newest:
            raise ConfigurationError(state.problem)
        missing = [step for step in schema_steps() if step.number > state.taken]
        for step in missing:
            with connection.transaction():
                connection.execute(step.sql)
                connection.execute(
                    "INSERT INTO aiohttp_jobs.schema_steps (number, name) VALUES (%s, %s)",
                    (step.number, step.name),
                )
        return missing


@contextmanager
def connected(dsn: str) -> Iterator[Connection]:
    """A connection for a moment, without a pool. Raises `ConfigurationError`, as does what fails inside."""
    try:
        with psycopg.connect(dsn, autocommit=True, connect_timeout=_CONNECT_SECONDS) as connection:
            yield connection
    except psycopg.ProgrammingError as error:
        raise ConfigurationError(_misuse(error)) from None
    except psycopg.OperationalError as error:
        raise ConfigurationError(f"The database cannot be used: {' '.join(str(error).split())}") from None


def _misuse(error: psycopg.ProgrammingError) -> str:
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return (
            f"The database role may not do this ({error.diag.message_primary}). It has to own the "
            "database, or to have the right CREATE on it; it need not be a superuser."
        )
    if error.sqlstate is None:  # of the connection string, which may have a password in it
        return "The dsn is not one that PostgreSQL understands. It looks like postgresql://user@host:5432/database."
    return f"The database refused: {error.diag.message_primary}"


def _one(connection: Connection, query: LiteralString) -> tuple[Any, ...]:
    row = connection.execute(query).fetchone()
    if row is None:
        raise AssertionError("a query of one row had none")
    return row
