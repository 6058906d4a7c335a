"""Runs inside a process for the host's functions: imports their modules, and calls them as jobs.

The loop over jobs is in ``child.childworker``. Imports little, because every such process starts with it.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from types import FrameType
from typing import Any

from ...errors import InvalidFieldsError
from ...functions.context import JobContext
from ...functions.registry import Function, Functions
from ...system.jsontext import dumps, loads
from ..child import pycode
from ..child.childworker import ChildWorker, Ending, die_with_parent, flush, unbuffer_c_stdout
from ..return_values import as_json
from .telling import LOG_FORMAT, ProgressTeller, job_log
from .tracebacks import describe

_LEFT_SECONDS = 0.5
_SIGTERM = int(signal.SIGTERM)
READY = b'{"ready": true}\n'
_NOTHING = Ending(0)
_set_handler = inspect.unwrap(signal.signal)
"""Without looking whether the handler is one of the numbers that `signal` has names for: that raises and
catches two errors, for each job."""


def main(control: socket.socket, output: int, parent: int, told: dict[str, Any]) -> int:
    """Run jobs, or a single one; return the exit code."""
    request = told.get("request")
    unbuffer_c_stdout()
    if request is not None:
        return run_only(FunctionProcess(os.dup(1)), request, control)
    die_with_parent(parent)
    os.set_inheritable(output, False)
    process = FunctionProcess(output)
    process.preload(told["modules"])
    worker = ChildWorker(control, output, process.run, loads)
    control.send(READY)
    worker.serve()
    return 0


def run_only(process: FunctionProcess, request: dict[str, Any], control: socket.socket) -> int:
    """Run the only job of this process and send its answer; return the exit code."""
    os.chdir(request["folder"])
    ending = process.run(request)
    flush(sys.stdout, sys.stderr)
    with suppress(OSError):
        control.send(b'{"exit_code": %d, "reusable": false%s}\n' % (ending.exit_code, ending.members))
    return ending.exit_code


class CancelFlag:
    """Like ``threading.Event``, but may be set by a signal handler in a thread that waits for it."""

    def __init__(self) -> None:
        self._is_set = False
        self._read_end, self._write_end = os.pipe()

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        if not self._is_set:
            self._is_set = True
            os.write(self._write_end, b"!")  # is never read: from now on there is something

    def wait(self, timeout: float | None = None) -> bool:
        if not self._is_set:
            poll = select.poll()
            poll.register(self._read_end, select.POLLIN)
            poll.poll(None if timeout is None else max(0.0, timeout) * 1000)
        return self._is_set


class FunctionProcess:
    """Calls functions as jobs in this process, whose output is the descriptor `output`.

    SIGTERM cancels the running function, as far as it cooperates, and ends the process.
    """

    def __init__(self, output: int) -> None:
        self._output = output
        self._pid = os.getpid()
        self._cancelled = CancelFlag()
        self._is_running = False
        self._runner: asyncio.Runner | None = None
        self._task: asyncio.Task[Any] | None = None
        self._functions: dict[tuple[str, str], Function[..., Any]] = {}
        self._started: set[int] = set()
        self._threads = set(threading.enumerate())
        self._teller: ProgressTeller | None = None
        self._is_spoilt = False
        self._failed: dict[str, BaseException] = {}
        self._on_sigterm = self._handler()
        signal.signal(_SIGTERM, self._on_sigterm)

    def preload(self, modules: list[str]) -> None:
        """Import `modules` and prepare, as far as possible: failures are reported to the jobs."""
        for name in modules:
            try:
                found = [each for each in vars(_imported(name)).values() if isinstance(each, Function)]
                for each in found:
                    self._start(each.owner)
            except (Exception, SystemExit) as error:
                # It may have done half of what it does, and would fail in another way the next time.
                self._failed[name] = error
        self._threads = set(threading.enumerate())

    def run(self, request: dict[str, Any]) -> Ending:
        """Call the requested function; never raises."""
        _set_handler(_SIGTERM, self._on_sigterm)  # a module may have one of its own
        self._is_running = True
        try:
            ending = self._outcome(request)
        finally:
            if self._teller is not None:
                self._teller.end()
                self._teller = None
            self._is_running = False
        if os.getpid() != self._pid:  # a function has forked, and the child came back
            flush(sys.stdout, sys.stderr)
            os._exit(ending.exit_code)
        if threading.active_count() > 1:
            self._wait_for_threads()
        stays = not self._is_spoilt and not self._cancelled.is_set()
        return ending if stays else ending._replace(stays=False)

    def _outcome(self, request: dict[str, Any]) -> Ending:
        try:
            value = self._value(request)
        except SystemExit as end:
            return Ending(pycode.exit_code(end))
        except BaseException as error:
            if not (self._cancelled.is_set() and isinstance(error, asyncio.CancelledError)):
                flush(sys.stdout, sys.stderr)
                self._print(describe(error, _CALLERS))
            return Ending(1)
        if value is None:
            return _NOTHING
        returned = as_json(value)
        if returned.json is not None:
            return Ending(0, b', "value": ' + returned.json)
        if returned.fault is not None:
            return Ending(0, b', "fault": ' + dumps(returned.fault))
        return Ending(0)

    def _value(self, request: dict[str, Any]) -> Any:
        function = self._function(request["module"], request["qualname"])
        try:
            arguments, keywords = function.signature.call_arguments(request["values"])
        except InvalidFieldsError as error:
            raise TypeError(f"The function does not take these values: {error.message}") from None
        if function.signature.takes_context:
            arguments.insert(0, self._context(request["context"]))
        return self._call(function.plain, arguments, keywords)

    def _context(self, told: dict[str, Any]) -> JobContext:
        self._teller = teller = ProgressTeller(self._print, _later)
        return JobContext(
            id=told["id"],
            user=told["user"],
            attempt=told["attempt"],
            deadline=datetime.fromisoformat(told["deadline"]),
            cancelled=self._cancelled,
            log=job_log(),
            report=teller.report,
        )

    # --- what there is to call

    def _function(self, module: str, qualname: str) -> Function[..., Any]:
        """Raises what its module, or what is to be done before it, raises; another process may do better."""
        if (found := self._functions.get((module, qualname))) is not None:
            return found
        try:
            if module in self._failed:
                raise self._failed[module]
            found = _found(module, qualname)
            self._start(found.owner)
        except BaseException:
            self._is_spoilt = True
            raise
        self._functions[module, qualname] = found
        return found

    def _start(self, owner: Functions) -> None:
        """Once for all functions of `owner`, what they need."""
        if id(owner) in self._started:
            return
        for start in owner.worker_starts:
            self._call(start, [], {})
        self._started.add(id(owner))
        _log_to_output()

    # --- how it is called

    def _call(self, function: Callable[..., Any], arguments: list[Any], keywords: dict[str, Any]) -> Any:
        value = function(*arguments, **keywords)
        return self._awaited(value) if value is not None and inspect.isawaitable(value) else value

    def _awaited(self, awaitable: Any) -> Any:
        """The value of a coroutine, in the process's own event loop, with nothing left in that."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        loop = self._runner.get_loop()
        executor = ThreadPoolExecutor(thread_name_prefix="asyncio")
        loop.set_default_executor(executor)
        before = asyncio.all_tasks(loop)
        try:
            return self._runner.run(self._as_task(awaitable))
        finally:
            executor.shutdown(wait=False, cancel_futures=True)
            if self._is_running and (left := asyncio.all_tasks(loop) - before):
                self._runner.run(_end(left))

    async def _as_task(self, awaitable: Any) -> Any:
        self._task = asyncio.current_task()
        try:
            if self._cancelled.is_set():
                raise asyncio.CancelledError
            return await awaitable
        finally:
            self._task = None

    def _handler(self) -> Callable[[int, FrameType | None], None]:
        """A plain function: `signal.signal` shows each handler in an error of its own, of which a method's is
        long.
        """

        def on_sigterm(_number: int, _frame: FrameType | None) -> None:
            if not self._is_running:
                sys.exit(0)
            self._cancelled.set()
            if self._task is not None and self._runner is not None:
                self._runner.get_loop().call_soon_threadsafe(self._task.cancel)

        return on_sigterm

    def _wait_for_threads(self) -> None:
        """A moment for those that the function has left: most are about to end."""
        end = time.monotonic() + _LEFT_SECONDS
        now = set(threading.enumerate())
        for thread in now - self._threads:
            with suppress(RuntimeError):
                thread.join(max(0.0, end - time.monotonic()))
        self._threads = now

    def _print(self, text: str) -> None:
        rest = memoryview(text.encode("utf-8", "replace"))
        with suppress(OSError):
            while rest:
                rest = rest[os.write(self._output, rest) :]


def _later(seconds: float, do: Callable[[], None]) -> threading.Timer:
    timer = threading.Timer(seconds, do)
    timer.daemon = True
    timer.start()
    return timer


async def _end(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=_LEFT_SECONDS)


def _found(module: str, qualname: str) -> Function[..., Any]:
    found: Any = _imported(module)
    for name in qualname.split("."):
        found = getattr(found, name)
    if not isinstance(found, Function):
        raise TypeError(f"{module}.{qualname} is not one of the host's registered functions here.")
    return found


def _imported(name: str) -> Any:
    __import__(name)  # unlike `importlib.import_module` without frames of its own in a trace
    return sys.modules[name]


class _OutputHandler(logging.Handler):
    """Sends records to ``sys.stderr`` as it is at the moment, which is the job's output."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
        except Exception:
            self.handleError(record)


def _log_to_output() -> None:
    """Unless the host's modules have set up logging, have it go to the output, from INFO on."""
    if not logging.root.handlers:
        handler = _OutputHandler()
        handler.setFormatter(LOG_FORMAT)
        logging.root.addHandler(handler)
        if logging.root.level == logging.WARNING:
            logging.root.setLevel(logging.INFO)


_CALLERS = {
    FunctionProcess._call.__code__,
    FunctionProcess._as_task.__code__,
    FunctionProcess._value.__code__,
    FunctionProcess.preload.__code__,
    FunctionProcess._function.__code__,
    _imported.__code__,
    _found.__code__,
}
