"""The engine of many machines put together: one process's share of an installation on a database.

Who may run what is asked through the recheck that it is given; who is told of results, through the notifier.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from ...config import JobsConfig
from ...errors import ConfigurationError, StorageUnavailableError
from ...model.job import ExecutionMode
from ...system.secret_box import Vault
from ...system.storage_state import StorageState
from ...worker.modes import ExecutionModes
from ...worker.process.dead_mans_switch import DeadMansSwitch
from ..base import (
    MAIN_LOOP_FUNCTIONS,
    ClaimedJob,
    CloseInTime,
    Follower,
    JobObserver,
    JobSummary,
    Limits,
    Notifier,
    Recheck,
)
from ..poller import SELDOM_SECONDS, Poller
from ..running.active import ActiveJob
from ..running.changes import JobChanges
from ..running.lifecycle import JobRunner
from ..running.limits import limits_of
from .async_database import AsyncDatabase
from .dispatcher import PostgresDispatcher
from .events import Ear, tell_deleted
from .installation import PostgresInstallation
from .job_history import PostgresJobHistory
from .job_queue import PostgresJobQueue
from .jobs import JobTable
from .numbers import PostgresNumbers
from .output_chunks import OutputChunks
from .outputs import PostgresOutputs
from .results import PostgresResults
from .run_folders import RunningFolders
from .verdicts import Verdicts


class PostgresEngine:
    """One process's share of the installation on `config`'s database.

    `storage` is told when the disk refuses; `vault` opens what was sealed. One that does not run jobs runs
    those of MainLoop all the same, for which it was asked.
    """

    queue: PostgresJobQueue
    outputs: PostgresOutputs

    def __init__(
        self,
        config: JobsConfig,
        modes: ExecutionModes,
        storage: StorageState,
        vault: Vault,
        *,
        runs_jobs: bool = True,
    ) -> None:
        if config.dsn is None or config.secret is None:
            raise ConfigurationError("dsn and secret are needed with engine 'postgres'")
        self._config = config
        stall_seconds = config.stall_seconds
        self._limits = limits_of(config) if runs_jobs else _only_main_loop(limits_of(config))
        self._modes = modes
        self._storage = storage
        self._vault = vault
        self.seldom = max(config.poll_interval, SELDOM_SECONDS)
        self._installation = installation = PostgresInstallation(
            config.dsn,
            config.secret.encode(),
            session_max_age=config.session_max_age,
            max_sessions_per_user=config.max_sessions_per_user,
            stall_seconds=stall_seconds,
        )
        self.records = installation
        self.api_keys = installation.api_keys
        self.sessions = installation.sessions
        self._database = AsyncDatabase(config.dsn)
        self.results = PostgresResults(
            self._database, search_bytes=config.search_output_bytes, tell=tell_deleted
        )
        me = installation.presence.process_id
        self._table = JobTable(installation.database, me, installation.signer("submission"), stall_seconds)
        self.history = PostgresJobHistory(self._database, self.results, self._table)
        self._chunks = OutputChunks(installation.database, me, config.max_log_bytes)
        self.numbers = PostgresNumbers(installation.database, me, stall_seconds)
        self._changes = JobChanges()
        self._folders = RunningFolders(config.base_dir / "Running" / me)
        self._switch = DeadMansSwitch(me)
        installation.presence.on_held = self._switch.hold

    @property
    def instance_id(self) -> str:
        return self._installation.presence.process_id

    async def require_reachable(self) -> None:
        await self._table.in_thread(self._installation.database.row, "SELECT 1")
        if not self._installation.presence.is_certain:
            raise StorageUnavailableError(
                "The database was not reached for so long that the others may take this host for dead."
            )

    def connect(
        self, recheck: Recheck, notifier: Notifier | None, observer: JobObserver | None = None
    ) -> None:
        config, storage = self._config, self._storage

        async def check(claimed: ClaimedJob) -> None:
            await recheck(claimed)
            # This process may have been stopped since it claimed the job, for whatever time.
            self._dispatcher.stop_if_cut_off()

        self._dispatcher = dispatcher = PostgresDispatcher(
            self._table,
            JobRunner(config, self._modes, check, self._vault, storage, observer),
            Verdicts(self._table, self.results),
            self._chunks,
            self._installation.presence,
            self._folders,
            limits=self._limits,
            starvation=config.starvation_seconds,
            storage=storage,
            notifier=notifier,
            observer=observer,
            on_change=self._changed,
        )
        storage.on_end = dispatcher.wake
        self.queue = PostgresJobQueue(
            self._table,
            dispatcher,
            self._changes,
            self.history.get_result,
            self._modes.warm_workers,
            storage,
        )
        self.outputs = PostgresOutputs(
            self._chunks, dispatcher.find, dispatcher.copied, self.queue.next_change
        )
        self._ear = Ear(config.dsn or "", self.instance_id, self.queue.hear)

    async def open(self, stack: AsyncExitStack, close: CloseInTime) -> None:
        """Connect. Raises `ConfigurationError` when this process does not belong to the installation."""
        await asyncio.to_thread(self._folders.open)
        stack.callback(self._folders.close)
        stack.push_async_callback(asyncio.to_thread, self._switch.close)
        await asyncio.to_thread(self._installation.open)
        stack.push_async_callback(close, "The database", self._close_installation)
        await self._database.open()
        stack.push_async_callback(close, "The database of results", self._database.close)
        await self.results.open()
        stack.push_async_callback(close, "The results", self.results.close)
        await self._ear.open()
        stack.push_async_callback(close, "Hearing of changes", self._ear.close)
        await asyncio.to_thread(self.sessions.open)

    def start(self, stack: AsyncExitStack, close: CloseInTime) -> None:
        self._dispatcher.open()
        stack.push_async_callback(
            self._dispatcher.close, self._config.shutdown_grace, self._config.kill_grace
        )
        stack.push_async_callback(close, "Telling of changes", self.queue.close)

    def follow(self, followers: Sequence[Follower], stack: AsyncExitStack, close: CloseInTime) -> None:
        poller = Poller((*followers, self._modes.orphans), self._config.poll_interval)
        poller.open()
        stack.push_async_callback(close, "Looking around", poller.close)

    def begin_closing(self) -> None:
        self._dispatcher.begin_closing()
        self.queue.let_go()

    def _changed(self, active: ActiveJob[JobSummary]) -> None:
        if active.worker is not None:
            self._switch.watch(active.worker)
        self._changes.changed(active)

    async def _close_installation(self) -> None:
        await asyncio.to_thread(self._installation.close)


def _only_main_loop(limits: Limits) -> Limits:
    kinds = (ExecutionMode.MAIN_LOOP, MAIN_LOOP_FUNCTIONS)
    return replace(limits, modes={kind: limits.modes[kind] for kind in kinds})
