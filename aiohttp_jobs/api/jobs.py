"""``/api/v1/jobs``: submitting, listing, showing, cancelling, and reading a job's output."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable
from contextlib import suppress
from typing import Literal

from aiohttp import web

from ..access import require_mode
from ..auth.identity import Identity
from ..auth.middleware import identity_of
from ..auth.rights import needs
from ..errors import (
    ConflictError,
    ForbiddenError,
    LimitReachedError,
    NotFoundError,
    RangeError,
    ShuttingDownError,
    TooManyPendingError,
)
from ..models import ExecutionMode, JobResult, SubmitRequest
from ..openapi.answers import answering, listing
from ..openapi.operations import Content, operation
from ..openapi.parameters import SCOPE, Choice, Choices, Count, MatchingHeader, Offset
from ..openapi.records import JobView
from ..outputs import OutputReader
from .envelope import answer, glance, path_id, read_model
from .keys import CONFIG, SERVICE
from .open_streams import open_stream
from .submitting import SUBMITTED, WAIT, asked_wait, submitted

JOB = "/api/v1/jobs/{job_id:(?!submit$|results$|feed$)[^/]+}"
STATES = ("running", "queued", "pending", "done")
_PIECE = 256 * 1024
_MOST = 16 * 1024 * 1024
_LONGEST_CHARACTER = 4
_STALLED_SECONDS = 600.0

_STATE = Choices(name="state", choices=STATES, description="All when left out.")
_LIMIT = Count(name="limit", default=100, most=1000)
_OFFSET = Offset(name="offset", description="Where to start, for polling.")
_BYTES = Count(name="limit", default=_PIECE, most=_MOST, description="The most bytes to send, with offset.")
_DOWNLOAD = Choice(name="download", choices=("0", "1"), default="0", description="1: as a file.")
_RANGE = MatchingHeader(
    name="Range",
    pattern="bytes=(?:([0-9]{1,15})-([0-9]{0,15})|-([0-9]{1,15}))",
    message="must be one range of bytes, such as 'bytes=1000-', 'bytes=0-999' or 'bytes=-1000'",
    example="bytes=0-",
)
_ONE_JOB = (ForbiddenError, NotFoundError)
_CANCELLING = answering("Cancelling", jobId=str, status=Literal["Cancelling"])
_NUMBER = {"type": "integer"}
_MODE = re.compile(rb'"executionMode"\s*:\s*"(%s)"' % b"|".join(mode.encode() for mode in ExecutionMode))
_GLANCE_BYTES = 64 * 1024
_GLANCE_SECONDS = 0.5

routes = web.RouteTableDef()


async def _explain_mode(request: web.Request, identity: Identity) -> None:
    """Raise `ForbiddenError` in the specification's words, which name the mode that was asked for.

    Without a word if the body does not say one, or has not come yet.
    """
    found = _MODE.search(await glance(request, _GLANCE_BYTES, _GLANCE_SECONDS))
    if found is not None:
        mode = ExecutionMode(found[1].decode())
        require_mode(identity.roles, mode, request.app[CONFIG].mode_roles)


@routes.post("/api/v1/jobs/submit")
@operation(
    "Submit a job",
    {200: SUBMITTED},
    body=SubmitRequest,
    parameters=(WAIT,),
    errors=(ForbiddenError, TooManyPendingError, LimitReachedError, ShuttingDownError),
    makes={"jobId": "/jobId"},
)
@needs("submit", explain=_explain_mode)
async def submit_job(request: web.Request) -> web.Response:
    """Specification, "Submit Job"."""
    with asked_wait(request) as wait:
        body = await read_model(request, SubmitRequest, request.app[CONFIG].max_body_bytes)
        submission = await request.app[SERVICE].submit(identity_of(request), body)
        return await submitted(request, submission, wait)


@routes.get("/api/v1/jobs")
@operation(
    "List jobs",
    {200: listing("Jobs", jobs=JobView)},
    parameters=(_STATE, SCOPE, _LIMIT),
    errors=(ForbiddenError,),
)
@needs("list_jobs", everyone="see_all_jobs")
async def list_jobs(request: web.Request) -> web.Response:
    """The caller's jobs in every state; ``scope=all`` for those who may see everyone's."""
    states, everyone, limit = _STATE.of(request) or STATES, SCOPE.of(request) == "all", _LIMIT.of(request)
    jobs = await request.app[SERVICE].list_jobs(identity_of(request), states, everyone=everyone, limit=limit)
    return answer({"success": True, "count": len(jobs), "jobs": jobs})


@routes.get(JOB)
@operation("Show a job", {200: answering("Job", job=JobView)}, errors=_ONE_JOB)
@needs()
async def get_job(request: web.Request) -> web.Response:
    job = await request.app[SERVICE].get_job(identity_of(request), path_id(request, "job"))
    return answer({"success": True, "job": job})


@routes.post(JOB + "/cancel")
@operation("Cancel a job", {202: _CANCELLING}, errors=(*_ONE_JOB, ConflictError))
@needs("cancel_jobs")
async def cancel_job(request: web.Request) -> web.Response:
    """Asking twice is as good as once."""
    job_id = path_id(request, "job")
    status = await request.app[SERVICE].cancel(identity_of(request), job_id)
    return answer({"success": True, "jobId": job_id, "status": status}, status=202)


@routes.get(JOB + "/attempts")
@operation("List the attempts of a job", {200: listing("Attempts", attempts=JobResult)}, errors=_ONE_JOB)
@needs()
async def list_attempts(request: web.Request) -> web.Response:
    attempts = await request.app[SERVICE].attempts(identity_of(request), path_id(request, "job"))
    return answer({"success": True, "count": len(attempts), "attempts": attempts})


@routes.get(JOB + "/output")
@operation(
    "Read the output of a job",
    {
        200: Content(
            "text/plain",
            "The output, or a piece of it.",
            {
                "X-Output-Offset": _NUMBER,
                "X-Output-Next": _NUMBER,
                "X-Output-Complete": {"enum": ["true", "false"]},
            },
        ),
        206: Content("text/plain", "The bytes asked for by Range.", {"Content-Range": {"type": "string"}}),
    },
    parameters=(_OFFSET, _BYTES, _DOWNLOAD, _RANGE),
    errors=(*_ONE_JOB, RangeError, LimitReachedError),
)
@needs()
async def read_output(request: web.Request) -> web.StreamResponse:
    """The output as plain text: from ``offset`` on for polling, by ``Range`` (RFC 9110), or whole.

    ``X-Output-Offset`` is where the answer starts, ``X-Output-Next`` where to go on, and
    ``X-Output-Complete`` whether there will be more.
    """
    job_id, asked, offset = path_id(request, "job"), _RANGE.of(request), _OFFSET.of(request)
    reader = await request.app[SERVICE].output(identity_of(request), job_id)
    with open_stream(request):
        if asked is not None:
            response = await _range(reader, asked)
        elif offset is not None or _BYTES.name in request.query:
            response = await _piece(reader, offset or 0, _BYTES.of(request))
        else:
            return await _whole(request, job_id, reader)
        # Here rather than by aiohttp: it may be much, and take long.
        await response.prepare(request)
        await _taken(request, response.write_eof())
        return response


async def _taken(request: web.Request, writing: Awaitable[None]) -> None:
    """Have something written, but not for ever: the connection of whoever takes nothing is closed."""
    try:
        async with asyncio.timeout(_STALLED_SECONDS):
            await writing
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the reader has stalled") from None


async def _piece(reader: OutputReader, offset: int, most: int) -> web.Response:
    part = await reader.read(offset, max(most, _LONGEST_CHARACTER))
    following = part.offset + len(part.data)
    response = _text(part.data)
    response.headers["X-Output-Offset"] = str(part.offset)
    response.headers["X-Output-Next"] = str(following)
    response.headers["X-Output-Complete"] = str(reader.complete and following >= reader.size).lower()
    return response


async def _range(reader: OutputReader, asked: re.Match[str]) -> web.Response:
    if asked[3]:
        start, last = max(0, reader.size - int(asked[3])), None
    else:
        start, last = int(asked[1]), int(asked[2]) if asked[2] else None
    most = _MOST if last is None else min(_MOST, last - start + 1)
    part = await reader.read(start, max(0, most), whole=False)
    if part.offset != start or not part.data:
        raise RangeError(f"There is no output from byte {start} on, of {reader.size} bytes.")
    response = _text(part.data, status=206)
    total = str(reader.size) if reader.complete else "*"
    response.headers["Content-Range"] = f"bytes {start}-{start + len(part.data) - 1}/{total}"
    return response


async def _whole(request: web.Request, job_id: str, reader: OutputReader) -> web.StreamResponse:
    service, identity = request.app[SERVICE], identity_of(request)
    response = web.StreamResponse(headers=_headers())
    if _DOWNLOAD.of(request) == "1":
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
            await _taken(request, response.write(left_out.encode()))
        await _taken(request, response.write(part.data))
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
