"""``/api/v1/jobs/results``, the specification's, and ``/api/v1/results``: lists, search, deletion."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from ..auth.middleware import identity_of
from ..results import DEFAULT_MAX_RESULTS, MOST_RESULTS, ResultService
from .envelope import answer, path_job_id, query_count, query_job_id, raw_answer, read_model
from .keys import CONFIG, SERVICE
from .result_query import DeletionRequest, ResultQuery, StatsQuery, read_query

RESULTS = web.AppKey("aiohttp_jobs.results", ResultService)

routes = web.RouteTableDef()


@routes.get("/api/v1/jobs/results")
async def list_results(request: web.Request) -> web.Response:
    """Specification, "Get Job Results"."""
    limit = query_count(request, "maxResults", DEFAULT_MAX_RESULTS, MOST_RESULTS)
    return _list(await request.app[RESULTS].newest(identity_of(request), limit))


@routes.delete("/api/v1/jobs/results")
async def delete_result(request: web.Request) -> web.Response:
    """Specification, "Delete Job Result"."""
    job_id = query_job_id(request, "jobId")
    await request.app[SERVICE].delete_result(identity_of(request), job_id)
    return answer({"success": True, "message": "Job result deleted successfully"})


@routes.get("/api/v1/results")
async def search_results(request: web.Request) -> web.Response:
    """A page of results without their outputs; ``indexing`` while more of them may turn up."""
    query, identity = read_query(request, ResultQuery), identity_of(request)
    wanted = query.filter_for(identity.user_id)
    page = await request.app[RESULTS].page(identity, wanted, query.sort, query.cursor, query.limit)
    return _list(page.records, nextCursor=page.cursor, indexing=page.indexing)


@routes.get("/api/v1/results/stats")
async def result_statistics(request: web.Request) -> web.Response:
    """How jobs ended in each hour or day, how long they took, and which ran most."""
    query, identity = read_query(request, StatsQuery), identity_of(request)
    stats = await request.app[RESULTS].statistics(identity, query.filter_for(identity.user_id))
    return answer({"success": True, "stats": stats})


@routes.post("/api/v1/results/delete")
async def delete_results(request: web.Request) -> web.Response:
    """Delete many of one's own results; ask again while there are ``more``."""
    service, identity = request.app[RESULTS], identity_of(request)
    body = await read_model(request, DeletionRequest, request.app[CONFIG].max_body_bytes)
    more = False
    if body.conditions is not None:
        wanted = body.conditions.filter(identity.user_id)
        deleted, more = await service.delete_matching(identity, wanted)
    else:
        job_ids = dict.fromkeys(job_id.lower() for job_id in body.job_ids or ())
        deleted = await service.delete(identity, list(job_ids))
    return answer({"success": True, "deleted": deleted, "more": more})


@routes.get("/api/v1/results/{job_id}")
async def get_result(request: web.Request) -> web.Response:
    """One result with its whole output."""
    result = await request.app[RESULTS].get(identity_of(request), path_job_id(request))
    return answer({"success": True, "result": result})


def _list(results: list[bytes], **more: Any) -> web.Response:
    # Put together from texts: encoding a thousand long outputs here would hold up the loop.
    start = b'{"success": true, "count": %d, "results": [' % len(results)
    end = "".join(f', "{name}": {json.dumps(value)}' for name, value in more.items())
    return raw_answer(start + b",".join(results) + b"]" + end.encode() + b"}")
