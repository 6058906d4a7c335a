"""A bounded pool of warm worker processes, each of which serves one user.

A worker that has run a user's job is never given another user's, because the job can change the process. The
pool's creator decides what the processes are and what they are sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from ..model.job import utc_now
from ..system.jsontext import loads
from ..system.owned_tasks import OwnedTasks
from .base import Execution, Outcome
from .output.capture import OutputPipe
from .process.control import control_pair
from .process.process import Process, Program, be_ready_to_stop, marks_of
from .process.starting import Endings, PopenProcess
from .return_values import NOTHING, ReturnValue

READY = b'{"ready": true}\n'
"""What a worker says once it can take jobs, where it is told a greeting first."""
_START_SECONDS = 30.0
_DEATH_SECONDS = 2.0
MAX_ANSWER = 80 * 1024
_EXIT_CODES = range(-64, 256)
"""What a process can end with, the number of a signal negative."""
_VALUE = b', "value": '
_logger = logging.getLogger(__name__)

Launch = Callable[[int, int, int], Program]
"""Makes a worker's program, given its socket, the pipe for its jobs' output, and a file for other output."""
Greet = Callable[[bool], bytes]
"""Makes what a worker is told first; told whether one before it has failed to become ready."""


class WorkerAnswer(NamedTuple):
    """A worker's answer when a job has ended, and whether it can run another."""

    exit_code: int
    is_reusable: bool
    returned: ReturnValue


_AS_MOST = b'{"exit_code": 0, "reusable": true}\n'
_SUCCEEDED = WorkerAnswer(0, is_reusable=True, returned=NOTHING)
"""What that says, as nearly all answers do: it need not be parsed."""
_RETURNED_NOTHING = Outcome(0)


class NoWorkerError(Exception):
    """No worker could be started for the job. The message is a sentence for its owner."""


@dataclass(frozen=True, slots=True)
class Growth:
    """The maximum number of workers, and how many idle ones without a user to keep.

    A job waits `patience` seconds for a busy worker of its user before another is started; after one was
    taken or has died, the next spare is started `delay` seconds later.
    """

    size: int
    spares: int
    patience: float = 0.0
    delay: float = 0.0


@dataclass(eq=False, slots=True)
class PoolWorker:
    """One warm process. `owner` is the only user it serves; ``None`` until it has served one."""

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
    late: asyncio.TimerHandle | None = None
    """Runs while it is not ready."""


class _Waiter(NamedTuple):
    """A job that waits for a worker, since a moment of the loop's clock."""

    user_id: str
    worker: asyncio.Future[PoolWorker]
    since: float


class WorkerPool:
    """Starts workers with `launch`, sends each the message of `greet`, if any, and then jobs."""

    def __init__(
        self,
        launch: Launch,
        growth: Growth,
        *,
        kill_grace: float,
        endings: Endings,
        greet: Greet | None = None,
    ) -> None:
        self._launch = launch
        self._growth = growth
        self._kill_grace = kill_grace
        self._greet = greet
        self._has_failed = False
        self._idle: list[PoolWorker] = []
        self._busy: set[PoolWorker] = set()
        self._starting: list[PoolWorker] = []
        self._waiting: list[_Waiter] = []
        self._endings = endings
        self._places = growth.size
        self._outside: deque[asyncio.Future[None]] = deque()
        """Those that wait for a place."""
        self._retiring = OwnedTasks("the workers")
        self._grow_timer: asyncio.TimerHandle | None = None
        self._spare_timer: asyncio.TimerHandle | None = None
        self._is_closing = False

    @property
    def workers(self) -> list[PoolWorker]:
        """The current workers, oldest first."""
        every = (*self._idle, *self._busy, *self._starting)
        return sorted(every, key=lambda worker: worker.started_at)

    def open(self) -> None:
        """Start the spare workers."""
        self._add_spares()

    async def close(self) -> None:
        """End all workers, whatever they run."""
        self._is_closing = True
        for timer in (self._grow_timer, self._spare_timer):
            if timer is not None:
                timer.cancel()
        for worker in self.workers:
            self._retire(worker)
        await self._retiring.wait()
        self._endings.close()

    async def run(self, execution: Execution, request: bytes) -> Outcome:
        """Run `request` in a worker, to its end.

        When cancelled, it ends the worker with all its descendants, and then raises ``CancelledError``.
        Raises ``OSError`` when no worker can be started.
        """
        if self._places:
            self._places -= 1
        else:
            await self._next_place()
        try:
            worker = await self._hand_over(execution.user_id, request)
            worker.job_id = execution.job_id
            execution.on_start(worker.process.pid)
            return await self._run_in(worker, execution)
        except NoWorkerError as error:
            return Outcome(1, str(error))
        finally:
            self._leave_place()

    async def _run_in(self, worker: PoolWorker, execution: Execution) -> Outcome:
        be_ready_to_stop()
        worker.pipe.begin(execution.log)
        answer: WorkerAnswer | None = None
        try:
            worker.answer = asyncio.get_running_loop().create_future()
            answer = read_answer(await worker.answer)
            if answer is not None:
                worker.served += 1
                if answer is _SUCCEEDED:
                    return _RETURNED_NOTHING
                return Outcome(answer.exit_code, returned=answer.returned)
            return await self._died(worker)
        except asyncio.CancelledError:
            marks = marks_of(execution.job_id, execution.environment)
            await worker.process.stop(self._kill_grace, marks)
            raise
        finally:
            worker.answer = None
            await self._give_back(worker, reusable=answer is not None and answer.is_reusable)

    # --- a place for a job: no more of them are served, or wait for a worker, than there may be workers

    async def _next_place(self) -> None:
        place = asyncio.get_running_loop().create_future()
        self._outside.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled():
                self._leave_place()
            raise

    def _leave_place(self) -> None:
        """The job that waits longest for a place has it now."""
        while self._outside:
            place = self._outside.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._places += 1

    # --- a worker for a job

    async def _hand_over(self, user_id: str, request: bytes) -> PoolWorker:
        """A worker that was told what to run. That those that waited have died may show only now."""
        for _ in range(self._growth.size + 1):
            worker = self._idle_for(user_id) or await self._next_for(user_id)
            worker.owner = user_id
            self._busy.add(worker)
            if self._growth.delay and self._spare_timer is None:
                self._add_spares_later()
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

    def _let_go(self, worker: PoolWorker) -> None:
        self._busy.discard(worker)
        self._retire(worker)

    def _idle_for(self, user_id: str) -> PoolWorker | None:
        """A waiting worker that has served only `user_id`, or nobody; the one that ran last of those."""
        idle = self._idle
        for owner in (user_id, None):
            for at in range(len(idle) - 1, -1, -1):
                if idle[at].owner == owner:
                    return idle.pop(at)
        return None

    async def _next_for(self, user_id: str) -> PoolWorker:
        """The next worker that can be had which has served only `user_id`, or nobody."""
        loop = asyncio.get_running_loop()
        waiter = _Waiter(user_id, loop.create_future(), loop.time())
        self._waiting.append(waiter)
        try:
            if not self._growth.patience or not any(worker.owner == user_id for worker in self._busy):
                self._grow()
            self._grow_later()
            return await waiter.worker
        except asyncio.CancelledError:
            if waiter.worker.done() and not waiter.worker.cancelled():
                self._offer(waiter.worker.result())
            raise
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def _offer(self, worker: PoolWorker) -> None:
        """Give a worker to the job that waits longest of those that it may serve, or let it wait for one."""
        self._busy.discard(worker)
        for waiter in self._waiting:
            if worker.owner in (None, waiter.user_id) and not waiter.worker.done():
                self._busy.add(worker)
                waiter.worker.set_result(worker)
                return
        self._idle.append(worker)

    async def _give_back(self, worker: PoolWorker, *, reusable: bool) -> None:
        is_taken_in = False
        try:
            if not reusable:
                self._retire(worker)
                # The output ends only when nobody that the job started can print any more.
                await worker.process.wait()
            await worker.pipe.end(is_told=reusable)
            is_taken_in = True
        finally:
            worker.job_id = None
            if reusable and is_taken_in and not self._is_closing:
                self._offer(worker)
            else:
                self._let_go(worker)
                self._add_spares_later()

    # --- how many there are

    @property
    def _count(self) -> int:
        return len(self._idle) + len(self._busy) + len(self._starting)

    def _grow(self) -> None:
        """Start a worker for a job that waits, in place of one that waits for somebody else if need be."""
        waiting = sum(not waiter.worker.done() for waiter in self._waiting)
        if self._is_closing or len(self._starting) >= waiting:
            return
        if self._count >= self._growth.size:
            if not self._idle:
                return
            self._retire(self._idle[0])
        self._add()

    def _grow_later(self) -> None:
        if self._grow_timer is None and self._waiting and self._growth.patience:
            loop = asyncio.get_running_loop()
            due = self._waiting[0].since + self._growth.patience
            self._grow_timer = loop.call_at(max(due, loop.time() + 0.01), self._grow_now)

    def _grow_now(self) -> None:
        self._grow_timer = None
        now = asyncio.get_running_loop().time()
        if self._waiting and now - self._waiting[0].since >= self._growth.patience:
            self._try(self._grow)
        if len(self._starting) < len(self._waiting):
            self._grow_later()

    def _add_spares_later(self) -> None:
        if not self._growth.delay:
            self._add_spares()
        elif self._spare_timer is None:
            loop = asyncio.get_running_loop()
            self._spare_timer = loop.call_later(self._growth.delay, self._try, self._add_spares)

    def _add_spares(self) -> None:
        self._spare_timer = None
        spare = len(self._starting) + sum(worker.owner is None for worker in self._idle)
        for _ in range(min(self._growth.spares - spare, self._growth.size - self._count)):
            if self._is_closing:
                return
            self._add()

    def _try(self, start: Callable[[], None]) -> None:
        try:
            start()
        except OSError as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """There is no worker for those that wait for one."""
        if not self._waiting:
            _logger.warning("No worker can be started: %s", error)
        for waiter in self._waiting:
            if not waiter.worker.done():
                waiter.worker.set_exception(error)

    def _add(self) -> None:
        worker = self._start()
        if self._greet is None:
            self._offer(worker)
            return
        self._starting.append(worker)
        if not self._has_failed:  # or else it has nothing to do that could hang
            loop = asyncio.get_running_loop()
            worker.late = loop.call_later(_START_SECONDS, self._not_ready, worker)
        with contextlib.suppress(ConnectionError):  # that it has died already is heard of in a moment
            worker.control.send(self._greet(self._has_failed))

    def _start(self) -> PoolWorker:
        here, there = control_pair()
        pipe = OutputPipe()
        try:
            with open(os.devnull, "wb") as nowhere:
                program = self._launch(there.fileno(), pipe.write_end, nowhere.fileno())
                process = PopenProcess(program, self._endings)
        except BaseException:
            here.close()
            pipe.let_go()
            raise
        finally:
            there.close()
        pipe.close_write_end()
        worker = PoolWorker(process, here, pipe)
        # Once for all its jobs: to begin and end watching costs more than a short job.
        asyncio.get_running_loop().add_reader(here, self._hear, worker)
        return worker

    # --- what workers say, and how they end

    def _hear(self, worker: PoolWorker) -> None:
        """Take what a worker says; one that speaks out of turn, or has gone away, is not trusted again."""
        try:
            message = worker.control.recv(MAX_ANSWER)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if not message:
            asyncio.get_running_loop().remove_reader(worker.control)
        elif worker.answer is not None and not message.endswith(b"\n") and _goes_on(worker, message):
            worker.heard += message
            return
        if worker.heard:
            message, worker.heard = worker.heard + message, b""
        if worker.answer is not None:
            if not worker.answer.done():
                worker.answer.set_result(message)
        elif worker in self._starting:
            self._ready(worker) if message == READY else self._not_ready(worker)
        elif worker in self._idle:
            # Replaced when a job needs it: what dies while it waits may do so again and again.
            self._retire(worker)

    def _ready(self, worker: PoolWorker) -> None:
        self._starting.remove(worker)
        if worker.late is not None:
            worker.late.cancel()
        self._offer(worker)

    def _not_ready(self, worker: PoolWorker) -> None:
        """It takes too long to start, or has ended. The next is told; if it is no better, there is none."""
        if worker.late is not None:
            worker.late.cancel()
        if self._is_closing or worker.is_retired:
            return
        self._retire(worker)
        if self._has_failed:
            self._fail(NoWorkerError("No worker process could be started to run the function in."))
            return
        self._has_failed = True
        _logger.warning("A worker of the host's functions did not become ready; what follows imports later")
        self._try(self._grow if self._waiting else self._add_spares)

    def _retire(self, worker: PoolWorker) -> None:
        """End a worker that is done for, and everything it started."""
        for workers in (self._idle, self._starting):
            if worker in workers:
                workers.remove(worker)
        if worker.is_retired:
            return
        worker.is_retired = True
        self._retiring.start(self._end(worker))

    async def _end(self, worker: PoolWorker) -> None:
        if worker.late is not None:
            worker.late.cancel()
        worker.process.kill()
        await worker.process.wait()
        asyncio.get_running_loop().remove_reader(worker.control)
        worker.control.close()
        worker.pipe.let_go()

    async def _died(self, worker: PoolWorker) -> Outcome:
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


def read_answer(message: bytes) -> WorkerAnswer | None:
    """Parse a worker's answer; ``None`` for anything else, which the job's code may have sent."""
    if message == _AS_MOST:
        return _SUCCEEDED
    told, separator, value = message.partition(_VALUE)
    try:
        answer = loads(told + b"}" if separator else told)
        code, is_reusable, fault = answer["exit_code"], answer["reusable"], answer.get("fault")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    if not isinstance(code, int) or code not in _EXIT_CODES or not isinstance(fault, str | None):
        return None
    json = value.removesuffix(b"}\n") if separator else None
    returned = NOTHING if json is None and fault is None else ReturnValue(json, fault)
    return WorkerAnswer(int(code), is_reusable is True, returned)


def _goes_on(worker: PoolWorker, message: bytes) -> bool:
    """Whether more of a message is to come, as it may where the socket is a stream (`control_pair`)."""
    return len(worker.heard) + len(message) < MAX_ANSWER and worker.control.type == socket.SOCK_STREAM


def _signal_name(number: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"
