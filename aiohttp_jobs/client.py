"""JobsClient: a typed asyncio client of the plugin's HTTP API.

Printing and options are left to the ``cli`` package.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from aiohttp import (
    ClientConnectionError,
    ClientPayloadError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ContentTypeError,
)

from .models import ExecutionMode, InterpreterName, JobResult, RetryPolicy

Record = dict[str, Any]
"""A record as the API answers it, with the specification's PascalCase names."""

_RECONNECT_SECONDS = 1.0
_MOST_RECONNECTS = 30


class ClientError(Exception):
    """The server refused a request. The message is its sentence; `details` names the fields at fault."""

    def __init__(self, status: int, code: str, message: str, details: list[Record] | None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.details = details or []


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One event of a job's stream: ``output``, ``status`` or ``end``; `position` resumes after it."""

    name: str
    position: str
    data: Record

    @property
    def text(self) -> str:
        """What was printed, for ``output``."""
        return str(self.data.get("Text", ""))


class JobsClient:
    """Talks to the plugin mounted at `url`, such as ``https://host/apps/WebHostTaskManagement``.

    Use it as an async context manager. Every method raises `ClientError` when the server refuses and
    ``aiohttp.ClientConnectionError`` when it cannot be reached. `timeout` is in seconds, for each
    request but `follow`.
    """

    def __init__(self, url: str, api_key: str, *, timeout: float = 60.0) -> None:
        self._api = url.rstrip("/") + "/api/v1"
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._timeout = ClientTimeout(total=timeout)
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = ClientSession(headers=self._headers, timeout=self._timeout)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    # --- jobs

    async def submit(
        self,
        command: str,
        *,
        name: str,
        mode: ExecutionMode | str = ExecutionMode.BACKGROUND_JOB,
        interpreter: InterpreterName | str | None = None,
        description: str = "",
        timeout_seconds: float | None = None,
        priority: int | None = None,
        concurrency_key: str | None = None,
        run_at: str | None = None,
        delay_seconds: float | None = None,
        retry: RetryPolicy | None = None,
        **more: Any,
    ) -> str:
        """Submit a job; its id. `more` are further fields of the request, in camelCase."""
        body = {
            "jobName": name,
            "command": command,
            "executionMode": str(mode),
            "interpreter": str(interpreter) if interpreter else None,
            "description": description or None,
            "timeoutSeconds": timeout_seconds,
            "priority": priority,
            "concurrencyKey": concurrency_key,
            "runAt": run_at,
            "delaySeconds": delay_seconds,
            "retry": retry.model_dump(mode="json", by_alias=True) if retry else None,
            **more,
        }
        sent = {field: value for field, value in body.items() if value is not None}
        answer = await self.call("POST", "/jobs/submit", json=sent)
        return str(answer["jobId"])

    async def jobs(self, *states: str, everyone: bool = False, limit: int = 100) -> list[Record]:
        """Jobs in the given states (``running``, ``queued``, ``pending``, ``done``; all by default)."""
        query = {"limit": str(limit), "scope": "all" if everyone else "own"}
        if states:
            query["state"] = ",".join(states)
        answer = await self.call("GET", "/jobs", params=query)
        return list(answer["jobs"])

    async def job(self, job_id: str) -> Record:
        """One job, whatever its state."""
        return dict((await self.call("GET", f"/jobs/{job_id}"))["job"])

    async def cancel(self, job_id: str) -> str:
        """Have a job stopped; its state now."""
        return str((await self.call("POST", f"/jobs/{job_id}/cancel"))["status"])

    async def output(self, job_id: str) -> str:
        """All that is kept of a job's output so far."""
        async with self._open.get(f"{self._api}/jobs/{job_id}/output") as response:
            await _raise_for(response)
            return await response.text()

    async def follow(self, job_id: str, position: str | None = None) -> AsyncIterator[JobEvent]:
        """The job's events from `position` on, to its end; connects again when the stream breaks off."""
        failures = 0
        while failures <= _MOST_RECONNECTS:
            try:
                async for event in self._stream(job_id, position):
                    failures, position = 0, event.position or position
                    yield event
                    if event.name == "end":
                        return
            except (ClientConnectionError, ClientPayloadError, TimeoutError):
                if failures == _MOST_RECONNECTS:
                    raise
            failures += 1
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def wait(self, job_id: str) -> JobResult:
        """Wait for the job's end; its result."""
        async for _ in self.follow(job_id):
            pass
        return await self.result(job_id)

    # --- results

    async def result(self, job_id: str) -> JobResult:
        """The result of a job that has ended, its output included."""
        record = (await self.call("GET", f"/results/{job_id}"))["result"]
        return JobResult.model_validate(record)

    async def results(self, limit: int = 100) -> list[Record]:
        """One's own results, newest first, their outputs included."""
        answer = await self.call("GET", "/jobs/results", params={"maxResults": str(limit)})
        return list(answer["results"])

    async def delete_result(self, job_id: str) -> None:
        await self.call("DELETE", "/jobs/results", params={"jobId": job_id})

    # --- queue

    async def queue(self) -> Record:
        return dict((await self.call("GET", "/queue"))["queue"])

    async def pause(self) -> None:
        """Have no more jobs started. For admins."""
        await self.call("POST", "/queue/pause")

    async def resume(self) -> None:
        await self.call("POST", "/queue/resume")

    async def runspaces(self) -> list[Record]:
        """The warm workers."""
        return list((await self.call("GET", "/runspaces"))["runspaces"])

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Record:
        """Any request below ``/api/v1`` that answers JSON."""
        async with self._open.request(method, self._api + path, json=json, params=params) as response:
            await _raise_for(response)
            return dict(await response.json())

    @property
    def _open(self) -> ClientSession:
        if self._session is None:
            raise RuntimeError("use JobsClient as an async context manager")
        return self._session

    async def _stream(self, job_id: str, position: str | None) -> AsyncIterator[JobEvent]:
        headers = {"Last-Event-ID": position} if position else {}
        no_limit = ClientTimeout(total=None, sock_connect=30, sock_read=None)
        async with self._open.get(
            f"{self._api}/jobs/{job_id}/events", headers=headers, timeout=no_limit
        ) as response:
            await _raise_for(response)
            async for fields in _events(response.content.iter_any()):
                if fields.get("event") in ("output", "status", "end"):
                    yield JobEvent(fields["event"], fields.get("id", ""), json.loads(fields["data"]))


async def _events(chunks: AsyncIterator[bytes]) -> AsyncIterator[dict[str, str]]:
    """The events of a text/event-stream (WHATWG HTML), each with its fields."""
    rest = b""
    fields: dict[str, str] = {}
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for raw in lines:
            line = raw.rstrip(b"\r").decode()
            if line:
                name, _, value = line.partition(":")
                fields[name] = value.removeprefix(" ")
            elif fields:
                yield fields
                fields = {}


async def _raise_for(response: ClientResponse) -> None:
    if response.status < 400:
        return
    try:
        body = await response.json()
        raise ClientError(response.status, body["code"], body["error"], body.get("details"))
    except (ValueError, KeyError, TypeError, ContentTypeError):
        raise ClientError(
            response.status, "http_error", f"The server answered {response.status}.", None
        ) from None
