"""A semaphore that is shared out fairly between users. In memory, no I/O."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..errors import LimitReachedError


class FairTurns:
    """At most `at_once` turns at the same time, `per_user` of one user; waiting users are served round robin.

    At most `most_waiting` turns of one user may wait, which is the limit of the setting `setting`; `what`
    names them in a sentence, as in "searches".
    """

    def __init__(self, at_once: int, per_user: int, most_waiting: int, *, setting: str, what: str) -> None:
        self._at_once = at_once
        self._per_user = per_user
        self._most_waiting = most_waiting
        self._setting = setting
        self._what = what
        self._busy: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, user_id: str) -> AsyncIterator[None]:
        """Wait for the user's turn and run the block.

        Raises `LimitReachedError` if too many of theirs wait.
        """
        await self._wait(user_id)
        try:
            yield
        finally:
            self._end(user_id)

    async def _wait(self, user_id: str) -> None:
        waiting = self._waiting.setdefault(user_id, deque())
        if len(waiting) >= self._most_waiting:
            raise LimitReachedError(
                self._setting,
                most=self._most_waiting,
                used=len(waiting),
                what=self._what,
                advice="Try again in a moment.",
            )
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append(turn)
        self._begin_next()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._leave(user_id, turn)
            else:  # its turn had just come
                self._end(user_id)
            raise

    def _begin_next(self) -> None:
        while self._busy.total() < self._at_once:
            user_id = next((user for user in self._waiting if self._busy[user] < self._per_user), None)
            if user_id is None:
                return
            turn = self._waiting[user_id][0]
            self._leave(user_id, turn)
            if user_id in self._waiting:
                self._waiting.move_to_end(user_id)
            if not turn.done():
                self._busy[user_id] += 1
                turn.set_result(None)

    def _leave(self, user_id: str, turn: asyncio.Future[None]) -> None:
        waiting = self._waiting.get(user_id)
        if waiting is not None and turn in waiting:
            waiting.remove(turn)
            if not waiting:
                del self._waiting[user_id]

    def _end(self, user_id: str) -> None:
        self._busy[user_id] -= 1
        if not self._busy[user_id]:
            del self._busy[user_id]
        self._begin_next()
