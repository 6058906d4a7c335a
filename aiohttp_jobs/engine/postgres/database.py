"""Database: connections for threads, and the errors that their failures mean. Tables are created by
``migrations``.
"""

from __future__ import annotations

import asyncio
import select
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, LiteralString, ParamSpec, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolTimeout

from ...errors import BusyError, ConfigurationError, StorageUnavailableError
from ...system.threads import DaemonThreads, started
from .listening import nobody_listens
from .migrations import Connection, state_of

# Who stops in a transaction, or is cut off in it, holds what it has locked for so long: its jobs could not be
# taken otherwise. What a table without statistics seems to cost is a guess, and every question has an index
# to go by.
_SETTINGS = """
SELECT set_config('timezone', 'UTC', false), set_config('lock_timeout', %s, false),
    set_config('statement_timeout', '60s', false), set_config('enable_seqscan', 'off', false),
    set_config('idle_in_transaction_session_timeout', '10s', false),
    set_config('plan_cache_mode', 'force_custom_plan', false), set_config('jit', 'off', false)
"""
CONNECTION_LOST = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.IdleInTransactionSessionTimeout,
)
LOCK_SECONDS = 5.0
WAIT_SECONDS = 5.0
OPEN_SECONDS = 60.0
"""How long the first connection is waited for, while none has failed: the machine is busy, then."""
AWAY_SECONDS = 0.2
"""How long a connection is waited for while the database is known to be away."""
RECONNECT_SECONDS = 4.0
"""After so long the pool begins anew to connect, so that its pauses never get long."""
ANSWER_SECONDS = 10.0
"""How long who awaits an answer waits for one that does not come: the other side hangs, or is cut off."""
KEEP_ALIVE = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}

P = ParamSpec("P")
T = TypeVar("T")
Row = tuple[Any, ...]
Values = Sequence[Any] | Mapping[str, Any]


class DatabaseUnavailableError(StorageUnavailableError, OSError):
    """The server's database cannot be reached at the moment. Try again later."""

    code = "storage_unavailable"
    retry_after = 5
    may_be_done = True
    """Whether what was asked may have been done all the same."""


class DatabaseAwayError(DatabaseUnavailableError):
    """The server's database cannot be reached at the moment. Try again later."""

    may_be_done = False


class DatabaseFullError(DatabaseUnavailableError):
    """The server's database has no room. Nothing was changed; try again when there is."""

    status = 507
    code = "insufficient_storage"
    may_be_done = False


class Reachable:
    """Whether a pool's database can be reached, as far as its users have found out. For any thread."""

    def __init__(self, wait_seconds: float = WAIT_SECONDS) -> None:
        self.is_away = False
        self._wait_seconds = wait_seconds
        self._last_reached = float("-inf")

    @contextmanager
    def asking(self) -> Iterator[float]:
        """For how many seconds to wait for a connection; that nobody had one within them is remembered."""
        begun = time.monotonic()
        try:
            yield min(AWAY_SECONDS, self._wait_seconds) if self.is_away else self._wait_seconds
        except PoolTimeout:
            # When others had one meanwhile, there are only more who ask than connections.
            self.is_away = self.is_away or self._last_reached < begun
            raise

    def reached(self) -> None:
        """Somebody has a connection."""
        self._last_reached = time.monotonic()
        self.is_away = False


def has_news(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> bool:
    """Whether the server has sent something to a connection that nobody uses: that it closes it, mostly.

    So that its end is found out without a question, which would be one more for each that is asked.
    """
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    return bool(waiting.poll(0))


def failed_attempts(pool: ConnectionPool[Any] | AsyncConnectionPool[Any]) -> int:
    """How often a pool could not connect."""
    return pool.get_stats().get("connections_errors", 0)


def _check(connection: Connection) -> None:
    if has_news(connection):
        ConnectionPool.check_connection(connection)


class Database:
    """At most `most` connections to `dsn`. Every method blocks, and may be called in any thread.

    All raise `DatabaseUnavailableError` when the database cannot be reached, or was lost on the way: what was
    asked has then been done wholly or not at all, and which of both is not known. `BusyError`: somebody else
    has held what was to be changed for `lock_seconds`.
    """

    def __init__(
        self,
        dsn: str,
        *,
        most: int = 4,
        lock_seconds: float = LOCK_SECONDS,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._address: tuple[str, int] | None = None

        def configure(connection: Connection) -> None:
            self._address = (connection.info.host, connection.info.port)
            connection.execute(_SETTINGS, (f"{1000 * lock_seconds:.0f}ms",))

        self._threads = DaemonThreads(2 * most, "aiohttp-jobs-database")
        self._most_asked = 2 * most
        self._asked = 0
        self._reachable = Reachable(wait_seconds)
        # With several hosts in it, another one may be there when this one is not.
        self._has_one_host = "," not in "".join(
            str(value) for name, value in conninfo_to_dict(dsn).items() if name in {"host", "hostaddr"}
        )
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            dsn,
            kwargs={
                "autocommit": True,
                "application_name": "aiohttp-jobs",
                "connect_timeout": 10,
                **KEEP_ALIVE,
            },
            min_size=1,
            max_size=most,
            timeout=WAIT_SECONDS,
            reconnect_timeout=RECONNECT_SECONDS,
            configure=configure,
            # That a server was restarted is met there, and not by a caller.
            check=_check,
            num_workers=1,
            name="aiohttp-jobs",
            open=False,
        )

    def open(self) -> None:
        """Raises `ConfigurationError` when the database cannot be used by this release.

        While no attempt to connect has failed, the machine is only busy: it is waited for longer than usual.
        """
        self._pool.open()
        try:
            problem = self._first_look()
            if problem is not None:
                raise ConfigurationError(problem)
        except BaseException:
            self.close()
            raise

    def _first_look(self) -> str | None:
        """What is wrong with the tables, if anything is."""
        end = time.monotonic() + OPEN_SECONDS
        while True:
            try:
                with self._connection() as connection:
                    return state_of(connection).problem
            except DatabaseAwayError:
                if time.monotonic() > end or failed_attempts(self._pool):
                    raise

    def close(self) -> None:
        self._pool.close()
        self._threads.shutdown()

    def is_refused(self) -> bool:
        """Whether no server listens where this was connected last: its machine says so."""
        return self._address is not None and self._has_one_host and nobody_listens(*self._address)

    async def in_thread(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """What `function`, which asks this database, returns; it is called in a thread of the database's own.

        It is waited for so long and no longer; what was asked may be done all the same, then or later.
        While the database is away nobody waits behind others who wait for it.
        """
        call = self._called(partial(function, *args, **kwargs))
        await asyncio.wait([call], timeout=ANSWER_SECONDS)
        if not call.done():
            self._is_silent()
            raise DatabaseUnavailableError
        return call.result()

    async def until_done(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The same, waited for to its end, for work of which somebody has to know how it ended."""
        return await self._called(partial(function, *args, **kwargs))

    def _called(self, function: Callable[[], T]) -> asyncio.Future[T]:
        if self._asked >= self._most_asked and self._reachable.is_away:
            raise DatabaseAwayError
        call = asyncio.get_running_loop().run_in_executor(self._threads, function)
        self._asked += 1
        call.add_done_callback(self._answered)
        return call

    def _is_silent(self) -> None:
        """Have no connection lent that goes the same way as one without an answer, nor waited for long."""
        if not self._reachable.is_away:
            self._reachable.is_away = True
            started(self._pool.drain)

    def _answered(self, call: asyncio.Future[Any]) -> None:
        self._asked -= 1
        if not call.cancelled():
            call.exception()  # perhaps nobody waits for it any more

    def rows(self, query: LiteralString, values: Values = ()) -> list[Row]:
        """What one statement finds, or returns of what it has changed."""
        with self._connection() as connection:
            return connection.execute(query, values).fetchall()

    def row(self, query: LiteralString, values: Values = ()) -> Row | None:
        """The first of them."""
        with self._connection() as connection:
            return connection.execute(query, values).fetchone()

    def change(self, query: LiteralString, values: Values = ()) -> int:
        """How many rows one statement has changed."""
        with self._connection() as connection:
            return connection.execute(query, values).rowcount

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Several statements, which are done when the block ends, or not at all when it raises."""
        with self._connection() as connection, connection.transaction():
            yield connection

    @contextmanager
    def _lent(self, seconds: float) -> Iterator[Connection]:
        """One of the pool's, which is waited for so long; not where the pool found out that it gets none."""
        failed = failed_attempts(self._pool)
        with ExitStack() as stack:
            try:
                connection = stack.enter_context(self._pool.connection(min(seconds, AWAY_SECONDS)))
            except PoolTimeout:
                if seconds <= AWAY_SECONDS or failed_attempts(self._pool) > failed:
                    raise
                connection = stack.enter_context(self._pool.connection(seconds - AWAY_SECONDS))
            yield connection

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        try:
            with self._reachable.asking() as seconds, self._lent(seconds) as connection:
                self._reachable.reached()
                yield connection
        except psycopg.errors.LockNotAvailable:
            raise BusyError from None
        except CONNECTION_LOST as error:
            raise unavailable(error) from error


def unavailable(error: psycopg.Error) -> DatabaseUnavailableError:
    """What it means for a caller that the database could not be asked."""
    if isinstance(error, PoolTimeout):
        return DatabaseAwayError()
    return DatabaseFullError() if isinstance(error, psycopg.errors.DiskFull) else DatabaseUnavailableError()
