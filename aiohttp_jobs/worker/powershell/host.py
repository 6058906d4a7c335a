"""PowerShellHost: one process of PowerShell that runs jobs one at a time.

The execution modes decide which job goes to which host.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...model.job import InterpreterName, utc_now
from ...system.threads import started
from ..base import NO_PARAMETERS, Execution, ExpectedJob, NotStartedError, Outcome
from ..interpreters import OLDEST_POWERSHELL, RUNNER, Interpreter, normalised
from ..output.capture import OutputPipe
from ..process.process import Process, Program, be_ready_to_stop, kill_marked, marks_of
from ..process.starting import Endings, PopenProcess
from ..workspace import prepare, prepare_in
from .messages import (
    STOP,
    STOPPING,
    Session,
    go,
    place,
    practice,
    read_answer,
    read_version,
    request,
)

if TYPE_CHECKING:
    import psutil

START_SECONDS = 60.0
_SCRIPT = RUNNER / "host.ps1"
_WARM_UP = RUNNER / "warm_up.ps1"
_DEATH_SECONDS = 2.0
_PRACTICE_SECONDS = 5.0
_LONGEST_LINE = 1 << 16
_OWN_VARIABLES = {
    "DOTNET_EnableDiagnostics": "0",  # its pipes stay in the temporary folder when it is killed
    "DOTNET_GCgen0size": "0x1000000",  # a quarter of it takes a fifth more processor time; more, more memory
    "DOTNET_TieredPGO": "0",  # or code is measured before it is compiled: twice the processor time
    "POWERSHELL_TELEMETRY_OPTOUT": "1",
    "POWERSHELL_UPDATECHECK": "Off",
    "TERM": "xterm",  # without any, PowerShell's tables have 80 columns whatever the console has
}


class HostUnavailableError(Exception):
    """No PowerShell could be started for the job. The message is a sentence for its owner."""


class PowerShellHost:
    """One process. `owner` is the only user it serves; ``None`` until it has served one."""

    def __init__(
        self, interpreter: Interpreter, session: Session, endings: Endings, *, is_lasting: bool = False
    ) -> None:
        """Start it. With `is_lasting`, all its jobs share one session. Raises `HostUnavailableError`."""
        self._program = interpreter.prefix[0]
        self._interpreter = interpreter
        self._session = session
        self._is_lasting = is_lasting
        self.owner: str | None = None
        self.job_id: str | None = None
        self.served = 0
        self.practised = 0
        """How often it has run a script of ours since it served somebody."""
        self.memory = 0
        """Bytes that it took after its last job."""
        self._looked_at: psutil.Process | None = None
        self.is_reusable = True
        """Whether it is fit for another job."""
        self.started_at: datetime = utc_now()
        self._token = ""
        self._expected: ExpectedJob | None = None
        self._placed_in: str | None = None
        self._turn = asyncio.Lock()
        self._pipe = OutputPipe()
        here, there = socket.socketpair()
        try:
            self.process = self._start(there, endings)
        except OSError as error:
            here.close()
            self._pipe.let_go()
            reason = error.strerror or str(error)
            raise HostUnavailableError(
                f"PowerShell could not be started: {self._program}: {reason}."
            ) from error
        finally:
            there.close()
        self._pipe.close_write_end()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._ended = asyncio.create_task(self._end_of_process())
        self._ready = asyncio.create_task(self._begin(here))

    def _start(self, control: socket.socket, endings: Endings) -> Process:
        lasting = ["-Lasting"] if self._is_lasting else []
        program = Program(
            arguments=[
                *self._interpreter.arguments(str(_SCRIPT)),
                *("-Control", str(control.fileno()), "-Width", str(self._session.width), *lasting),
            ],
            environment={**_OWN_VARIABLES, **self._session.environment},
            folder=self._session.project_root if self._is_lasting else "/",
            output=self._pipe.write_end,
            pass_fds=[control.fileno()],
        )
        return PopenProcess(program, endings)

    @property
    def is_alive(self) -> bool:
        """Whether it runs and, as far as is known, is ready or will be."""
        failed = self._ready.done() and (self._ready.cancelled() or self._ready.exception() is not None)
        return self.process.is_running and not failed

    async def ready(self) -> None:
        """Wait until it can run a job. Raises `HostUnavailableError`. May be cancelled and called again."""
        await asyncio.shield(self._ready)

    async def _begin(self, control: socket.socket) -> None:
        try:
            control.setblocking(False)
            self._streams = await asyncio.open_connection(sock=control, limit=_LONGEST_LINE)
            async with asyncio.timeout(START_SECONDS):
                version = read_version(await _line(self._streams[0]))
                is_new_enough = version is not None and version >= OLDEST_POWERSHELL
                if is_new_enough and (self._is_lasting or await self._practised()):
                    return
        except TimeoutError:
            await self.end()
            raise HostUnavailableError(
                f"PowerShell ({self._program}) was not ready to run the job within {START_SECONDS:g} s."
            ) from None
        except BaseException:
            control.close()
            raise
        await self.end()
        if version is None or is_new_enough:
            raise HostUnavailableError(
                f"PowerShell ({self._program}) {_ending(self._ended.result())} before it was ready to run "
                "the job."
            )
        oldest = ".".join(map(str, OLDEST_POWERSHELL))
        raise HostUnavailableError(
            f"PowerShell {version[0]}.{version[1]} ({self._program}) is too old: jobs need {oldest} or newer."
        )

    @property
    def can_prepare(self) -> bool:
        """Whether it waits for a job, ready for it."""
        is_ready = self._ready.done() and self.is_alive
        return is_ready and self.is_reusable and self._expected is None and not self._turn.locked()

    def prepare(self, expected: ExpectedJob, running: Iterable[Mapping[str, Any]]) -> None:
        """Have the process get ready for a job that is being claimed, of which nothing runs before `run`.

        Only while it `can_prepare`. Does not wait.
        """
        told = request(expected.submission, expected.environment, NO_PARAMETERS, self._session, running)
        self._connection()[1].write(told)
        self._expected = expected

    def place(self, job_dir: str) -> None:
        """Write the command's file of the job that was prepared, and tell the process where. Nothing runs."""
        if self._expected is None:
            return
        text = normalised(self._expected.submission.command, InterpreterName.POWERSHELL)
        with contextlib.suppress(NotStartedError):  # `run` tries once more, and says so
            workspace = prepare_in(job_dir, text, self._interpreter)
            self._connection()[1].write(place(*workspace))
            self._placed_in = job_dir

    def withdraw(self) -> None:
        """Take back the job that was prepared, and will not run."""
        if self._expected is not None:
            self._expected = self._placed_in = None
            self._connection()[1].write(STOP)

    def _is_prepared_for(self, execution: Execution) -> bool:
        """Whether what the process was told before is all there is to say of the job, which it is once."""
        expected, self._expected = self._expected, None
        return (
            expected is not None
            and expected.submission is execution.submission
            and expected.environment == execution.environment
            and execution.parameters is NO_PARAMETERS
        )

    async def is_fit(self) -> bool:
        """Whether it can run another job, once it has finished its warm-up."""
        async with self._turn:
            return self.is_alive and self.is_reusable

    async def practise(self) -> bool:
        """Run a warm-up script like a job; false when it cannot run another afterwards.

        Only while it has no job; `is_fit` waits for the end of the warm-up.
        """
        async with self._turn:
            self.practised += 1
            try:
                async with asyncio.timeout(_PRACTICE_SECONDS):
                    self.is_reusable = self.is_reusable and await self._practised()
            except TimeoutError:
                self.is_reusable = False
            return self.is_reusable

    async def _practised(self) -> bool:
        """Whether it has run a script in the way of a job, for the first message would take 20 ms more."""
        token = secrets.token_hex(16)
        await self._tell(practice(str(_WARM_UP), token))
        answer = read_answer(await _line(self._connection()[0]), token)
        return answer is not None and answer.is_reusable

    async def run(
        self, execution: Execution, running: Iterable[Mapping[str, Any]], kill_grace: float
    ) -> Outcome:
        """Run a job with its output in its log; `is_reusable` says what to do with the host afterwards.

        When cancelled, it stops the pipeline first, so that ``finally`` blocks run, and after `kill_grace`
        seconds the process with all its descendants; then it raises ``CancelledError``.
        """
        be_ready_to_stop()
        self.is_reusable = False
        self._token = secrets.token_hex(16)
        told = self._told_to_run(execution, running)
        self.job_id = execution.job_id
        self._pipe.begin(execution.log)
        execution.on_start(self.process.pid)
        try:
            await self._tell(told)
            return await self._outcome()
        except asyncio.CancelledError:
            await self._stop(marks_of(execution.job_id, execution.environment), kill_grace)
            raise
        finally:
            if not self.is_reusable:
                await self._kill()  # the output ends only when nobody that the job started can print any more
            await self._pipe.end()
            self.job_id = None

    def _told_to_run(self, execution: Execution, running: Iterable[Mapping[str, Any]]) -> bytes:
        """What is left to say to the process for it to run the job. Raises `NotStartedError`."""
        placed_in, self._placed_in = self._placed_in, None
        is_prepared = self._is_prepared_for(execution)
        if is_prepared and placed_in == execution.job_dir:
            return go(self._token, None, None)
        workspace = prepare(execution, self._interpreter)
        told = go(self._token, workspace.command_file, None if self._is_lasting else workspace.folder)
        if is_prepared and placed_in is None:
            return told
        what = execution.submission, execution.environment, execution.parameters
        return request(*what, self._session, running) + told

    async def _tell(self, message: bytes) -> None:
        _, writer = self._connection()
        writer.write(message)
        with contextlib.suppress(ConnectionError):  # that it has gone away shows as it does not answer
            await writer.drain()

    async def _outcome(self) -> Outcome:
        reader = self._connection()[0]
        line = await _line(reader)
        while line == STOPPING:
            await asyncio.wrap_future(started(_end_programs, self.process.pid))
            line = await _line(reader)
        answer = read_answer(line, self._token)
        if answer is None:
            return await self._died()
        self.served += 1
        self.memory = self._memory_now()
        self.is_reusable = answer.is_reusable
        return Outcome(answer.exit_code)

    def _memory_now(self) -> int:
        import psutil  # noqa: PLC0415 - loaded with the first job, see `be_ready_to_stop`

        try:
            self._looked_at = self._looked_at or psutil.Process(self.process.pid)
            return int(self._looked_at.memory_info().rss)
        except psutil.Error:  # it has ended
            return 0

    async def _stop(self, marks: Mapping[str, str], grace: float) -> None:
        """Stop the job that runs; the host is fit for another if that was enough."""
        await self._tell(STOP)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._outcome(), grace)
        if not self.is_reusable:
            await self._kill()
        await asyncio.wrap_future(started(kill_marked, marks))
        self.is_reusable = self.is_reusable and not self._left_children()

    def _left_children(self) -> bool:
        return not self._is_lasting and has_children(self.process.pid)

    async def _died(self) -> Outcome:
        """How it ended by itself, as with ``[Environment]::Exit(4)``, or was ended for talking nonsense."""
        try:
            code = await asyncio.wait_for(asyncio.shield(self._ended), _DEATH_SECONDS)
        except TimeoutError:
            await self._kill()
            code = self._ended.result()
        if code >= 0:
            return Outcome(code)
        return Outcome(code, f"PowerShell {_ending(code)} before the job had finished.")

    async def _end_of_process(self) -> int:
        code = await self.process.wait()
        temporary = self._session.environment.get("TMPDIR", "/tmp")  # noqa: S108 - where .NET puts it
        await asyncio.wrap_future(started(_remove_pipe, temporary, self.process.pid))
        return code

    async def _kill(self) -> None:
        self.process.kill()
        await self._ended

    async def end(self) -> None:
        """End it with all its descendants. May be called repeatedly."""
        await self._kill()
        if self._ready is not asyncio.current_task():
            await asyncio.wait([self._ready])
            if not self._ready.cancelled():
                self._ready.exception()  # was told to whoever waited, if anybody did
        if self._streams is not None:
            self._streams[1].close()
        self._pipe.let_go()

    def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            raise HostUnavailableError("PowerShell was asked to run a job before it was ready.")
        return self._streams


async def _line(reader: asyncio.StreamReader) -> bytes:
    """The next message, empty when none will come, or one that is much too long."""
    try:
        return await reader.readline()
    except (ConnectionError, ValueError):
        return b""


def _remove_pipe(folder: str, pid: int) -> None:
    """Remove the socket for debuggers that a killed PowerShell leaves in `folder`."""
    for path in Path(folder).glob(f"CoreFxPipe_PSHost.*.{pid}.*"):
        with contextlib.suppress(OSError):
            path.unlink()


def _ending(code: int) -> str:
    if code >= 0:
        return f"exited with code {code}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


def _end_programs(pid: int) -> None:
    """Send SIGTERM to every descendant of the process `pid`, and not to it."""
    import psutil  # noqa: PLC0415 - as above

    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                process.terminate()


def has_children(pid: int) -> bool:
    """Whether the process `pid` has children; known on Linux only."""
    # Asked after each job, of some twenty threads: by bare calls.
    tasks = f"/proc/{pid}/task"
    try:
        threads = os.listdir(tasks)
    except OSError:
        return False
    return any(_has_thread_children(f"{tasks}/{thread}/children") for thread in threads)


def _has_thread_children(path: str) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # a thread that has ended meanwhile
        return False
    try:
        return bool(os.read(descriptor, 1))
    except OSError:
        return False
    finally:
        os.close(descriptor)
