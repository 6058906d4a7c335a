"""Follows a job in the terminal: its output on stdout, its state on stderr, its exit code as ours."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from aiohttp import ClientError as TransportError

from ..client import ClientError, JobsClient
from ..model.terminal import Terminal
from .connection import INTERRUPTED, with_client
from .pipes import while_read
from .printing import print_json, report
from .streams import OutputError, say, write_out
from .texts import harmless

if TYPE_CHECKING:
    from .bar import Bar, Line

_NO_EXIT_CODE = 1
_REFRESH_SECONDS = 1.0
_ANSWER_SECONDS = 5.0
_SHORT_VALUE = 500
"""Characters of a return value that is told to people."""


def run_job(
    url: str | None,
    api_key: str | None,
    start: Callable[[JobsClient], Awaitable[str]],
    *,
    wait: bool,
    as_json: bool,
    cancel_on_interrupt: bool,
) -> int:
    """Submit a job by `start`, and print its id or, with `wait`, follow it.

    Returns the exit code for the command.
    """

    async def work(client: JobsClient) -> int:
        submitting = asyncio.ensure_future(start(client))
        try:
            job_id = await asyncio.shield(submitting)
        except asyncio.CancelledError:
            return await _interrupted(client, submitting, as_json=as_json, cancel=cancel_on_interrupt)
        if wait:
            return await follow(client, job_id, as_json=as_json, cancel_on_interrupt=cancel_on_interrupt)
        report({"jobId": job_id}, job_id, as_json=as_json)
        return 0

    return with_client(url, api_key, work)


async def _interrupted(
    client: JobsClient, submitting: asyncio.Future[str], *, as_json: bool, cancel: bool
) -> int:
    """Ctrl-C before the answer had come: the job may run by then, so its id is waited for, not for long."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            job_id = await submitting
    except (TimeoutError, TransportError):
        say("interrupted while submitting: 'aiohttp-jobs jobs' tells whether the job was accepted.")
        return INTERRUPTED
    return await _leave(client, job_id, as_json=as_json, cancel=cancel)


async def follow(client: JobsClient, job_id: str, *, as_json: bool, cancel_on_interrupt: bool = False) -> int:
    """Show the job until it ends. Returns the exit code for the command.

    Ctrl-C leaves the job running and says how to come back to it; with `cancel_on_interrupt` it cancels the
    job and waits for its end.
    """
    try:
        return await _show(client, job_id, as_json=as_json)
    except asyncio.CancelledError:
        return await _leave(client, job_id, as_json=as_json, cancel=cancel_on_interrupt)


async def _leave(client: JobsClient, job_id: str, *, as_json: bool, cancel: bool) -> int:
    if not cancel:
        say(f"no longer watching, but job {job_id} goes on.")
        say(f"'aiohttp-jobs watch {job_id}' shows it again, 'aiohttp-jobs cancel {job_id}' stops it.")
        return INTERRUPTED
    say(f"cancelling job {job_id} …")
    with contextlib.suppress(ClientError):  # it has ended meanwhile
        await client.cancel(job_id)
    await _show(client, job_id, as_json=as_json, quiet=True)
    return INTERRUPTED


async def _show(client: JobsClient, job_id: str, *, as_json: bool, quiet: bool = False) -> int:
    ended: dict[str, Any] = {}
    output = _Output()
    async with _Progress(client, job_id) as progress:
        try:
            async with contextlib.nullcontext() if quiet else while_read():
                async for event in client.follow(job_id):
                    if event.name == "end":
                        ended = event.data
                    elif event.name == "progress":
                        progress.show(event.data)
                    elif event.name == "output" and not as_json and not quiet:
                        progress.make_way()
                        output.write(event.text)
                        progress.go_on(after=event.text)
            output.end()
        except OutputError as error:
            return await _without_output(client, job_id, error)
    if as_json:
        print_json((await client.result(job_id)).to_record())
    elif ended.get("Status") not in ("Succeeded", "Failed"):
        say(f"the job ended as {ended.get('Status')}")
    elif progress.is_shown:
        say(f"{ended['Status']} after {float(ended.get('Runtime') or 0):.1f} s{_returned(ended)}")
    return exit_code(ended)


def _returned(ended: dict[str, Any]) -> str:
    """The rest of a sentence: what the function has returned, if that is short."""
    value = ended.get("ReturnValue")
    if value is None:
        return ""
    text = json.dumps(value, ensure_ascii=True)
    return (
        f" and returned {text}"
        if len(text) <= _SHORT_VALUE
        else ", and returned more than fits here: --json has it"
    )


async def _without_output(client: JobsClient, job_id: str, error: OutputError) -> int:
    """Nobody gets the output any more: the job's own exit code if it ends soon, or else the error's."""
    if not error.is_broken_pipe:
        say(str(error))
    with contextlib.suppress(TimeoutError, TransportError, ClientError):
        async with asyncio.timeout(_ANSWER_SECONDS):
            async for event in client.follow(job_id):
                if event.name == "end":
                    return exit_code(event.data) or (0 if error.is_broken_pipe else error.code)
    return error.code


def exit_code(record: dict[str, Any]) -> int:
    """The job's own exit code, as a shell would report it; 1 for a failure that has none."""
    code = record.get("ExitCode")
    if record.get("Success"):
        return 0
    if not isinstance(code, int) or code == 0:
        return _NO_EXIT_CODE
    return code if code > 0 else 128 - code


class _Output:
    """What the job prints: as it comes for a terminal, else as the lines that a terminal would show."""

    def __init__(self) -> None:
        self._terminal = None if sys.stdout.isatty() else Terminal()

    def write(self, text: str) -> None:
        """Raises `OutputError`."""
        self._pass_on(text if self._terminal is None else self._terminal.write(text))

    def end(self) -> None:
        """Print what has no line feed. Raises `OutputError`."""
        if self._terminal is not None:
            self._pass_on(self._terminal.end())

    def _pass_on(self, text: str) -> None:
        if text:
            write_out(text.encode("utf-8", "replace"))


class _Progress:
    """A line on the terminal that tells what the job is doing; nothing at all where there is none.

    It is the job's state until the job tells how far it is, which is a bar.
    """

    def __init__(self, client: JobsClient, job_id: str) -> None:
        self._client = client
        self._job_id = job_id
        self._status: Line | None = None
        self._task: asyncio.Task[None] | None = None
        self._bar: Bar | None = None
        self._told: dict[str, Any] = {}
        self._is_margin = True

    @property
    def is_shown(self) -> bool:
        """Whether somebody looks at stderr."""
        return self._task is not None

    async def __aenter__(self) -> Self:
        if sys.stderr.isatty():
            from .bar import Line  # noqa: PLC0415 - where nobody looks, nothing waits for it

            self._status = Line("Submitted")
            self._task = asyncio.create_task(self._keep_telling())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def make_way(self) -> None:
        """Output comes: where it goes to the same terminal, the line ends for good."""
        if sys.stdout.isatty():
            self._stop()

    def go_on(self, after: str) -> None:
        """The output that came has been written; the bar is shown below whole lines only."""
        if sys.stdout.isatty():
            self._is_margin = after.endswith("\n")
            self._draw()

    def show(self, told: dict[str, Any]) -> None:
        """How far the job is now, as its stream tells it."""
        self._told = told
        self._draw()

    def _draw(self) -> None:
        if not self.is_shown:
            return
        if self._told and self._is_margin:
            self._stop_status()
            self._bar = self._bar or _new_bar()
            self._bar.draw(self._told.get("share"), harmless(str(self._told.get("text", ""))))
        elif self._bar is not None:
            self._bar.erase()

    def _stop(self) -> None:
        self._stop_status()
        if self._bar is not None:
            self._bar.erase()

    def _stop_status(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    async def _keep_telling(self) -> None:
        while self._status is not None:
            with contextlib.suppress(ClientError, TransportError, TimeoutError):
                self._tell(await self._client.job(self._job_id))
            await asyncio.sleep(_REFRESH_SECONDS)

    def _tell(self, job: dict[str, Any]) -> None:
        place = f", number {job['Position']} in the queue" if job.get("Position") else ""
        runtime = f" for {job['Runtime']:.0f} s" if job.get("Runtime") and job["Status"] == "Running" else ""
        if self._status is not None:
            self._status.update(f"{job['Status']}{place}{runtime}")


def _new_bar() -> Bar:
    from .bar import Bar  # noqa: PLC0415 - as said above

    return Bar()
