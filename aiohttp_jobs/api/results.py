"""``/api/v1/jobs/results``: listing and deleting one's own results."""

from __future__ import annotations

from aiohttp import web

from ..auth.middleware import identity_of
from ..service import DEFAULT_MAX_RESULTS, MOST_RESULTS
from .envelope import answer, path_job_id, query_count, query_job_id, raw_answer
from .keys import SERVICE

routes = web.RouteTableDef()


@routes.get("/api/v1/jobs/results")
async def list_results(request: web.Request) -> web.Response:
    """Specification, "Get Job Results"."""
    limit = query_count(request, "maxResults", DEFAULT_MAX_RESULTS, MOST_RESULTS)
    results = await request.app[SERVICE].list_results(identity_of(request), limit)
    # Put together from texts: encoding a thousand long outputs here would hold up the loop.
    start = b'{"success": true, "count": %d, "results": [' % len(results)
    return raw_answer(start + b",".join(results) + b"]}")


@routes.get("/api/v1/results/{job_id}")
async def get_result(request: web.Request) -> web.Response:
    """One result with its whole output."""
    result = await request.app[SERVICE].get_result(identity_of(request), path_job_id(request))
    return answer({"success": True, "result": result})


@routes.delete("/api/v1/jobs/results")
async def delete_result(request: web.Request) -> web.Response:
    """Specification, "Delete Job Result"."""
    job_id = query_job_id(request, "jobId")
    await request.app[SERVICE].delete_result(identity_of(request), job_id)
    return answer({"success": True, "message": "Job result deleted successfully"})
