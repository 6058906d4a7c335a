"""Submits, lists, follows and cancels jobs, and reads their output."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from ..model.words import ExecutionMode, InterpreterName
from .connection import Record, given, raise_for, scope
from .download import DOWNLOAD_TIMEOUT, PIECE, Download, SavedOutput
from .events import EventCalls
from .results import result_of

if TYPE_CHECKING:
    from ..model.job import JobResult, RetryPolicy

P = ParamSpec("P")
T = TypeVar("T")

_WAIT_SECONDS = 25
"""Less than after which proxies on the way are known to give up."""


def _body(
    command: str,
    *,
    name: str,
    mode: ExecutionMode | str = ExecutionMode.BACKGROUND_JOB,
    interpreter: InterpreterName | str | None = None,
    description: str = "",
    timeout_seconds: float | None = None,
    priority: int | None = None,
    concurrency_key: str | None = None,
    labels: Sequence[str] = (),
    run_at: str | None = None,
    delay_seconds: float | None = None,
    retry: RetryPolicy | None = None,
    notify: Sequence[Mapping[str, Any]] | None = None,
    **more: Any,
) -> Record:
    return given(
        jobName=name,
        command=command,
        executionMode=str(mode),
        interpreter=str(interpreter) if interpreter else None,
        description=description or None,
        timeoutSeconds=timeout_seconds,
        priority=priority,
        concurrencyKey=concurrency_key,
        labels=list(labels) or None,
        runAt=run_at,
        delaySeconds=delay_seconds,
        retry=retry.model_dump(mode="json", by_alias=True) if retry else None,
        notify=[dict(notice) for notice in notify] if notify else None,
        **more,
    )


def _taking(
    make: Callable[P, Record],
) -> Callable[
    [Callable[[Any, Record], Coroutine[Any, Any, T]]], Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]
]:
    """Have a method that sends a body take what `make` makes the body of."""

    def decorate(
        send: Callable[[Any, Record], Coroutine[Any, Any, T]],
    ) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
        @wraps(send)
        async def method(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
            return await send(self, make(*args, **kwargs))

        own = inspect.signature(send)
        self_, *_ = own.parameters.values()
        fields = inspect.signature(make).parameters.values()
        method.__signature__ = own.replace(parameters=[self_, *fields])  # type: ignore[attr-defined]  # for help()
        return method

    return decorate


_with_fields = _taking(_body)


class JobCalls(EventCalls):
    """``/jobs``."""

    @_with_fields
    async def submit(self, body: Record) -> str:
        """Submit a job; return its id. `notify` are notice rules, `more` further fields in camelCase."""
        return str((await self.call("POST", "/jobs/submit", json=body))["jobId"])

    @_with_fields
    async def run(self, body: Record) -> JobResult:
        """Submit a job with the arguments of `submit`, wait for it to end, and return its result.

        A job that takes less than half a minute needs only one request.
        """
        query = {"wait": str(_WAIT_SECONDS)}
        answer = await self.call("POST", "/jobs/submit", json=body, params=query)
        if answer["result"] is None:
            return await self.wait(str(answer["jobId"]))
        return result_of(answer["result"])

    async def rerun(self, job_id: str) -> str:
        """Submit the same job again, as the caller's own; return the new id."""
        return str((await self.call("POST", f"/jobs/{job_id}/rerun"))["jobId"])

    async def jobs(
        self, *states: str, everyone: bool = False, limit: int = 100, id_prefix: str | None = None
    ) -> list[Record]:
        """Jobs in the given states (``running``, ``queued``, ``pending``, ``done``; all by default).

        `id_prefix` selects jobs by at least the first 8 characters of their ids.
        """
        query = given(limit=str(limit), scope=scope(everyone), idPrefix=id_prefix)
        if states:
            query["state"] = ",".join(states)
        answer = await self.call("GET", "/jobs", params=query)
        return list(answer["jobs"])

    async def job(self, job_id: str) -> Record:
        """One job in any state."""
        return dict((await self.call("GET", f"/jobs/{job_id}"))["job"])

    async def attempts(self, job_id: str) -> list[Record]:
        """The results of the job's attempts so far, first to last."""
        return list((await self.call("GET", f"/jobs/{job_id}/attempts"))["attempts"])

    async def cancel(self, job_id: str) -> str:
        """Cancel a job; return its status."""
        return str((await self.call("POST", f"/jobs/{job_id}/cancel"))["status"])

    async def output(self, job_id: str) -> str:
        """The job's output so far."""
        return b"".join([piece async for piece in self.stream_output(job_id)]).decode()

    async def stream_output(self, job_id: str) -> AsyncIterator[bytes]:
        """The job's output so far in pieces, for long outputs."""
        path = f"/jobs/{job_id}/output"
        async with self._request("GET", path, timeout=DOWNLOAD_TIMEOUT) as response:
            await raise_for(response, "text/plain")
            async for piece in response.content.iter_chunked(PIECE):
                yield piece

    async def save_output(self, job_id: str, path: Path) -> int:
        """Write the job's output so far to `path`; return the file's size in bytes. See `download_output`."""
        return (await self.download_output(job_id, path)).size

    async def download_output(self, job_id: str, path: Path) -> SavedOutput:
        """Write the job's output so far to `path`; return how that was done.

        If the file already contains the beginning of the same attempt's output, only the rest is fetched. Any
        other file is replaced once all has been received. Reconnects when the connection breaks. Raises
        ``OSError`` too.
        """
        return await Download(self._request, f"/jobs/{job_id}/output").save(path)

    async def wait(self, job_id: str) -> JobResult:
        """Wait for the job to end; return its result."""
        async for _ in self.follow(job_id):
            pass
        record = (await self.call("GET", f"/results/{job_id}"))["result"]
        return result_of(record)
