"""``/api/v1/jobs/results``: listing and deleting one's own results."""

from __future__ import annotations

from aiohttp import web

from ..auth.middleware import identity_of
from ..errors import ConflictError, ForbiddenError, NotFoundError
from ..models import JobResult
from ..openapi.answers import Done, answering, listing
from ..openapi.operations import operation
from ..openapi.parameters import Count, Identifier
from ..service import DEFAULT_MAX_RESULTS, MOST_RESULTS
from .envelope import answer, path_job_id, raw_answer
from .keys import SERVICE

_LIMIT = Count(name="maxResults", default=DEFAULT_MAX_RESULTS, most=MOST_RESULTS)
_JOB_ID = Identifier(name="jobId", kind="job id")

routes = web.RouteTableDef()


@routes.get("/api/v1/jobs/results")
@operation(
    "List one's own results",
    {200: listing("Results", results=JobResult)},
    parameters=(_LIMIT,),
    errors=(ForbiddenError,),
)
async def list_results(request: web.Request) -> web.Response:
    """Specification, "Get Job Results"."""
    results = await request.app[SERVICE].list_results(identity_of(request), _LIMIT.of(request))
    # Put together from texts: encoding a thousand long outputs here would hold up the loop.
    start = b'{"success": true, "count": %d, "results": [' % len(results)
    return raw_answer(start + b",".join(results) + b"]}")


@routes.get("/api/v1/results/{job_id}")
@operation(
    "Show a result", {200: answering("Result", result=JobResult)}, errors=(ForbiddenError, NotFoundError)
)
async def get_result(request: web.Request) -> web.Response:
    """One result with its whole output."""
    result = await request.app[SERVICE].get_result(identity_of(request), path_job_id(request))
    return answer({"success": True, "result": result})


@routes.delete("/api/v1/jobs/results")
@operation(
    "Delete one of one's own results",
    {200: Done},
    parameters=(_JOB_ID,),
    errors=(ForbiddenError, NotFoundError, ConflictError),
)
async def delete_result(request: web.Request) -> web.Response:
    """Specification, "Delete Job Result"."""
    await request.app[SERVICE].delete_result(identity_of(request), _JOB_ID.of(request))
    return answer({"success": True, "message": "Job result deleted successfully"})
