"""The tools for results: search and delete."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from ...model.results import Sort
from ...services.results import DELETED_AT_ONCE
from ..bodies import as_model
from ..result_query import ResultConditions
from ..results import RESULTS
from .job_tools import JobID
from .tool import ENDS, READS, Call, Tool, ToolModel, answered, brief, make_tool

_LONGEST_TEXT = 500


class SearchArguments(ResultConditions):
    """Conditions that all must hold; without any, all of the caller's results match."""

    model_config = ConfigDict(json_schema_extra=None, defer_build=False)

    limit: Annotated[int, Field(ge=1, le=100, strict=True)] = 20
    cursor: Annotated[str | None, Field(max_length=2000, description="`cursor` of the previous page.")] = None


class FoundResults(ToolModel):
    results: list[dict[str, Any]]
    cursor: Annotated[str | None, Field(description="Requests the next page; null on the last one.")]


class DeleteArguments(ToolModel):
    job_ids: Annotated[list[JobID], Field(min_length=1, max_length=DELETED_AT_ONCE)]


class Deleted(ToolModel):
    deleted: int


def result_tools() -> list[Tool]:
    """All tools for results."""
    return [
        make_tool(
            search_results,
            "Search results",
            "Your own jobs that have ended, the latest first: by words in name, command or output (q), by "
            "name, status, mode, and when they were completed. Outputs are read with read_output.",
            SearchArguments,
            FoundResults,
            READS,
            right="list_results",
        ),
        make_tool(
            delete_results,
            "Delete results",
            "Deletes results of your own jobs that have ended, with what they printed. It cannot be undone.",
            DeleteArguments,
            Deleted,
            ENDS,
            right="delete_results",
        ),
    ]


async def search_results(call: Call) -> dict[str, Any]:
    asked = as_model(call.arguments, SearchArguments)
    page = await call.app[RESULTS].page(
        call.identity, asked.filter(call.identity.user_id), Sort.COMPLETED_DOWN, asked.cursor, asked.limit
    )
    records = [brief(json.loads(record), _LONGEST_TEXT) for record in page.records]
    return answered(FoundResults(results=records, cursor=page.cursor))


async def delete_results(call: Call) -> dict[str, Any]:
    asked = as_model(call.arguments, DeleteArguments)
    job_ids = [job_id.lower() for job_id in asked.job_ids]
    return answered(Deleted(deleted=await call.app[RESULTS].delete(call.identity, job_ids)))
