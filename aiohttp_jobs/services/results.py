"""ResultService: reads, searches, counts and deletes results, with the caller's rights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from ..access.fair_turns import FairTurns
from ..access.policy import AccessPolicy
from ..engine.base import BadCursorError, JobHistory, ResultRepository, TooSlowError
from ..errors import ConflictError, ForbiddenError, InvalidFieldsError, NotFoundError
from ..model.identity import Identity
from ..model.results import ResultFilter, ResultPage, Sort, StatsFilter
from .streams.lookup import JobLookup

DEFAULT_MAX_RESULTS = 100
MOST_RESULTS = 1000
DELETED_AT_ONCE = 500
SEARCHES_AT_ONCE = 3
"""One less than the index has threads that read: what the host itself asks need not wait."""
SEARCHES_PER_USER = 2


class ResultService:
    """What a user can do with results. Every method takes the caller's `Identity`.

    Slow queries wait for a turn in `turns`, so that one user's do not delay others'. Raises
    `LimitReachedError` if too many of a user's queries wait.
    """

    def __init__(
        self,
        policy: AccessPolicy,
        lookup: JobLookup,
        history: JobHistory,
        results: ResultRepository,
        turns: FairTurns,
    ) -> None:
        self._policy = policy
        self._lookup = lookup
        self._history = history
        self._results = results
        self._turns = turns

    async def newest(self, identity: Identity, limit: int) -> list[bytes]:
        """The caller's results with their outputs, most recently completed first, each as JSON text."""
        self._policy.require(identity.roles, "list_results")
        wanted = ResultFilter(identity.user_id)
        async with self._turns.turn(identity.user_id):
            found = await self._results.page(wanted, Sort.COMPLETED_DOWN, None, limit, outputs=True)
        return found.records

    async def page(
        self, identity: Identity, wanted: ResultFilter, sort: Sort, cursor: str | None, limit: int
    ) -> ResultPage:
        """One page of results without their outputs.

        Raises `ForbiddenError` for other users' results unless the caller may see all jobs, and
        `InvalidFieldsError` for a cursor of another list or a search that takes too long.
        """
        self._policy.require(identity.roles, "list_results")
        self._require_own(identity, wanted.user_id)
        try:
            async with self._turns.turn(identity.user_id):
                return await self._results.page(wanted, sort, cursor, limit)
        except BadCursorError:
            raise InvalidFieldsError.of_one(
                "cursor", "is not one of this list; ask for the first page again"
            ) from None
        except TooSlowError:
            raise _too_slow("q") from None

    async def get(self, identity: Identity, job_id: str) -> dict[str, Any]:
        """One result with its output; other users' only for callers who may see all jobs."""
        self._policy.require(identity.roles, "list_results")
        record = await self._history.get_result(job_id)
        if record is None:
            raise NotFoundError(f"There is no result of a job {job_id}.")
        self._policy.require_own_or("see_all_jobs", identity, record.get("UserID"), "job")
        return record

    async def delete_one(self, identity: Identity, job_id: str) -> None:
        """Delete one of the caller's results, with its submission.

        Raises `NotFoundError`, `ForbiddenError` for another user's, and `ConflictError` while the job has not
        ended.
        """
        self._policy.require(identity.roles, "delete_results")
        found = await self._lookup.find(job_id)
        if found.owner != identity.user_id:
            raise ForbiddenError("This job is not yours. You can delete only your own results.")
        if found.record is None:
            raise ConflictError("This job has not ended yet; there is no result to delete.")
        await self._results.delete([job_id])

    async def delete(self, identity: Identity, job_ids: Sequence[str]) -> int:
        """Delete some of the caller's results; return how many existed.

        Raises `ForbiddenError`, and deletes none, if one of them is another user's.
        """
        self._policy.require(identity.roles, "delete_results")
        async with self._turns.turn(identity.user_id):
            owners = await self._results.owners(job_ids)
            if set(owners.values()) - {identity.user_id}:
                raise ForbiddenError(
                    "Some of these jobs are not yours. You can delete only your own results; none was "
                    "deleted."
                )
            return await self._results.delete(list(owners))

    async def delete_matching(self, identity: Identity, wanted: ResultFilter) -> tuple[int, bool]:
        """Delete matching results of the caller, a few hundred at a time.

        Returns how many were deleted, and whether there are more.
        """
        self._policy.require(identity.roles, "delete_results")
        own = replace(wanted, user_id=identity.user_id)
        try:
            async with self._turns.turn(identity.user_id):
                return await self._results.delete_matching(own, DELETED_AT_ONCE)
        except TooSlowError:
            raise _too_slow("filter") from None

    async def statistics(self, identity: Identity, wanted: StatsFilter) -> dict[str, Any]:
        """Statistics of the caller's jobs, or of all users'. Raises what `page` raises."""
        self._policy.require(identity.roles, "list_results")
        self._require_own(identity, wanted.user_id)
        try:
            async with self._turns.turn(identity.user_id):
                return await self._results.statistics(wanted)
        except TooSlowError:
            raise _too_slow("from") from None

    def _require_own(self, identity: Identity, user_id: str | None) -> None:
        if user_id != identity.user_id:
            self._policy.require(identity.roles, "see_all_jobs")


_too_slow = partial(
    InvalidFieldsError.of_one,
    message="asks for more than can be found in time; narrow it, for example by date",
)
