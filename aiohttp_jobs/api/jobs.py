"""``/api/v1/jobs/submit``: submitting a job."""

from __future__ import annotations

from aiohttp import web

from ..auth.middleware import identity_of
from ..errors import JobsError
from ..models import SubmitRequest
from .envelope import answer, read_model
from .keys import CONFIG, SERVICE

routes = web.RouteTableDef()


@routes.post("/api/v1/jobs/submit")
async def submit_job(request: web.Request) -> web.Response:
    """Specification, "Submit Job"."""
    service, identity = request.app[SERVICE], identity_of(request)
    try:
        body = await read_model(request, SubmitRequest, request.app[CONFIG].max_body_bytes)
    except JobsError:
        # Whoever may not submit at all learns that, and nothing about what is wrong with the body.
        service.require_submitter(identity)
        raise
    submission = await service.submit(identity, body)
    return answer(
        {
            "success": True,
            "jobId": submission.job_id,
            "message": "Job submitted successfully",
            "executionMode": submission.execution_mode,
        }
    )
