"""Which waiting jobs are left to other processes: those of functions that only these have, or have unchanged.

A job is refused only when nobody has its function. What a process has is left to ``files.offered_functions``.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from ...functions.registry import Functions
from .files.offered_functions import Versions
from .queue import PendingJob

_KNOWN_SECONDS = 1.0
_KEPT_SECONDS = 60.0


class _Asked(NamedTuple):
    """When it was first asked about a job, and last."""

    first: float
    last: float


class FunctionTurns:
    """Goes by the `functions` of this process, and by what the others have, which `elsewhere` tells.

    For a function that nobody has, `patience` seconds are waited, from when its job was due here first:
    whoever has it may be starting anew.
    """

    def __init__(
        self, functions: Functions, elsewhere: Callable[[], Awaitable[Versions]], patience: float
    ) -> None:
        self._functions = functions
        self._elsewhere = elsewhere
        self._patience = patience
        self._asked: dict[str, _Asked] = {}
        self._known: Versions = {}
        self._known_until = float("-inf")

    def is_ours(self, job: PendingJob) -> bool:
        """Whether no other process need be asked: `job` is a command, or this one has its function
        unchanged.
        """
        own = None if job.function is None else self._functions.get(job.function)
        return job.function is None or (own is not None and job.function_version in (None, own.version))

    async def is_left(self, job: PendingJob) -> bool:
        """Whether another process is to run `job`, or may be soon. Raises ``OSError``."""
        if job.function is None or self.is_ours(job):
            return False
        own = self._functions.get(job.function)
        versions = (await self._others()).get(job.function, frozenset())
        if own is not None:
            return job.function_version in versions  # or else it is seen whether this one takes the values
        return bool(versions) or self._seconds_since_first(job.job_id) < self._patience

    def _seconds_since_first(self, job_id: str) -> float:
        """How long this is asked of a job for which there is nobody."""
        now = time.monotonic()
        first = self._asked[job_id].first if job_id in self._asked else now
        self._asked[job_id] = _Asked(first, now)
        return now - first

    async def _others(self) -> Versions:
        """Asked for at most once a second, however many jobs wait."""
        if time.monotonic() >= self._known_until:
            self._known = await self._elsewhere()
            since = time.monotonic() - _KEPT_SECONDS
            # Those that went elsewhere are asked about no more.
            self._asked = {job_id: asked for job_id, asked in self._asked.items() if asked.last > since}
            self._known_until = time.monotonic() + _KNOWN_SECONDS
        return self._known
