"""The tools for jobs: submit, watch, list, cancel, and read output."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Annotated, Any, Literal, cast

from pydantic import ConfigDict, Field

from ...errors import AuthenticationError, ConflictError
from ...model.job import ExecutionMode, SubmitRequest
from ...model.terminal import as_seen
from ...services.streams.job import CURRENT, StreamEvent
from ..app_keys import SERVICE
from ..bodies import as_model
from ..open_streams import open_stream, while_rights_last
from ..parameters import UUID_PATTERN
from .tool import ENDS, READS, RUNS, Call, Tool, ToolModel, answered, brief, brief_json, make_tool

LONGEST_WATCH = 50
"""Seconds: proxies end a request that has no answer in 60."""
_DEFAULT_WATCH = 20
_LEAST_WATCH = 1
"""The time for events that have happened already."""
_MOST_BYTES = 64 * 1024
_DEFAULT_BYTES = 16 * 1024
_LONGEST_TEXT = 4000
_LONGEST_NOTE = 500
_STEP = 0.001
_LISTED = (
    "JobID", "JobName", "Status", "Success", "ExecutionMode", "Priority", "SubmittedAt", "DateStarted",
    "DateCompleted", "Runtime", "Progress", "RunAt", "Attempt", "UserID",
)  # fmt: skip

State = Literal["running", "queued", "pending", "done"]
JobID = Annotated[str, Field(pattern=UUID_PATTERN)]
Bytes = Annotated[int, Field(ge=4, le=_MOST_BYTES, strict=True)]


class SubmitArguments(SubmitRequest):
    """The arguments of ``POST /jobs/submit``."""

    # Agents' models take no schema that offers alternatives at its top.
    model_config = ConfigDict(json_schema_extra=None)


class OneJob(ToolModel):
    job_id: JobID


class WatchArguments(OneJob):
    position: Annotated[
        str | None,
        Field(
            pattern="^[0-9]{1,3}-[0-9]{1,15}$",
            description="`position` of the previous answer, to continue there.",
        ),
    ] = None
    seconds: Annotated[
        int,
        Field(ge=0, le=LONGEST_WATCH, strict=True, description="The maximum time to wait for the end."),
    ] = _DEFAULT_WATCH
    max_bytes: Annotated[Bytes, Field(description="The maximum amount of output to return.")] = _DEFAULT_BYTES


class ListArguments(ToolModel):
    states: Annotated[tuple[State, ...], Field(max_length=4)] = ("running", "queued", "pending", "done")
    everyone: Annotated[
        bool, Field(strict=True, description="All users' jobs, for those who may see them.")
    ] = False
    limit: Annotated[int, Field(ge=1, le=100, strict=True)] = 20


class OutputArguments(OneJob):
    offset: Annotated[
        int,
        Field(
            ge=-(10**15),
            le=10**15,
            strict=True,
            description="The first byte to return; negative: from the end.",
        ),
    ] = 0
    max_bytes: Bytes = _DEFAULT_BYTES


class SubmittedJob(ToolModel):
    job_id: str
    execution_mode: ExecutionMode


class WatchedJob(ToolModel):
    job_id: str
    ended: bool
    status: str
    output: Annotated[
        str,
        Field(description="The output after the requested position, as a terminal shows it."),
    ]
    left_out: Annotated[int, Field(description="How many bytes before it are not stored any more.")]
    position: Annotated[str, Field(description="Pass it to the next call, to continue after this answer.")]
    job: Annotated[dict[str, Any], Field(description="The job or, once it has ended, its result.")]


class Shown(ToolModel):
    job: dict[str, Any]


class Listed(ToolModel):
    jobs: list[dict[str, Any]]


class OutputRead(ToolModel):
    job_id: str
    attempt: int
    offset: int
    next_offset: int
    size: int
    complete: Annotated[bool, Field(description="Whether the output ends here.")]
    text: str


class Cancelling(ToolModel):
    job_id: str
    status: str


def job_tools(limits: Mapping[str, Any]) -> list[Tool]:
    """All tools for jobs; `limits` are the settings that their schemas show."""
    return [
        make_tool(
            submit_job,
            "Submit a command",
            "Runs a command on the server, now or later, and answers with the job's id at once. Follow it "
            "with watch_job. BackgroundJob, a process of its own, suits most commands.",
            SubmitArguments,
            SubmittedJob,
            RUNS,
            right="submit",
            limits=limits,
        ),
        make_tool(
            watch_job,
            "Watch a job",
            "Waits until a job ends, or so many seconds, and answers with what it has printed meanwhile. "
            "Call it again with the position that it answers with, until ended is true.",
            WatchArguments,
            WatchedJob,
            READS,
            tells=True,
        ),
        make_tool(
            get_job,
            "Get a job",
            "What a job is, in which state, and once it has ended its result without the output.",
            OneJob,
            Shown,
            READS,
        ),
        make_tool(
            read_output,
            "Read a job's output",
            "A piece of what a job has printed, from an offset on; a negative offset counts from the end.",
            OutputArguments,
            OutputRead,
            READS,
        ),
        make_tool(
            list_jobs,
            "List jobs",
            "Jobs that run, wait or have ended, in this order; the latest that ended first.",
            ListArguments,
            Listed,
            READS,
            right="list_jobs",
        ),
        make_tool(
            cancel_job,
            "Cancel a job",
            "Stops a job that runs, with all that it has started; one that waits is never started.",
            OneJob,
            Cancelling,
            ENDS,
            right="cancel_jobs",
        ),
    ]


def only_modes(tool: Tool, modes: Sequence[ExecutionMode]) -> Tool:
    """The tool that submits, for a caller who may only run in `modes`."""
    properties = {**tool.takes["properties"], "executionMode": {"type": "string", "enum": list(modes)}}
    return replace(tool, takes={**tool.takes, "properties": properties})


async def submit_job(call: Call) -> dict[str, Any]:
    asked = as_model(call.arguments, SubmitArguments)
    submission = await call.app[SERVICE].submit(call.identity, asked)
    return submitted(submission.job_id, submission.execution_mode)


def submitted(job_id: str, mode: ExecutionMode) -> dict[str, Any]:
    """The answer of every tool that submits a job."""
    return answered(SubmittedJob(job_id=job_id, execution_mode=mode))


async def get_job(call: Call) -> dict[str, Any]:
    asked = as_model(call.arguments, OneJob)
    return answered(Shown(job=_shown(await call.app[SERVICE].get_job(call.identity, asked.job_id.lower()))))


async def list_jobs(call: Call) -> dict[str, Any]:
    asked = as_model(call.arguments, ListArguments)
    jobs = await call.app[SERVICE].list_jobs(
        call.identity, asked.states, everyone=asked.everyone, limit=asked.limit
    )
    listed = [{name: each[name] for name in _LISTED if each.get(name) is not None} for each in jobs]
    return answered(Listed(jobs=brief(listed, _LONGEST_NOTE)))


async def cancel_job(call: Call) -> dict[str, Any]:
    asked = as_model(call.arguments, OneJob)
    job_id = asked.job_id.lower()
    return answered(Cancelling(job_id=job_id, status=await call.app[SERVICE].cancel(call.identity, job_id)))


async def read_output(call: Call) -> dict[str, Any]:
    asked = as_model(call.arguments, OutputArguments)
    job_id = asked.job_id.lower()
    reader = await call.app[SERVICE].output(call.identity, job_id)
    offset = asked.offset if asked.offset >= 0 else max(0, reader.size + asked.offset)
    part = await reader.read(offset, asked.max_bytes)
    following = part.offset + len(part.data)
    return answered(
        OutputRead(
            job_id=job_id,
            attempt=reader.attempt,
            offset=part.offset,
            next_offset=following,
            size=reader.size,
            complete=reader.complete and following >= reader.size,
            text=as_seen(part.data.decode("utf-8", "replace")),
        )
    )


async def watch_job(call: Call) -> dict[str, Any]:
    asked = as_model(call.arguments, WatchArguments)
    job_id = asked.job_id.lower()
    match = re.fullmatch("([0-9]+)-([0-9]+)", asked.position or "")
    start = (int(match[1]), int(match[2])) if match else CURRENT
    service, identity = call.app[SERVICE], call.identity
    events = await service.follow(identity, job_id, start)
    seen = _Seen(call, asked.max_bytes, f"{start[0]}-{start[1]}")
    with open_stream(call.request):
        async with while_rights_last(call.request) as rights, aclosing(cast("Any", events)):
            await _collect(events, seen, asked.seconds)
    if rights.has_ended:
        raise AuthenticationError
    job = seen.end or await service.get_job(identity, job_id)
    if seen.has_stopped:
        raise ConflictError("The server is stopping. Watch the job again in a moment; it goes on.")
    return answered(
        WatchedJob(
            job_id=job_id,
            ended=seen.end is not None,
            status=str(job["Status"]),
            output=as_seen("".join(seen.texts)),
            left_out=seen.left_out,
            position=seen.position,
            job=_shown(job),
        )
    )


async def _collect(events: AsyncIterator[StreamEvent], seen: _Seen, seconds: float) -> None:
    """Record events in `seen` until the job ends, there is enough, or the time has passed."""
    limit = asyncio.timeout(max(seconds, _LEAST_WATCH))
    try:
        async with limit:
            async for event in events:
                if await seen.note(event):
                    return
            seen.has_stopped = True
    except TimeoutError:
        if not limit.expired():
            raise


class _Seen:
    """The events of a job that one call has received."""

    def __init__(self, call: Call, most: int, position: str) -> None:
        self._tell = call.tell
        self._left = most
        self._progress = 0.0
        self._share: float | None = None
        self.position = position
        self.texts: list[str] = []
        self.left_out = 0
        self.end: dict[str, Any] | None = None
        self.has_stopped = False

    async def note(self, event: StreamEvent) -> bool:
        """Whether the call has received enough."""
        match event.name:
            case "output":
                return await self._output(event)
            case "end":
                self.position, self.end = event.position, event.data
                return True
            case "status":
                await self._say(f"The job is {event.data['Status']}.")
            case "progress" if event.data:
                self._share = event.data["share"]
                percent = "" if self._share is None else f"{self._share:.0%} "
                await self._say(f"{percent}{event.data['text'] or ''}".strip())
            case "heartbeat":
                await self._say("")
        return False

    async def _output(self, event: StreamEvent) -> bool:
        text, offset = event.data["Text"], event.data["Offset"]
        data = text.encode()
        attempt, _, end = event.position.partition("-")
        is_whole = len(data) <= self._left or offset + len(data) != int(end)
        if not is_whole:
            text = data[: self._left].decode("utf-8", "ignore")
        if text:
            self.left_out += event.data.get("LeftOut", 0)
            self.texts.append(text)
            self._left -= len(data)
            self.position = event.position if is_whole else f"{attempt}-{offset + len(text.encode())}"
            await self._say(as_seen(text[-_LONGEST_NOTE:]).strip())
        return self._left <= 0

    async def _say(self, text: str) -> None:
        if self._tell is None:
            return
        # The protocol wants it to grow each time, also while the job has told nothing new.
        self._progress = max(self._progress + _STEP, (self._share or 0.0) * 100)
        await self._tell(self._progress, None if self._share is None else 100.0, text)


def _shown(job: dict[str, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in job.items() if name != "ReturnValue"}
    found: dict[str, Any] = brief(shown, _LONGEST_TEXT)
    if "ReturnValue" in job:
        found["ReturnValue"] = brief_json(job["ReturnValue"], _MOST_BYTES)
    return found
