"""What is asked for each job, asked in the event loop: a thread is two switches, which a short job waits for.

The statements, and what is asked seldom or takes long, are left to ``jobs`` and ``verdicts``.
"""

from __future__ import annotations

import asyncio
from typing import LiteralString, TypeVar

from ...system.owned_tasks import OwnedTasks
from .async_database import AsyncDatabase
from .database import ANSWER_SECONDS, Row, Values
from .jobs import Statement

_MOST_CONNECTIONS = 3
_STATEMENT_SECONDS = 60.0
_CLOSE_SECONDS = 5.0
T = TypeVar("T")


class EachJob:
    """Asks statements over connections of their own, which no search keeps busy.

    All raise `DatabaseUnavailableError`, also when there is no answer within `ANSWER_SECONDS`: what was
    asked may have been done then.
    """

    def __init__(self, dsn: str) -> None:
        self._database = AsyncDatabase(
            dsn,
            most=_MOST_CONNECTIONS,
            seconds=_STATEMENT_SECONDS,
            answer_seconds=ANSWER_SECONDS,
            for_jobs=True,
        )
        self._tasks = OwnedTasks("what jobs need of the database")

    async def open(self) -> None:
        await self._database.open()

    async def close(self) -> None:
        await self._tasks.close(_CLOSE_SECONDS)
        await self._database.close()

    async def ask(self, statement: Statement[T]) -> T:
        """The answer to a statement."""
        return statement.answer(await self._database.rows(statement.query, statement.values))

    async def row(self, query: LiteralString, values: Values = ()) -> Row | None:
        """The first row of a statement that is short, and has one plan for all values."""
        return await self._database.row(query, values)

    async def done(self, query: LiteralString, values: Values) -> list[Row]:
        """The rows of a statement that is seen to its end, also when who waits for it is cancelled."""
        outcome = await asyncio.shield(self._tasks.start(self._outcome(query, values)))
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def _outcome(self, query: LiteralString, values: Values) -> list[Row] | Exception:
        """The rows, or why there are none: whoever waits is told, and it is no fault of the task."""
        try:
            return await self._database.rows(query, values)
        except Exception as error:
            return error
