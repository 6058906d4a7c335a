"""An engine with nothing but what `Engine` asks for, which leaves a file behind where it was opened."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from aiohttp_jobs.config import JobsConfig
from aiohttp_jobs.engine.base import (
    ApiKeyRecords,
    Capability,
    CloseInTime,
    Engine,
    Follower,
    JobHistory,
    JobObserver,
    JobQueue,
    KeysNow,
    Notifier,
    OutputStore,
    Recheck,
    Records,
    ResultRepository,
    SessionRecords,
    SharedNumbers,
    Workforce,
)
from aiohttp_jobs.engine.embedded.engine import EmbeddedEngine
from aiohttp_jobs.model.job import InterpreterName
from aiohttp_jobs.system.secret_box import Vault
from aiohttp_jobs.system.storage_state import StorageState
from aiohttp_jobs.worker.modes import ExecutionModes


class NarrowEngine:
    """An `Engine`."""

    capabilities: frozenset[Capability] = frozenset()
    workforce: Workforce | None = None

    def __init__(
        self, config: JobsConfig, modes: ExecutionModes, storage: StorageState, vault: Vault
    ) -> None:
        self._config = config
        self._engine = EmbeddedEngine(config, modes, storage, vault)

    @property
    def instance_id(self) -> str:
        return self._engine.instance_id

    @property
    def queue(self) -> JobQueue:
        return self._engine.queue

    @property
    def outputs(self) -> OutputStore:
        return self._engine.outputs

    @property
    def history(self) -> JobHistory:
        return self._engine.history

    @property
    def results(self) -> ResultRepository:
        return self._engine.results

    @property
    def records(self) -> Records:
        return self._engine.records

    @property
    def api_keys(self) -> ApiKeyRecords:
        return self._engine.api_keys

    @property
    def keys_at_pick_up(self) -> KeysNow:
        return self._engine.keys_at_pick_up

    @property
    def sessions(self) -> SessionRecords:
        return self._engine.sessions

    @property
    def seldom(self) -> float:
        return self._engine.seldom

    @property
    def interpreters(self) -> Collection[InterpreterName]:
        return self._engine.interpreters

    def functions_elsewhere(self) -> Collection[str]:
        return self._engine.functions_elsewhere()

    async def require_reachable(self) -> None:
        await self._engine.require_reachable()

    @property
    def numbers(self) -> SharedNumbers:
        return self._engine.numbers

    def connect(
        self, recheck: Recheck, notifier: Notifier | None, observer: JobObserver | None = None
    ) -> None:
        self._engine.connect(recheck, notifier, observer)

    async def open(self, stack: AsyncExitStack, close: CloseInTime) -> None:
        await self._engine.open(stack, close)
        (self._config.data_dir / "opened by NarrowEngine").touch()

    def start(self, stack: AsyncExitStack, close: CloseInTime) -> None:
        self._engine.start(stack, close)

    def follow(self, followers: Sequence[Follower], stack: AsyncExitStack, close: CloseInTime) -> None:
        self._engine.follow(followers, stack, close)

    def begin_closing(self) -> None:
        self._engine.begin_closing()


if TYPE_CHECKING:
    _: type[Engine] = NarrowEngine  # mypy tells what an engine must have since that this one has not
