"""``/api/v1/jobs/results`` of the specification, and ``/api/v1/results``: lists, searches and deletes
results.
"""

from __future__ import annotations

from aiohttp import web

from ..errors import ConflictError, ForbiddenError, LimitReachedError, NotFoundError, PartlyDeletedError
from ..model.job import JobResult
from ..services.results import DEFAULT_MAX_RESULTS, MOST_RESULTS, ResultService
from .answers import DONE, NamedModel, answering, listing, page
from .app_keys import CONFIG
from .auth.middleware import needs
from .bodies import read_model
from .envelope import answer, listed, path_id
from .operations import operation
from .parameters import Count, Identifier
from .request_keys import IDENTITY
from .result_query import (
    LIST_PARAMETERS,
    STATS_PARAMETERS,
    DeletionRequest,
    result_filter,
    result_page,
    stats_filter,
)

RESULTS = web.AppKey("aiohttp_jobs.results", ResultService)

_LIMIT = Count(
    name="maxResults",
    default=DEFAULT_MAX_RESULTS,
    most=MOST_RESULTS,
    description="The maximum number of results.",
)
_JOB_ID = Identifier(name="jobId", kind="job id", description="The id of the job.")
_FORBIDDEN = (ForbiddenError, LimitReachedError)

routes = web.RouteTableDef()


@routes.get("/api/v1/jobs/results")
@operation(
    "List your results",
    {200: listing("Results", results=JobResult)},
    parameters=(_LIMIT,),
    errors=_FORBIDDEN,
)
@needs("list_results")
async def list_results(request: web.Request) -> web.StreamResponse:
    """The caller's results with their outputs, newest first (specification, "Get Job Results")."""
    newest = await request.app[RESULTS].newest(request[IDENTITY], _LIMIT.of(request))
    return await listed(request, "results", newest)


@routes.delete("/api/v1/jobs/results")
@operation(
    "Delete a result",
    {200: DONE},
    parameters=(_JOB_ID,),
    errors=(ForbiddenError, NotFoundError, ConflictError, PartlyDeletedError),
)
@needs("delete_results")
async def delete_result(request: web.Request) -> web.Response:
    """Delete one of the caller's results (specification, "Delete Job Result")."""
    await request.app[RESULTS].delete_one(request[IDENTITY], _JOB_ID.of(request))
    return answer({"success": True, "message": "Job result deleted successfully"})


@routes.get("/api/v1/results")
@operation(
    "Search results",
    {200: page("ResultPage", results=NamedModel("ResultSummary"))},
    parameters=LIST_PARAMETERS,
    errors=_FORBIDDEN,
)
@needs("list_results", everyone="see_all_jobs")
async def search_results(request: web.Request) -> web.StreamResponse:
    """One page of matching results, without their outputs.

    ``indexing`` is true while results are still being indexed, so that more may turn up.
    """
    identity, (sort, cursor, limit) = request[IDENTITY], result_page(request)
    wanted = result_filter(request, identity.user_id)
    found = await request.app[RESULTS].page(identity, wanted, sort, cursor, limit)
    return await listed(request, "results", found.records, nextCursor=found.cursor, indexing=found.indexing)


@routes.get("/api/v1/results/stats")
@operation(
    "Get statistics of results",
    {200: answering("Statistics", stats=NamedModel("ResultStatistics"))},
    parameters=STATS_PARAMETERS,
    errors=_FORBIDDEN,
)
@needs("list_results", everyone="see_all_jobs")
async def result_statistics(request: web.Request) -> web.Response:
    """How jobs ended in each hour or day, how long they took, and the most frequent names.

    ``from`` must be before ``to``; at most 1000 buckets.
    """
    identity = request[IDENTITY]
    wanted = stats_filter(request, identity.user_id)
    return answer({"success": True, "stats": await request.app[RESULTS].statistics(identity, wanted)})


@routes.post("/api/v1/results/delete")
@operation(
    "Delete many results",
    {200: answering("Deleted", deleted=int, more=bool)},
    body=DeletionRequest,
    errors=(*_FORBIDDEN, PartlyDeletedError),
    example={"filter": {"status": ["Failed"], "to": "2027-01-01"}},
)
@needs("delete_results")
async def delete_results(request: web.Request) -> web.Response:
    """Delete results of the caller by ids, or by the conditions of a search.

    At most some hundreds are deleted at once: repeat the request while the response has ``more``.
    """
    service, identity = request.app[RESULTS], request[IDENTITY]
    body = await read_model(request, DeletionRequest, request.app[CONFIG].max_body_bytes)
    more = False
    if body.conditions is not None:
        wanted = body.conditions.filter(identity.user_id)
        deleted, more = await service.delete_matching(identity, wanted)
    else:
        job_ids = dict.fromkeys(job_id.lower() for job_id in body.job_ids or ())
        deleted = await service.delete(identity, list(job_ids))
    return answer({"success": True, "deleted": deleted, "more": more})


@routes.get("/api/v1/results/{job_id:(?!stats$|delete$)[^/]+}")
@operation("Get a result", {200: answering("Result", result=JobResult)}, errors=(*_FORBIDDEN, NotFoundError))
@needs("list_results")
async def get_result(request: web.Request) -> web.Response:
    """One result with its whole output."""
    result = await request.app[RESULTS].get(request[IDENTITY], path_id(request, "job"))
    return answer({"success": True, "result": result})
