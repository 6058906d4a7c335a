"""A model of jobs and hosts for hypothesis: what people do, crashes and restarts in any order it thinks of.

Each example is a scenario of its own; it ends with the judgement of `oracle`.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from aiohttp import ClientError as TransportError
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from . import damage, strace
from .hosts import TorturedHost
from .ledger import Deletion, Job
from .load import KINDS
from .scenario import Scenario
from .strace import FAMILIES, killing

T = TypeVar("T")

ANY_JOB = st.integers(0, 50)
HAS_HOST = precondition(lambda self: self.host is not None)
HAS_NONE = precondition(lambda self: self.host is None)


class Life(RuleBasedStateMachine):
    """One data folder, with one host or none."""

    counts: ClassVar[Counter[str]] = Counter()
    can_trace: ClassVar[bool] = False
    seeds: ClassVar[Iterator[int]] = count()

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="aiohttp-jobs-torture-model-"))
        self.scenario = Scenario("model", next(self.seeds), self.folder)
        self.host: TorturedHost | None = None
        self.load = self.run(self.scenario.open(with_schedules=False))
        self.client = self.scenario.clients[0]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def ask(self, work: Coroutine[Any, Any, object]) -> None:
        """Something of the host, which may die meanwhile."""
        with suppress(TransportError, TimeoutError):
            self.run(work)
        assert self.host is not None
        if self.run(self.host.died_within(0.05)):
            self._gone()

    def _gone(self) -> None:
        assert self.host is not None
        self.run(self.host.ended())
        self.host = None
        self.scenario.died += 1

    @initialize(kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=3, max_size=8))
    def begin(self, kinds: list[str]) -> None:
        self.start()
        for kind in kinds:
            self.submit(kind, 1)

    @HAS_NONE
    @rule()
    def start(self) -> None:
        self.host = self.run(self.scenario.start())

    @HAS_HOST
    @rule(kind=st.sampled_from(sorted(KINDS)), times=st.integers(1, 4))
    def submit(self, kind: str, times: int) -> None:
        for _ in range(times):
            if self.host is not None:
                self.ask(self.load.submit(self.client, kind))

    @HAS_HOST
    @rule(number=ANY_JOB)
    def cancel(self, number: int) -> None:
        job = self._job(number)
        if job is not None:
            self.ask(self.client.request("POST", f"/jobs/{job.job_id}/cancel"))

    @HAS_HOST
    @rule(number=ANY_JOB)
    def delete(self, number: int) -> None:
        job = self._job(number)
        if job is not None and job.deletion is Deletion.NONE:
            self.ask(self.load.delete(self.client, [job]))

    def _job(self, number: int) -> Job | None:
        jobs = self.scenario.ledger.accepted
        return jobs[number % len(jobs)] if jobs else None

    @HAS_HOST
    @rule(is_paused=st.booleans())
    def pause(self, is_paused: bool) -> None:
        self.ask(self.client.request("POST", "/queue/pause" if is_paused else "/queue/resume"))

    @HAS_HOST
    @rule(seconds=st.sampled_from((0.05, 0.3, 1.0)))
    def wait(self, seconds: float) -> None:
        self.ask(asyncio.sleep(seconds))

    @HAS_HOST
    @rule(family=st.sampled_from(sorted(FAMILIES)), when=st.integers(1, 6))
    def doom(self, family: str, when: int) -> None:
        """The host is going to die, in the middle of something."""
        if self.can_trace and self.host is not None and not self.host.is_traced:
            self.scenario.tried += 1
            self.run(self.host.trace(killing(FAMILIES[family], when)))

    @HAS_HOST
    @rule()
    def kill(self) -> None:
        assert self.host is not None
        self.scenario.tried += 1
        self.run(self.host.kill())
        self._gone()

    @HAS_HOST
    @rule()
    def end(self) -> None:
        assert self.host is not None
        self.host.send(signal.SIGTERM)
        self.run(self.host.ended())
        self.host = None

    @rule()
    def put_back_a_copy(self) -> None:
        self.load.put_back_one()

    @HAS_NONE
    @rule()
    def harm_the_index(self) -> None:
        damage.harm_index(self.scenario)

    def teardown(self) -> None:
        try:
            self.run(self.scenario.judge())
        finally:
            self.run(self.scenario.close())
            self.runner.close()
            self.counts.update(
                tried=self.scenario.tried,
                died=self.scenario.died,
                accepted=len(self.scenario.ledger.accepted),
            )
        found = list(self.scenario.findings)
        assert not found, json.dumps([*found, *self.scenario.notes, str(self.folder)], indent=1)
        shutil.rmtree(self.folder, ignore_errors=True)


def check_model(number: int, *, examples: int, steps: int) -> Counter[str]:
    """Run examples that `number` decides; what was tried. Raises ``AssertionError``. Blocks."""

    class Counted(Life):
        counts: ClassVar[Counter[str]] = Counter()
        can_trace = strace.is_usable()
        seeds: ClassVar[Iterator[int]] = count(1000 * number)

    options = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, database=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck), print_blob=False,
    )  # fmt: skip
    run_state_machine_as_test(seed(number)(Counted), settings=options)
    return Counted.counts
