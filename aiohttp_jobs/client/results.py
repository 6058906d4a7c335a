"""Reads, searches, counts and deletes results."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from typing import TYPE_CHECKING, Any

from .connection import Connection, Record, given, scope

if TYPE_CHECKING:
    from ..model.job import JobResult

_PAGE = 200


def result_of(record: Mapping[str, Any]) -> JobResult:
    """Convert a result from the API to its typed form."""
    from ..model.job import JobResult  # noqa: PLC0415 - the shapes take long to build, and most calls have none

    return JobResult.model_validate(record)


class ResultCalls(Connection):
    """``/results``, and the specification's ``/jobs/results``."""

    async def result(self, job_id: str) -> JobResult:
        """The result of an ended job, with its output."""
        record = (await self.call("GET", f"/results/{job_id}"))["result"]
        return result_of(record)

    async def results(self, limit: int = 100) -> list[Record]:
        """The caller's results with their outputs, newest first."""
        answer = await self.call("GET", "/jobs/results", params={"maxResults": str(limit)})
        return list(answer["results"])

    async def search_results(
        self,
        text: str | None = None,
        *,
        status: Collection[str] = (),
        mode: Collection[str] = (),
        name: str | None = None,
        user: str | None = None,
        since: str | None = None,
        until: str | None = None,
        success: bool | None = None,
        sort: str | None = None,
        everyone: bool = False,
        limit: int | None = None,
        page: int = _PAGE,
    ) -> AsyncIterator[Record]:
        """Search results, without their outputs: up to `limit`, fetched `page` at a time.

        `text` is searched for in names, commands and outputs; `name` may end with ``*``; `since` and `until`
        (ISO 8601) apply to when they ended; `sort` is a field such as ``-completed``. Results that arrive
        meanwhile cause neither duplicates nor gaps.
        """
        query = given(
            q=text,
            status=",".join(status) or None,
            mode=",".join(mode) or None,
            name=name,
            user=user,
            sort=sort,
            success=None if success is None else str(success).lower(),
            scope=scope(everyone),
            **{"from": since, "to": until},
        )
        left, cursor = limit, None
        while left is None or left > 0:
            size = page if left is None else min(page, left)
            answer = await self.call("GET", "/results", params=query | given(limit=str(size), cursor=cursor))
            for record in answer["results"]:
                yield dict(record)
            left = None if left is None else left - len(answer["results"])
            cursor = answer["nextCursor"]
            if cursor is None:
                return

    async def result_stats(
        self,
        *,
        since: str | None = None,
        until: str | None = None,
        bucket: str | None = None,
        name: str | None = None,
        everyone: bool = False,
    ) -> Record:
        """How many jobs ended with each status, by ``hour`` or ``day`` (`bucket`), and how long they took."""
        query = given(bucket=bucket, name=name, scope=scope(everyone), **{"from": since, "to": until})
        return dict((await self.call("GET", "/results/stats", params=query))["stats"])

    async def delete_result(self, job_id: str) -> None:
        await self.call("DELETE", "/jobs/results", params={"jobId": job_id})

    async def delete_results(
        self, job_ids: Collection[str] = (), *, where: Mapping[str, Any] | None = None
    ) -> int:
        """Delete the caller's results by ids, or all that match `where`; return how many.

        `where` uses the names of the search parameters, such as ``{"status": ["Failed"], "to": ...}``.
        """
        body: Record = {"jobIds": list(job_ids)} if where is None else {"filter": dict(where)}
        deleted, more = 0, True
        while more:
            answer = await self.call("POST", "/results/delete", json=body)
            deleted += int(answer["deleted"])
            more = bool(answer["more"]) and answer["deleted"] > 0
        return deleted
