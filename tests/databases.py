"""Databases that tests have one after another: each is emptied after a test, and thrown away where more than
rows was changed. A new one costs ten times what emptying one does. The server is in ``tests.postgres``.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

    from .postgres import PostgresServer

    Connection = psycopg.Connection[tuple[Any, ...]]

READY = "ready"
"""What they are copied from. It has the coming months, as wherever a host has run before."""
RESULTS_OF = datetime(2026, 3, 1, tzinfo=UTC)
"""The month of most results that tests write down, which is there too."""
LEAVE_SECONDS = 5.0
"""How long those who are still connected are waited for: a closed connection is gone a little later."""

_MONTHS = """
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'aiohttp_jobs.results'::regclass
"""
# All that a test can change but rows: tables, their columns and indexes, functions, triggers, rights,
# settings, statistics, and the steps that were taken. 16384 is the first number that is not PostgreSQL's own.
_SHAPE = """
SELECT kind, count(*), sum(hashtext(about)::bigint)::bigint FROM (
    SELECT 'relation' AS kind, (relname, relnamespace, reltype, reloftype, relowner, relam, relpersistence,
        relkind, relnatts, relchecks, relhasrules, relhastriggers, relhassubclass, relrowsecurity,
        relispopulated, relispartition, relacl, reloptions)::text AS about FROM pg_class WHERE oid >= 16384
    UNION ALL SELECT 'column', (attrelid, attname, atttypid, atttypmod, attnotnull, atthasdef, attidentity,
        attstattarget, attacl, attoptions)::text FROM pg_attribute WHERE attrelid >= 16384
    UNION ALL SELECT 'default', (adrelid, adnum, adbin)::text FROM pg_attrdef WHERE adrelid >= 16384
    UNION ALL SELECT 'index', (indexrelid, indisvalid, indisready, indislive)::text FROM pg_index
        WHERE indexrelid >= 16384
    UNION ALL SELECT 'constraint', (conname, conrelid, convalidated)::text FROM pg_constraint
        WHERE oid >= 16384
    UNION ALL SELECT 'trigger', (oid, tgenabled)::text FROM pg_trigger WHERE oid >= 16384
    UNION ALL SELECT 'function', (oid, prosrc, proconfig, proacl, proowner)::text FROM pg_proc
        WHERE oid >= 16384
    UNION ALL SELECT 'schema', (nspname, nspowner, nspacl)::text FROM pg_namespace
    UNION ALL SELECT 'extension', extname::text FROM pg_extension
    UNION ALL SELECT 'statistics', (starelid, staattnum)::text FROM pg_statistic WHERE starelid >= 16384
    UNION ALL SELECT 'setting', setconfig::text FROM pg_db_role_setting
        WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
    UNION ALL SELECT 'database', (datdba, datallowconn, datconnlimit, datacl)::text FROM pg_database
        WHERE datname = current_database()
    UNION ALL SELECT 'step', (number, name)::text FROM aiohttp_jobs.schema_steps
) everything GROUP BY kind ORDER BY kind
"""
# Plans go by how long the files are, and by what was last seen to be in them.
_EMPTY = """
DO $$
DECLARE filled text;
BEGIN
    SELECT string_agg(oid::regclass::text, ', ') INTO filled FROM pg_class
    WHERE relnamespace = 'aiohttp_jobs'::regnamespace AND relkind = 'r' AND relname <> 'schema_steps'
    AND (pg_relation_size(oid) > 0 OR reltuples >= 0);
    IF filled IS NOT NULL THEN
        EXECUTE 'TRUNCATE ' || filled || ' CASCADE';
    END IF;
    PERFORM setval(seqrelid::regclass, seqstart, false) FROM pg_sequence
    WHERE pg_sequence_last_value(seqrelid) IS NOT NULL;
    PERFORM pg_stat_reset();
END $$
"""
_ESTIMATES = """
SELECT array_agg(oid), array_agg(relpages), array_agg(reltuples) FROM pg_class WHERE oid >= 16384
"""
_ESTIMATE_AGAIN = """
UPDATE pg_class c SET relpages = e.relpages, reltuples = e.reltuples
FROM unnest(%s::oid[], %s::int[], %s::real[]) AS e (oid, relpages, reltuples)
WHERE c.oid = e.oid AND (c.relpages, c.reltuples) IS DISTINCT FROM (e.relpages, e.reltuples)
"""
_SEEDED = ("installation", "record_kinds")
"""The tables that have rows from the beginning."""


class Databases:
    """Those of `server` that have all tables, and nothing in them."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._numbers = count()
        self._free: list[str] = []
        self._as_new: _Content | None = None
        self._administration: Connection | None = None
        self.thrown_away = 0

    def take(self) -> str:
        """The name of one that nobody else has."""
        if self._as_new is None:
            self._as_new = self._make_ready()
        return self._free.pop() if self._free else self._server.create(READY)

    def give_back(self, name: str) -> None:
        """Have the database used again, if it is as it was but for rows and months."""
        emptied = self._emptied(name)
        if emptied is not None:
            self._free.append(emptied)

    def close(self) -> None:
        """Disconnect. The databases go with the server."""
        if self._administration is not None:
            self._administration.close()

    def _emptied(self, name: str) -> str | None:
        """Its new name, as whoever still has the old one must not find it; ``None``: it is no more."""
        import psycopg  # noqa: PLC0415 - it may be missing

        assert self._as_new is not None
        new = f"again_{next(self._numbers)}"
        try:
            self._wait_for_others(name)
            self._ask(f"ALTER DATABASE {name} RENAME TO {new}")
            name = new
            with closing(self._connect(name)) as connection, connection.transaction():
                self._as_new.restore(connection)
        except (psycopg.Error, _ChangedError):
            self.thrown_away += 1
            self._server.drop(name)
            return None
        return name

    def _make_ready(self) -> _Content:
        name = self._server.create_upgraded()
        with ThreadPoolExecutor(1) as thread:  # an event loop may be running in this one
            thread.submit(asyncio.run, _make_months(self._server.dsn(name))).result()
        self._ask(f"ALTER DATABASE {name} RENAME TO {READY}")
        with closing(self._connect(READY)) as connection:
            return _Content(connection)

    def _wait_for_others(self, name: str) -> None:
        """Raise `_ChangedError` if somebody stays connected to the database."""
        deadline = time.monotonic() + LEAVE_SECONDS
        while self._ask(f"SELECT FROM pg_stat_activity WHERE datname = '{name}'").rowcount:
            if time.monotonic() > deadline:
                raise _ChangedError
            time.sleep(0.005)

    def _ask(self, statement: str) -> psycopg.Cursor[tuple[Any, ...]]:
        if self._administration is None:
            self._administration = self._connect("postgres")
        return self._administration.execute(statement)

    def _connect(self, name: str) -> Connection:
        import psycopg  # noqa: PLC0415 - it may be missing

        return psycopg.connect(self._server.dsn(name, "postgres"), autocommit=True)


class _ChangedError(Exception):
    """More was changed than can be made undone."""


class _Content:
    """What is in a database that nobody has used yet."""

    def __init__(self, connection: Connection) -> None:
        self._months = self._all_months(connection)
        self._shape = connection.execute(_SHAPE).fetchall()
        self._estimates = connection.execute(_ESTIMATES).fetchall()[0]
        self._rows = {
            table: connection.execute(f"SELECT jsonb_agg(t)::text FROM aiohttp_jobs.{table} t").fetchall()[0]
            for table in _SEEDED
        }

    def restore(self, connection: Connection) -> None:
        """Raises `_ChangedError` when it cannot be."""
        for month in self._all_months(connection) - self._months:
            connection.execute(f"DROP TABLE aiohttp_jobs.{month}")
        if connection.execute(_SHAPE).fetchall() != self._shape:
            raise _ChangedError
        connection.execute(_EMPTY)
        connection.execute(_ESTIMATE_AGAIN, self._estimates)
        for table, rows in self._rows.items():
            connection.execute(
                f"INSERT INTO aiohttp_jobs.{table} "
                f"SELECT * FROM jsonb_populate_recordset(NULL::aiohttp_jobs.{table}, %s::jsonb)",
                rows,
            )

    @staticmethod
    def _all_months(connection: Connection) -> set[str]:
        return {month for (month,) in connection.execute(_MONTHS).fetchall()}


async def _make_months(dsn: str) -> None:
    from aiohttp_jobs.engine.postgres.async_database import AsyncDatabase  # noqa: PLC0415 - needs psycopg
    from aiohttp_jobs.engine.postgres.months import Months, month_of  # noqa: PLC0415 - needs psycopg
    from aiohttp_jobs.engine.searching import first_id, microseconds  # noqa: PLC0415 - goes with those

    database = AsyncDatabase(dsn)
    await database.open()
    await Months(database).make_ahead(datetime.now(UTC))
    await Months(database).make(month_of(first_id(microseconds(RESULTS_OF))))
    await database.close()
