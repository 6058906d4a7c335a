"""``/api/v1/jobs``: submitting, listing, showing, cancelling, and reading a job's output."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import partial

from aiohttp import web

from ..auth.middleware import identity_of
from ..errors import InvalidFieldsError, NotFoundError, RangeError
from ..limits import field_error
from ..models import Submission, SubmitRequest
from .envelope import (
    answer,
    path_job_id,
    query_choice,
    query_choices,
    query_count,
    query_everyone,
    query_offset,
    read_submission,
)
from .keys import CONFIG, SERVICE

JOB = "/api/v1/jobs/{job_id:(?!submit$|results$)[^/]+}"
STATES = ("running", "queued", "pending", "done")
_PIECE = 256 * 1024
_MOST = 16 * 1024 * 1024
_LONGEST_CHARACTER = 4

routes = web.RouteTableDef()


@routes.post("/api/v1/jobs/submit")
async def submit_job(request: web.Request) -> web.Response:
    """Specification, "Submit Job"."""
    service, identity = request.app[SERVICE], identity_of(request)
    most = request.app[CONFIG].max_body_bytes
    body = await read_submission(request, SubmitRequest, most, partial(service.require_submitter, identity))
    return submitted(await service.submit(identity, body))


def submitted(submission: Submission) -> web.Response:
    """The answer to whatever submits a job."""
    return answer(
        {
            "success": True,
            "jobId": submission.job_id,
            "message": "Job submitted successfully",
            "executionMode": submission.execution_mode,
        }
    )


@routes.get("/api/v1/jobs")
async def list_jobs(request: web.Request) -> web.Response:
    """The caller's jobs in every state; ``scope=all`` for those who may see everyone's."""
    states = query_choices(request, "state", STATES) or STATES
    everyone = query_everyone(request)
    limit = query_count(request, "limit", 100, 1000)
    jobs = await request.app[SERVICE].list_jobs(identity_of(request), states, everyone=everyone, limit=limit)
    return answer({"success": True, "count": len(jobs), "jobs": jobs})


@routes.get(JOB)
async def get_job(request: web.Request) -> web.Response:
    job = await request.app[SERVICE].get_job(identity_of(request), path_job_id(request))
    return answer({"success": True, "job": job})


@routes.post(JOB + "/cancel")
async def cancel_job(request: web.Request) -> web.Response:
    job_id = path_job_id(request)
    status = await request.app[SERVICE].cancel(identity_of(request), job_id)
    return answer({"success": True, "jobId": job_id, "status": status}, status=202)


@routes.get(JOB + "/attempts")
async def list_attempts(request: web.Request) -> web.Response:
    attempts = await request.app[SERVICE].attempts(identity_of(request), path_job_id(request))
    return answer({"success": True, "count": len(attempts), "attempts": attempts})


@routes.get(JOB + "/output")
async def read_output(request: web.Request) -> web.StreamResponse:
    """The output as plain text: from ``offset`` on for polling, by ``Range`` (RFC 9110), or whole.

    ``X-Output-Offset`` is where the answer starts, ``X-Output-Next`` where to go on, and
    ``X-Output-Complete`` whether there will be more.
    """
    job_id = path_job_id(request)
    if "Range" in request.headers:
        return await _range(request, job_id)
    if "offset" in request.query or "limit" in request.query:
        offset = query_offset(request, "offset")
        return await _piece(request, job_id, offset, query_count(request, "limit", _PIECE, _MOST))
    return await _whole(request, job_id)


async def _piece(request: web.Request, job_id: str, offset: int, most: int) -> web.Response:
    reader = await request.app[SERVICE].output(identity_of(request), job_id)
    part = await reader.read(offset, max(most, _LONGEST_CHARACTER))
    following = part.offset + len(part.data)
    response = _text(part.data)
    response.headers["X-Output-Offset"] = str(part.offset)
    response.headers["X-Output-Next"] = str(following)
    response.headers["X-Output-Complete"] = str(reader.complete and following >= reader.size).lower()
    return response


async def _range(request: web.Request, job_id: str) -> web.Response:
    match = re.fullmatch("bytes=([0-9]{0,15})-([0-9]{0,15})", request.headers["Range"].strip())
    if match is None or not (match[1] or match[2]):
        message = "must be one range of bytes, such as 'bytes=1000-', 'bytes=0-999' or 'bytes=-1000'"
        raise InvalidFieldsError(f"Range {message}.", details=[field_error("Range", message)])
    reader = await request.app[SERVICE].output(identity_of(request), job_id)
    if match[1]:
        start, last = int(match[1]), int(match[2]) if match[2] else None
    else:
        start, last = max(0, reader.size - int(match[2])), None
    most = _MOST if last is None else min(_MOST, last - start + 1)
    part = await reader.read(start, max(0, most), whole=False)
    if part.offset != start or not part.data:
        raise RangeError(f"There is no output from byte {start} on, of {reader.size} bytes.")
    response = _text(part.data, status=206)
    total = str(reader.size) if reader.complete else "*"
    response.headers["Content-Range"] = f"bytes {start}-{start + len(part.data) - 1}/{total}"
    return response


async def _whole(request: web.Request, job_id: str) -> web.StreamResponse:
    service, identity = request.app[SERVICE], identity_of(request)
    reader = await service.output(identity, job_id)
    response = web.StreamResponse(headers=_headers())
    if query_choice(request, "download", ("0", "1"), "0") == "1":
        response.headers["Content-Disposition"] = f'attachment; filename="{job_id}.txt"'
    await response.prepare(request)
    offset = 0
    while True:
        part = await reader.read(offset, _PIECE)
        if not part.data and not reader.complete:
            # It may have ended meanwhile, and its output be elsewhere now.
            with suppress(NotFoundError):
                reader = await service.output(identity, job_id)
                part = await reader.read(offset, _PIECE)
        if not part.data:
            break
        if part.offset > offset:
            left_out = f"\n[... {part.offset - offset} bytes of output left out ...]\n"
            await response.write(left_out.encode())
        await response.write(part.data)
        offset = part.offset + len(part.data)
    await response.write_eof()
    return response


def _text(data: bytes, status: int = 200) -> web.Response:
    return web.Response(body=data, status=status, headers=_headers())


def _headers() -> dict[str, str]:
    return {
        "Content-Type": "text/plain; charset=utf-8",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Accept-Ranges": "bytes",
    }
