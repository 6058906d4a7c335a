"""LogExchange: asks other processes for outputs that only they have, and answers those who ask this one.

Nobody opens a port for that: questions and answers are rows (``log_requests``), told of by notifications.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Callable
from contextlib import suppress

from ...errors import OutputBusyError
from ...model.output import OutputPart, Span
from ...system.owned_tasks import OwnedTasks, end_tasks
from ..base import JobOutput
from .database import DatabaseUnavailableError
from .log_requests import ANSWER_SECONDS, MOST_BYTES, Asked, LogRequests, Question

_LOOK_SECONDS = 1.0
_BUSY_SECONDS = 0.05
_READ_SECONDS = 5.0
_TIDY_BYTES = 64 * 1024 * 1024
_FORGET_SECONDS = 300.0
_CLOSE_SECONDS = 1.0
_logger = logging.getLogger(__name__)

Own = Callable[[str, int], JobOutput | None]
"""Finds the output of an attempt that runs in this process, or that this one keeps."""


class LogExchange:
    """One process's questions and answers, by `requests`; `own` finds what it can answer with.

    It answers one question after the other, in a task of its own, by one connection: its jobs have the rest.
    Whoever takes an answer late holds up nobody, as it waits in the database.
    """

    def __init__(self, requests: LogRequests, own: Own) -> None:
        self._requests = requests
        self._own = own
        self._awaited: dict[str, asyncio.Event] = {}
        self._asked = asyncio.Event()
        self._given = 0
        self._tasks = OwnedTasks("asking for outputs")
        self._loop: asyncio.Task[None] | None = None

    def open(self) -> None:
        self._loop = asyncio.create_task(self._keep_answering(), name="aiohttp-jobs-outputs")

    async def close(self) -> None:
        if self._loop is not None:
            self._loop.cancel()
            await end_tasks([self._loop], 0.0)
        await self._tasks.close(_CLOSE_SECONDS)

    def hear(self, what: str, request_id: str) -> None:
        """Another process has ``asked`` this one, or ``answered`` it; or something may have been missed."""
        if what == "answered":
            if (answered := self._awaited.get(request_id)) is not None:
                answered.set()
        else:
            self._asked.set()

    # --- asking

    async def read(self, job_id: str, attempt: int, offset: int, most: int) -> OutputPart | None:
        """Some bytes from `offset` on, or from behind a gap, `most` of them at most.

        ``None``: there is nobody any more who has them. Raises `OutputBusyError` and
        `DatabaseUnavailableError`.
        """
        own = self._own(job_id, attempt)
        if own is not None:
            return await own.read(offset, most, whole=False)
        return await self._ask(Question(job_id, attempt, offset, max(1, min(most, MOST_BYTES))))

    async def spans(self, job_id: str, attempt: int) -> list[Span] | None:
        """The stretches that there are; ``None`` and errors as for `read`."""
        own = self._own(job_id, attempt)
        if own is not None:
            return await own.spans()
        part = await self._ask(Question(job_id, attempt, 0, 0))
        return None if part is None else [Span(*pair) for pair in json.loads(part.data)]

    async def _ask(self, question: Question) -> OutputPart | None:
        request_id, answered = str(uuid.uuid4()), asyncio.Event()
        self._awaited[request_id] = answered
        asked, pause = Asked.BUSY, _BUSY_SECONDS
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while True:
                    asked = await self._requests.in_thread(self._requests.ask, request_id, question)
                    if asked is Asked.GONE:
                        return None
                    if asked is Asked.ASKED:
                        return await self._answer_to(request_id, answered)
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _LOOK_SECONDS)
        except TimeoutError:
            if asked is Asked.ASKED:
                return None
            raise OutputBusyError from None
        finally:
            del self._awaited[request_id]

    async def _answer_to(self, request_id: str, answered: asyncio.Event) -> OutputPart | None:
        is_there = True
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await answered.wait()
                answered.clear()
                part = await self._requests.in_thread(self._requests.fetch, request_id)
                if part is not None:
                    is_there = False
                    return part
        except LookupError:
            is_there = False
            return None
        finally:
            if is_there:
                self._tasks.start(self._drop(request_id))

    async def _drop(self, request_id: str) -> None:
        with suppress(DatabaseUnavailableError):  # others forget it
            await self._requests.in_thread(self._requests.drop, request_id)

    # --- answering

    async def _keep_answering(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_FORGET_SECONDS):
                    await self._asked.wait()
            try:
                if not self._asked.is_set():
                    await self._requests.in_thread(self._requests.drop_old)
                self._asked.clear()
                while questions := await self._requests.in_thread(self._requests.open_questions):
                    for request_id, question in questions:
                        await self._answer(request_id, question)
            except DatabaseUnavailableError as error:  # who asks gives up, or asks again
                _logger.debug("Cannot say what a job has printed: %s", error)
            except Exception:
                _logger.exception("Cannot say what a job has printed")

    async def _answer(self, request_id: str, question: Question | None) -> None:
        if question is None:
            _logger.error("Somebody who is no host wants to read an output here; nothing is given")
            await self._drop(request_id)
            return
        try:
            async with asyncio.timeout(_READ_SECONDS):
                part = await self._found(question)
        except OSError as error:
            _logger.warning("What job %s has printed cannot be read: %s", question.job_id, error)
            part = None
        await self._requests.in_thread(self._requests.answer, request_id, part)
        self._given += 0 if part is None else len(part.data)
        if self._given > _TIDY_BYTES:
            self._given = 0
            await self._requests.in_thread(self._requests.tidy)

    async def _found(self, question: Question) -> OutputPart | None:
        own = self._own(question.job_id, question.attempt)
        if own is None:
            return None
        if question.most > 0:
            return await own.read(question.start, min(question.most, MOST_BYTES), whole=False)
        return OutputPart(0, json.dumps(await own.spans()).encode())
