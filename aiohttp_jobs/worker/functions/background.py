"""The host's functions in BackgroundJob mode: each call in its own process, which imports the module."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from functools import partial

from ..background import run_process
from ..base import Execution, Outcome
from ..pool import MAX_ANSWER, read_answer
from ..process.control import control_pair
from ..process.orphans import Orphans
from ..process.process import Process, Program
from ..process.starting import Endings, start_process
from .messages import arguments, host_folder, only_request
from .runspace import process_environment


class FunctionBackground:
    """Runs each call in a new session; `environment` is added to the host's own variables."""

    def __init__(self, environment: Mapping[str, str], *, kill_grace: float, orphans: Orphans) -> None:
        self._jobs = environment
        self._kill_grace = kill_grace
        self._endings = Endings(orphans)

    async def open(self) -> None:
        return None

    async def close(self) -> None:
        self._endings.close()

    async def run(self, execution: Execution) -> Outcome:
        here, there = control_pair()
        try:
            start = partial(self._start, execution, here, there)
            code, _ = await run_process(execution, start, self._kill_grace)
            answer = read_answer(_last_words(here))
        finally:
            here.close()
            there.close()
        if answer is None or answer.exit_code != code:
            return Outcome(code)  # it was ended, or ended itself
        return Outcome(code, returned=answer.returned)

    async def _start(
        self, execution: Execution, here: socket.socket, there: socket.socket, output: int
    ) -> tuple[Process, None]:
        environment = {**process_environment(self._jobs), **execution.environment}
        program = Program(
            arguments=arguments(there.fileno(), output),
            environment=environment,
            folder=host_folder(),
            output=output,
            pass_fds=[there.fileno()],
        )
        message = only_request(execution, environment)
        if here.send(message) != len(message):
            raise OSError("a process could not be told what to run")
        process = await start_process(program, self._endings)
        there.close()
        return process, None


def _last_words(control: socket.socket) -> bytes:
    """What a process that has ended has said; nothing if there was nothing."""
    words = b""
    try:
        while more := control.recv(MAX_ANSWER):
            words += more
    except OSError:  # there is no more, and somebody whom it has left has the other end
        pass
    return words
