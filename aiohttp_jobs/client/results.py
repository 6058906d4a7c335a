"""Reading, searching, counting and deleting results."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from typing import TYPE_CHECKING, Any

from .connection import Connection, Record, given, scope

if TYPE_CHECKING:
    from ..model.job import JobResult

_PAGE = 200


def result_of(record: Mapping[str, Any]) -> JobResult:
    """A result as the API answers it, with its types."""
    from ..model.job import JobResult  # noqa: PLC0415 - the shapes take long to build, and most calls have none

    return JobResult.model_validate(record)


class ResultCalls(Connection):
    """``/results``, and the specification's ``/jobs/results``."""

    async def result(self, job_id: str) -> JobResult:
        """The result of a job that has ended, its output included."""
        record = (await self.call("GET", f"/results/{job_id}"))["result"]
        return result_of(record)

    async def results(self, limit: int = 100) -> list[Record]:
        """One's own results, newest first, their outputs included."""
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
        """Results without their outputs, `page` in each request, `limit` at most.

        `text` is looked for in name, command and output; `name` may end with ``*``; `since` and
        `until` (ISO 8601) are about when they ended; `sort` is a field such as ``-completed``. Results
        that arrive meanwhile make nothing appear twice or go missing.
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
        """How many ended how, in each ``hour`` or ``day`` (`bucket`), and how long they took."""
        query = given(bucket=bucket, name=name, scope=scope(everyone), **{"from": since, "to": until})
        return dict((await self.call("GET", "/results/stats", params=query))["stats"])

    async def delete_result(self, job_id: str) -> None:
        await self.call("DELETE", "/jobs/results", params={"jobId": job_id})

    async def delete_results(
        self, job_ids: Collection[str] = (), *, where: Mapping[str, Any] | None = None
    ) -> int:
        """Delete one's own results by their ids, or all that `where` finds; how many there were.

        `where` has the names of the search's query, such as ``{"status": ["Failed"], "to": ...}``.
        """
        body: Record = {"jobIds": list(job_ids)} if where is None else {"filter": dict(where)}
        deleted, more = 0, True
        while more:
            answer = await self.call("POST", "/results/delete", json=body)
            deleted += int(answer["deleted"])
            more = bool(answer["more"]) and answer["deleted"] > 0
        return deleted
