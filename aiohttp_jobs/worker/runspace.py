"""The Runspace mode: a bounded pool of warm worker processes, each serving one user at a time.

A worker that has run a user's code is never given another user's job: code can change the process
it ran in. Workers are started from ``child`` by path and not through ``multiprocessing``, which
would run the host's main script again in each and hand them the host's environment.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..model.job import InterpreterName, utc_now
from ..system.jsontext import dumps, loads
from ..system.owned_tasks import OwnedTasks
from .base import Execution, Outcome
from .interpreters import Interpreter, interpreter_for
from .output.capture import OutputPipe
from .process.control import control_pair
from .process.endings import Endings
from .process.orphans import Orphans
from .process.process import INSTANCE_VARIABLE, JOB_VARIABLE, Process
from .process.program import Program
from .process.with_popen import PopenProcess
from .workspace import Workspace, planned, prepare

_DEATH_SECONDS = 2.0
_MAX_ANSWER = 1 << 16
_EXIT_CODES = range(-64, 256)
"""What a process can end with, the number of a signal negative."""
_MAX_SENT = 4 * 1024
"""Longer commands go by way of a file: a message is in one piece, and bounded."""


@dataclass(eq=False, slots=True)
class RunspaceWorker:
    """One warm process. `owner` is the only user it serves, ``None`` while it has served nobody."""

    process: Process
    control: socket.socket
    pipe: OutputPipe
    answer: asyncio.Future[bytes] | None = None
    """Waited for while it runs a job."""
    heard: bytes = b""
    """The beginning of a message whose end is still to come."""
    owner: str | None = None
    job_id: str | None = None
    served: int = 0
    is_retired: bool = False
    started_at: datetime = field(default_factory=utc_now)


class RunspaceExecutor:
    """Runs Python inside, and shells below, at most `size` warm workers."""

    def __init__(
        self,
        interpreters: Mapping[InterpreterName, Interpreter],
        *,
        size: int,
        environment: Mapping[str, str],
        kill_grace: float,
        orphans: Orphans | None = None,
    ) -> None:
        self._interpreters = interpreters
        self._size = size
        self._environment = environment
        self._kill_grace = kill_grace
        self._idle: list[RunspaceWorker] = []
        self._busy: set[RunspaceWorker] = set()
        self._endings = Endings(orphans)
        self._free = asyncio.Semaphore(size)
        self._retiring = OwnedTasks("the runspaces")
        self._closing = False

    @property
    def workers(self) -> list[RunspaceWorker]:
        """The workers of this moment, the longest running first."""
        return sorted((*self._idle, *self._busy), key=lambda worker: worker.started_at)

    async def open(self) -> None:
        self._idle = [self._start() for _ in range(self._size)]

    async def close(self) -> None:
        self._closing = True
        for worker in self.workers:
            self._retire(worker)
        await self._retiring.wait()
        self._endings.close()

    async def run(self, execution: Execution) -> Outcome:
        interpreter = interpreter_for(execution, self._interpreters)
        make = planned if _is_sent(execution) else prepare
        workspace = make(execution, interpreter)
        request = dumps(_request(execution, interpreter, workspace, self._environment)) + b"\n"
        async with self._free:
            worker = self._hand_over(execution.user_id, request)
            worker.job_id = execution.job_id
            execution.on_start(worker.process.pid)
            try:
                return await self._run_in(worker, execution)
            finally:
                worker.job_id = None

    async def _run_in(self, worker: RunspaceWorker, execution: Execution) -> Outcome:
        worker.pipe.begin(execution.log)
        answer: dict[str, Any] | None = None
        try:
            answer = await _answer_of(worker)
            if answer is not None:
                worker.served += 1
                return Outcome(answer["exit_code"])
            return await self._died(worker)
        except asyncio.CancelledError:
            await worker.process.stop(self._kill_grace, (JOB_VARIABLE, execution.job_id))
            raise
        finally:
            await self._give_back(worker, reusable=bool(answer and answer["reusable"]))

    def _hand_over(self, user_id: str, request: bytes) -> RunspaceWorker:
        """A worker that was told what to run. That those that waited have died may show only now."""
        for _ in range(self._size + 1):
            worker = self._take(user_id)
            try:
                if worker.control.send(request) != len(request):
                    raise OSError("a worker could not be told all of what to run")
            except (BrokenPipeError, ConnectionResetError):
                self._let_go(worker)
            except BaseException:
                self._let_go(worker)
                raise
            else:
                return worker
        raise OSError("no worker could be told what to run")

    def _let_go(self, worker: RunspaceWorker) -> None:
        self._busy.discard(worker)
        self._retire(worker)

    def _take(self, user_id: str) -> RunspaceWorker:
        """A worker that has served only `user_id`, a fresh one, or one started in another's place."""
        worker = self._idle_for(user_id)
        if worker is None:
            if len(self._idle) + len(self._busy) >= self._size and self._idle:
                self._retire(self._idle.pop(0))
            worker = self._start()
        worker.owner = user_id
        self._busy.add(worker)
        return worker

    def _idle_for(self, user_id: str) -> RunspaceWorker | None:
        """A waiting worker that has served only `user_id`, or nobody; the one that ran last of those."""
        for owner in (user_id, None):
            for worker in reversed(tuple(self._idle)):
                if worker.owner == owner:
                    self._idle.remove(worker)
                    return worker
        return None

    async def _give_back(self, worker: RunspaceWorker, *, reusable: bool) -> None:
        is_taken_in = False
        try:
            if not reusable:
                self._retire(worker)
                # The output ends only when nobody that the job started can print any more.
                await worker.process.wait()
            await worker.pipe.end()
            is_taken_in = True
        finally:
            self._busy.discard(worker)
            if reusable and is_taken_in and not self._closing:
                self._idle.append(worker)
            else:
                self._retire(worker)
                if not self._closing:
                    self._idle.insert(0, self._start())

    def _start(self) -> RunspaceWorker:
        here, there = control_pair()
        pipe = OutputPipe()
        try:
            with open(os.devnull, "wb") as nowhere:
                program = Program(
                    arguments=[
                        *self._interpreters[InterpreterName.PYTHON].prefix,
                        "--serve",
                        str(there.fileno()),
                        str(pipe.write_end),
                        str(os.getpid()),
                    ],
                    environment=self._environment,
                    folder="/",
                    output=nowhere.fileno(),
                    pass_fds=[there.fileno(), pipe.write_end],
                )
                process = PopenProcess(program, self._endings)
        except BaseException:
            here.close()
            pipe.let_go()
            raise
        finally:
            there.close()
        pipe.close_write_end()
        worker = RunspaceWorker(process, here, pipe)
        # Once for all its jobs: to begin and end watching costs more than a short job.
        asyncio.get_running_loop().add_reader(here, self._hear, worker)
        return worker

    def _hear(self, worker: RunspaceWorker) -> None:
        """Take what a worker says; one that speaks out of turn, or has gone away, is not trusted again."""
        try:
            message = worker.control.recv(_MAX_ANSWER)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if not message:
            asyncio.get_running_loop().remove_reader(worker.control)
        elif worker.answer is not None and _goes_on(worker.control, worker.heard + message):
            worker.heard += message
            return
        message, worker.heard = worker.heard + message, b""
        if worker.answer is not None:
            if not worker.answer.done():
                worker.answer.set_result(message)
        elif worker in self._idle:
            self._retire(worker)

    def _retire(self, worker: RunspaceWorker) -> None:
        """End a worker that is done for, and everything it started."""
        if worker in self._idle:
            self._idle.remove(worker)
        if worker.is_retired:
            return
        worker.is_retired = True
        self._retiring.start(self._end(worker))

    async def _end(self, worker: RunspaceWorker) -> None:
        worker.process.kill()
        await worker.process.wait()
        asyncio.get_running_loop().remove_reader(worker.control)
        worker.control.close()
        worker.pipe.let_go()

    async def _died(self, worker: RunspaceWorker) -> Outcome:
        try:
            code = await asyncio.wait_for(worker.process.wait(), _DEATH_SECONDS)
        except TimeoutError:
            self._retire(worker)
            code = await worker.process.wait()
        how = f"was ended by {_signal_name(-code)}" if code < 0 else f"exited with code {code}"
        return Outcome(
            code if code else 1,
            f"The worker process {how} before the job had finished. The worker was replaced.",
        )


def _is_sent(execution: Execution) -> bool:
    """Whether the command goes to the worker in the message."""
    return execution.interpreter is InterpreterName.PYTHON and len(execution.command) <= _MAX_SENT


def _request(
    execution: Execution, interpreter: Interpreter, workspace: Workspace, known: Mapping[str, str]
) -> dict[str, Any]:
    """What a worker is told, whose own environment is `known`."""
    inside = interpreter.name is InterpreterName.PYTHON
    own = {
        name: value
        for name, value in execution.environment.items()
        if known.get(name) != value and name != INSTANCE_VARIABLE
    }
    return {
        "command_file": workspace.command_file,
        "source": execution.command if _is_sent(execution) else None,
        "arguments": None if inside else interpreter.arguments(workspace.command_file),
        "folder": workspace.folder,
        "environment": own if inside else {**own, **execution.parameters.environment()},
        "parameters": dict(execution.parameters.values) if inside else {},
    }


async def _answer_of(worker: RunspaceWorker) -> dict[str, Any] | None:
    """The worker's answer, ``None`` when it has gone away or talks nonsense."""
    worker.answer = asyncio.get_running_loop().create_future()
    try:
        return _understood(await worker.answer)
    finally:
        worker.answer = None


def _understood(message: bytes) -> dict[str, Any] | None:
    """What a worker has said, which may be the job's code speaking, or ``None``."""
    try:
        answer = loads(message)
        code, is_reusable = answer["exit_code"], answer["reusable"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if not isinstance(code, int) or code not in _EXIT_CODES:
        return None
    return {"exit_code": int(code), "reusable": is_reusable is True}


def _goes_on(control: socket.socket, message: bytes) -> bool:
    """Whether more of a message is to come, as it may where the socket is a stream (`control_pair`)."""
    is_stream = control.type == socket.SOCK_STREAM
    return is_stream and not message.endswith(b"\n") and len(message) < _MAX_ANSWER


def _signal_name(number: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"
