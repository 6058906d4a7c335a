"""The response of every route that submits a job: at once, or when the job has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from aiohttp import web

from ..errors import (
    InsufficientStorageError,
    LimitReachedError,
    MayStillRunError,
    ShuttingDownError,
    TooManyPendingError,
    TooMuchKeptError,
)
from ..model.job import Submission
from .app_keys import SERVICE
from .auth.middleware import heartbeat_of
from .envelope import answer
from .open_streams import open_stream, seconds_unwatched, still_has_rights, while_rights_last
from .parameters import Seconds
from .request_keys import IDENTITY

SUBMITTING_ERRORS = (
    TooManyPendingError,
    LimitReachedError,
    TooMuchKeptError,
    ShuttingDownError,
    InsufficientStorageError,
    MayStillRunError,
)
"""How a job may be refused that its submitter may run."""
_NO_WAIT = nullcontext(0)
_SOON_SECONDS = 0.25
"""Most jobs that are waited for end within it."""
JOB_MADE = {"jobId": "/jobId"}
MOST_SECONDS = 60
"""What may be asked for."""
LONGEST_SECONDS = 50
"""What is waited for at most: nginx, and AWS's load balancers, end a request that has no answer in 60 s."""
WAIT = Seconds(
    name="wait",
    most=MOST_SECONDS,
    description="Wait up to this many seconds for the job to end, and return its `result`; null if it has "
    f"not ended by then. At most {LONGEST_SECONDS} s are waited, because proxies time out after 60 s. "
    "A job that is not due yet is not waited for.",
)


def asked_wait(request: web.Request) -> AbstractContextManager[int]:
    """How many seconds the response may wait for the job's result; the block submits and responds.

    Raises `ForbiddenError` for a caller who may not read results, and `LimitReachedError`, both before
    anything is submitted.
    """
    seconds = WAIT.of(request)
    return _waiting(request, min(seconds, LONGEST_SECONDS)) if seconds else _NO_WAIT


@contextmanager
def _waiting(request: web.Request, seconds: int) -> Iterator[int]:
    request.app[SERVICE].require_reader(request[IDENTITY])
    with open_stream(request):
        yield seconds


async def submitted(request: web.Request, submission: Submission, wait: int) -> web.Response:
    """The response for `job_id`, after at most `wait` seconds."""
    told = {
        "success": True,
        "jobId": submission.job_id,
        "message": "Job submitted successfully",
        "executionMode": submission.execution_mode,
    }
    if not wait:
        return answer(told)
    clock = asyncio.get_running_loop().time
    end = clock() + heartbeat_of(request)
    result = await _result(request, submission, wait)
    if result is not None and clock() >= end and not await still_has_rights(request):
        result = None
    return answer({**told, "result": result})


async def _result(request: web.Request, submission: Submission, wait: int) -> dict[str, Any] | None:
    """The job's result; ``None`` when it does not come in time, or the caller's rights have ended."""
    within, identity = request.app[SERVICE].result_within, request[IDENTITY]
    soon = min(_SOON_SECONDS, seconds_unwatched(request))
    result = await within(identity, submission, soon)
    if result is None:
        async with while_rights_last(request, waited=soon):
            result = await within(identity, submission, wait - soon)
    return result
