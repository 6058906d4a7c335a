"""AsyncDatabase: connections for the event loop, with a time limit for each statement, which holds also while
the server does not answer. `Database` is for threads.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from ...errors import BusyError
from ..base import TooSlowError
from .database import (
    AWAY_SECONDS,
    CONNECTION_LOST,
    KEEP_ALIVE,
    OPEN_SECONDS,
    RECONNECT_SECONDS,
    WAIT_SECONDS,
    Reachable,
    Row,
    Values,
    failed_attempts,
    has_news,
    unavailable,
)

STATEMENT_SECONDS = 10.0
LATE_SECONDS = 5.0
"""How much longer than its time limit a statement is waited for: the server ends it, if it can be heard."""
_PREPARE_AFTER = 2
"""Times that a statement is sent whole before it is prepared."""
T = TypeVar("T")


class AsyncConnection(psycopg.AsyncConnection[Row]):
    """A connection that waits for an answer for `most_seconds` and is shut down then."""

    most_seconds = STATEMENT_SECONDS + LATE_SECONDS
    is_cut = False
    """Whether an answer did not come in time."""

    async def wait(self, gen: PQGen[T], *args: Any, **kwargs: Any) -> T:
        """What `gen`, which all that goes to the server and comes from it passes, ends with.

        Raises ``OperationalError`` when no answer came.
        """
        timer = asyncio.get_running_loop().call_later(self.most_seconds, self._cut)
        try:
            return await super().wait(gen, *args, **kwargs)
        finally:
            timer.cancel()

    def _cut(self) -> None:
        """End the connection on this side. Cancelling the call would wait for the server, which is silent."""
        self.is_cut = True
        with suppress(OSError, psycopg.OperationalError), socket.socket(fileno=os.dup(self.fileno())) as own:
            own.shutdown(socket.SHUT_RDWR)


# Every question has an index to go by, mostly in its order: of a table without statistics, PostgreSQL thinks
# that there is too little in it to use one.
_SETTINGS = """
SELECT set_config('timezone', 'UTC', false), set_config('lock_timeout', '5s', false),
    set_config('statement_timeout', %s, false), set_config('enable_seqscan', 'off', false),
    set_config('enable_sort', 'off', false), set_config('enable_incremental_sort', 'off', false),
    set_config('jit', 'off', false), set_config('idle_in_transaction_session_timeout', '10s', false)
"""

# What is asked for each job is a call of a function, whose plan is the same for all values.
_ONE_PLAN = "SELECT set_config('plan_cache_mode', 'force_generic_plan', false)"


async def _check(connection: AsyncConnection) -> None:
    if has_news(connection):
        await AsyncConnectionPool.check_connection(connection)


class AsyncDatabase:
    """At most `most` connections to `dsn`; a statement takes `seconds` at most.

    Errors are those of `Database`, also when no answer comes, after `answer_seconds`: by default
    `LATE_SECONDS` more. `TooSlowError`: a statement took too long, and was not done.

    `for_jobs`: it is asked the same few things again and again, and so has their plans ready.
    """

    def __init__(
        self,
        dsn: str,
        *,
        most: int = 4,
        seconds: float = STATEMENT_SECONDS,
        answer_seconds: float | None = None,
        wait_seconds: float = WAIT_SECONDS,
        for_jobs: bool = False,
    ) -> None:
        async def configure(connection: AsyncConnection) -> None:
            connection.most_seconds = answer_seconds or seconds + LATE_SECONDS
            await connection.execute(_SETTINGS, (f"{1000 * seconds:.0f}ms",))
            if for_jobs:
                await connection.execute(_ONE_PLAN)

        self._reachable = Reachable(wait_seconds)
        self._pool: AsyncConnectionPool[AsyncConnection] = AsyncConnectionPool(
            dsn,
            connection_class=AsyncConnection,
            kwargs={
                "autocommit": True,
                "application_name": "aiohttp-jobs",
                "connect_timeout": 10,
                # A plan that is to be right for all values reads all months for one.
                "prepare_threshold": _PREPARE_AFTER if for_jobs else None,
                **KEEP_ALIVE,
            },
            min_size=1,
            max_size=most,
            timeout=WAIT_SECONDS,
            reconnect_timeout=RECONNECT_SECONDS,
            configure=configure,
            check=_check,
            num_workers=1,
            name="aiohttp-jobs-for-jobs" if for_jobs else "aiohttp-jobs-results",
            open=False,
        )

    async def open(self) -> None:
        """Connect. Returns when there is a connection, or when an attempt to connect has failed."""
        await self._pool.open()
        end = time.monotonic() + OPEN_SECONDS
        while time.monotonic() < end and not failed_attempts(self._pool):
            with suppress(PoolTimeout):
                async with self._pool.connection(AWAY_SECONDS):
                    return

    async def close(self) -> None:
        await self._pool.close()

    async def rows(self, query: LiteralString, values: Values = ()) -> list[Row]:
        """The rows that one statement selects, or returns for its changes."""
        async with self.connection() as connection:
            return await (await connection.execute(query, values)).fetchall()

    async def row(self, query: LiteralString, values: Values = ()) -> Row | None:
        """The first row of `rows`."""
        async with self.connection() as connection:
            return await (await connection.execute(query, values)).fetchone()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A transaction: committed when the block ends, rolled back when it raises."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def _lent(self, seconds: float) -> AsyncIterator[AsyncConnection]:
        """One of the pool's, which is waited for so long; not where the pool found out that it gets none."""
        failed = failed_attempts(self._pool)
        async with AsyncExitStack() as stack:
            first = self._pool.connection(min(seconds, AWAY_SECONDS))
            try:
                connection = await stack.enter_async_context(first)
            except PoolTimeout:
                if seconds <= AWAY_SECONDS or failed_attempts(self._pool) > failed:
                    raise
                connection = await stack.enter_async_context(self._pool.connection(seconds - AWAY_SECONDS))
            yield connection

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """A connection in autocommit mode, for statements that do not belong together."""
        with _explaining(), self._reachable.asking() as seconds:
            async with self._lent(seconds) as connection:
                self._reachable.reached()
                try:
                    yield connection
                finally:
                    if connection.is_cut:
                        await self._begin_anew()

    async def _begin_anew(self) -> None:
        """Have no connection lent that goes the same way as one without an answer, nor waited for long."""
        self._reachable.is_away = True
        await self._pool.drain()


@contextmanager
def _explaining() -> Iterator[None]:
    try:
        yield
    except psycopg.errors.LockNotAvailable:
        raise BusyError from None
    except psycopg.errors.QueryCanceled:
        raise TooSlowError from None
    except CONNECTION_LOST as error:
        raise unavailable(error) from error


def one(row: Row | None) -> Any:
    """The single value of a query that always returns one row."""
    if row is None:
        raise AssertionError("a query of one row had none")
    return row[0]
