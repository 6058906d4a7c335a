"""``/api/v1/jobs``: submits, lists, shows and cancels jobs, and serves their output."""

from __future__ import annotations

import re
from typing import Literal

from aiohttp import web

from ..errors import (
    ConflictError,
    ForbiddenError,
    LimitReachedError,
    NotFoundError,
    RangeError,
)
from ..model.identity import Identity
from ..model.job import ExecutionMode, JobResult, SubmitRequest
from .answers import SUBMITTED, NamedModel, answering, listing
from .app_keys import ACCESS, CONFIG, SERVICE
from .auth.middleware import needs
from .bodies import glance, read_model
from .envelope import answer, path_id
from .operations import Content, operation
from .output import (
    BYTES,
    DOWNLOAD,
    IF_NONE_MATCH,
    IF_RANGE,
    LENGTH,
    OFFSET,
    RANGE,
    RANGE_HEADERS,
    VALIDATORS,
    WHOLE_HEADERS,
    output_answer,
    output_digest,
)
from .parameters import SCOPE, Choices, Count, Matching
from .request_keys import IDENTITY
from .submitting import JOB_MADE, SUBMITTING_ERRORS, WAIT, asked_wait, submitted

JOB = "/api/v1/jobs/{job_id:(?!submit$|results$|feed$)[^/]+}"
STATES = ("running", "queued", "pending", "done")

_STATE = Choices(name="state", choices=STATES, description="Only in these states; all by default.")
_LIMIT = Count(name="limit", default=100, most=1000, description="The maximum number of jobs.")
_ID_PREFIX = Matching(
    name="idPrefix",
    pattern="[0-9A-Fa-f]{8}[0-9A-Fa-f-]{0,28}",
    message="must be the first 8 characters or more of a job id",
    example="a7f3e8d9",
    description="Only jobs whose ids begin with this.",
)
_ONE_JOB = (ForbiddenError, NotFoundError)
_CANCELLING = answering("Cancelling", jobId=str, status=Literal["Cancelling"])
_MODE = re.compile(rb'"executionMode"\s*:\s*"(%s)"' % b"|".join(mode.encode() for mode in ExecutionMode))
_GLANCE_BYTES = 64 * 1024
_GLANCE_SECONDS = 0.5
_DIGEST = answering("OutputDigest", attempt=int, length=int, sha256=str, size=int, complete=bool, etag=str)

routes = web.RouteTableDef()


async def _explain_mode(request: web.Request, identity: Identity) -> None:
    """Raise `ForbiddenError` in the specification's words, which name the mode that was asked for.

    Without a word if the body does not say one, or has not come yet.
    """
    found = _MODE.search(await glance(request, _GLANCE_BYTES, _GLANCE_SECONDS))
    if found is not None:
        mode = ExecutionMode(found[1].decode())
        request.app[ACCESS].require_mode(identity.roles, mode)


@routes.post("/api/v1/jobs/submit")
@operation(
    "Submit a job",
    {200: SUBMITTED},
    body=SubmitRequest,
    parameters=(WAIT,),
    errors=(ForbiddenError, *SUBMITTING_ERRORS),
    makes=JOB_MADE,
    example={"jobName": "disk", "command": "df -h .", "executionMode": "BackgroundJob", "timeoutSeconds": 60},
)
@needs("submit", explain=_explain_mode)
async def submit_job(request: web.Request) -> web.Response:
    """Submit a job (specification, "Submit Job"). It is durable when the response arrives."""
    with asked_wait(request) as wait:
        body = await read_model(request, SubmitRequest, request.app[CONFIG].max_body_bytes)
        submission = await request.app[SERVICE].submit(request[IDENTITY], body)
        return await submitted(request, submission, wait)


@routes.get("/api/v1/jobs")
@operation(
    "List jobs",
    {200: listing("Jobs", jobs=NamedModel("JobView"))},
    parameters=(_STATE, SCOPE, _LIMIT, _ID_PREFIX),
    errors=(ForbiddenError, LimitReachedError),
)
@needs("list_jobs", everyone="see_all_jobs")
async def list_jobs(request: web.Request) -> web.Response:
    """The caller's jobs in every state; those of all users with ``scope=all``.

    ``idPrefix`` finds jobs by the beginning of their id.
    """
    states, everyone, limit = _STATE.of(request) or STATES, SCOPE.of(request) == "all", _LIMIT.of(request)
    prefix = _ID_PREFIX.of(request)
    jobs = await request.app[SERVICE].list_jobs(
        request[IDENTITY],
        states,
        everyone=everyone,
        limit=limit,
        id_prefix=prefix[0].lower() if prefix else "",
    )
    return answer({"success": True, "count": len(jobs), "jobs": jobs})


@routes.get(JOB)
@operation("Get a job", {200: answering("Job", job=NamedModel("JobView"))}, errors=_ONE_JOB)
@needs()
async def get_job(request: web.Request) -> web.Response:
    """One job in any state. An ended job has the fields of its result, without the output."""
    job = await request.app[SERVICE].get_job(request[IDENTITY], path_id(request, "job"))
    return answer({"success": True, "job": job})


@routes.post(JOB + "/cancel")
@operation("Cancel a job", {202: _CANCELLING}, errors=(*_ONE_JOB, ConflictError))
@needs("cancel_jobs")
async def cancel_job(request: web.Request) -> web.Response:
    """Stop a running job, or discard a waiting one. Can be repeated."""
    job_id = path_id(request, "job")
    status = await request.app[SERVICE].cancel(request[IDENTITY], job_id)
    return answer({"success": True, "jobId": job_id, "status": status}, status=202)


@routes.get(JOB + "/attempts")
@operation("List the attempts of a job", {200: listing("Attempts", attempts=JobResult)}, errors=_ONE_JOB)
@needs()
async def list_attempts(request: web.Request) -> web.Response:
    """The results of the job's attempts so far, first to last."""
    attempts = await request.app[SERVICE].attempts(request[IDENTITY], path_id(request, "job"))
    return answer({"success": True, "count": len(attempts), "attempts": attempts})


@routes.get(JOB + "/output")
@operation(
    "Read the output of a job",
    {
        200: Content("text/plain", "The output, or a piece of it.", WHOLE_HEADERS),
        206: Content("text/plain", "The bytes asked for by Range.", RANGE_HEADERS),
        304: Content(None, "An ended job's output is what If-None-Match names.", VALIDATORS),
    },
    parameters=(OFFSET, BYTES, DOWNLOAD, RANGE, IF_RANGE, IF_NONE_MATCH),
    errors=(*_ONE_JOB, RangeError, LimitReachedError),
)
@needs()
async def read_output(request: web.Request) -> web.StreamResponse:
    """The output as plain text: whole, by ``Range`` (RFC 9110), or from ``offset`` on for polling.

    For polling, ``X-Output-Offset`` is where the response starts, ``X-Output-Next`` where to continue, and
    ``X-Output-Complete`` tells whether the output is complete. ``X-Output-Attempt`` is the attempt that
    printed it: when it changes, start again at 0. ``X-Output-Left-Out`` is the number of bytes that are not
    stored any more, or that nobody has who can be asked; a line in the text stands for them.
    """
    return await output_answer(request, path_id(request, "job"))


@routes.get(JOB + "/output/digest")
@operation(
    "Get a digest of the beginning of an output",
    {200: _DIGEST},
    parameters=(LENGTH,),
    errors=(*_ONE_JOB, RangeError, LimitReachedError),
)
@needs()
async def digest_output(request: web.Request) -> web.Response:
    """The SHA-256 of the output's first ``length`` bytes, in hexadecimal, to resume a download.

    A file with that digest can be continued with ``Range: bytes=<length>-`` and ``If-Range: <etag>``.
    """
    digest = await output_digest(request, path_id(request, "job"), LENGTH.of(request) or 0)
    return answer({"success": True, **digest})
