"""Builds the engine: one process's part of an installation on a database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
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
    Capability,
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
from ..running.active import ActiveJob, JobChanges
from ..running.lifecycle import JobRunner
from ..running.limits import limits_of
from .api_keys import KeysAtPickUp
from .async_database import AsyncDatabase
from .dispatcher import PostgresDispatcher
from .each_job import EachJob
from .events import Listener, tell_deleted
from .history import PostgresJobHistory
from .host_rights import HostRights, RightsTables
from .installation import PostgresInstallation
from .job_queue import PostgresJobQueue
from .jobs import Claimed, JobTable
from .kept_logs import KeptLogs
from .listening import until_it_listens
from .log_requests import LogRequests
from .migrations import schema_state
from .numbers import PostgresNumbers
from .offered_interpreters import OfferedInterpreters
from .offers import WorkerOptions, offers_of
from .output_chunks import OutputChunks
from .outputs import PostgresOutputs
from .presence import AboutProcess
from .results import PostgresResults
from .run_folders import RunningFolders
from .telling import ToldResults
from .verdicts import KeptVerdicts, Verdicts
from .workforce import PostgresWorkforce


class PostgresEngine:
    """One process's share of the installation on `config`'s database.

    `storage` is told when the disk refuses; `vault` opens what was sealed. One that does not run jobs runs
    those of MainLoop all the same, for which it was asked. One `as_worker` has no application, and so
    none of those.
    """

    queue: PostgresJobQueue
    outputs: PostgresOutputs
    capabilities = frozenset({Capability.LABELS, Capability.MANY_MACHINES})

    def __init__(
        self,
        config: JobsConfig,
        modes: ExecutionModes,
        storage: StorageState,
        vault: Vault,
        *,
        as_worker: WorkerOptions | None = None,
    ) -> None:
        if config.dsn is None or config.secret is None:
            raise ConfigurationError("dsn and secret are needed with engine 'postgres'")
        self._config = config
        stall_seconds = config.stall_seconds
        self._limits = _limits_of(config, as_worker)
        self._modes = modes
        self._storage = storage
        self._vault = vault
        self.seldom = max(config.poll_interval, SELDOM_SECONDS)
        offers = offers_of(as_worker.labels if as_worker else (), modes.functions, modes.interpreters)
        about = AboutProcess(
            kind="host" if as_worker is None else "worker",
            name="" if as_worker is None else as_worker.name,
            labels=() if as_worker is None else as_worker.labels,
            offers=offers,
            places={str(slot): most for slot, most in self._limits.modes.items()},
            gives_output=True,
        )
        self._installation = installation = PostgresInstallation(
            config.dsn,
            config.secret.encode(),
            session_max_age=config.session_max_age,
            max_sessions_per_user=config.max_sessions_per_user,
            stall_seconds=stall_seconds,
            about=about,
        )
        self._installation.presence.on_drain = self._found_draining
        self._drained = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.records = installation
        self.api_keys = installation.api_keys
        self.sessions = installation.sessions
        # A worker asks for no results, it only makes the months that they go to.
        self._database = AsyncDatabase(config.dsn, most=4 if as_worker is None else 1)
        self.results = PostgresResults(
            self._database, search_bytes=config.search_output_bytes, tell=tell_deleted
        )
        me = installation.presence.process_id
        self._told_results = ToldResults(installation.signer("told result"))
        self._table = JobTable(
            installation.database, me, installation.signer("submission"), stall_seconds, offers
        )
        self._each_job = EachJob(config.dsn)
        installation.api_keys.each_job = self._each_job
        self.interpreters = OfferedInterpreters(modes.interpreters, installation.database, stall_seconds)
        self.workforce = PostgresWorkforce(installation.database, me, stall_seconds)
        self.host_rights = HostRights(installation.database, installation.signer("rights"))
        self.keys_at_pick_up = KeysAtPickUp(installation.api_keys)
        self.on_rights: Callable[[RightsTables], None] = lambda tables: None
        """Is told what hosts say of rights before a job is begun that was claimed after they did."""
        self._is_host = as_worker is None
        self.history = PostgresJobHistory(self._database, self.results, self._table)
        self._chunks = OutputChunks(
            installation.database,
            me,
            min(config.max_log_bytes, config.max_database_log_bytes),
            config.max_output_bytes // 2,
        )
        self.numbers = PostgresNumbers(installation.database, me, stall_seconds)
        self._changes = JobChanges()
        self._folders = RunningFolders(config.base_dir / "Running" / me)
        self._kept_logs = KeptLogs(
            installation.database,
            me,
            self._folders,
            most=config.max_worker_log_bytes,
            min_free=config.min_free_bytes,
        )
        self._log_requests = LogRequests(
            installation.database, me, installation.signer("question for an output"), stall_seconds
        )
        self._switch = DeadMansSwitch(me)
        installation.presence.on_held = self._switch.hold

    @property
    def instance_id(self) -> str:
        return self._installation.presence.process_id

    def functions_elsewhere(self) -> Collection[str]:
        return self._table.functions_elsewhere()

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
            self._each_job,
            JobRunner(config, self._modes, check, self._vault, storage, observer),
            Verdicts(self._table, self._each_job, self.results, self._told_results),
            self._chunks,
            self._installation.presence,
            self._folders,
            KeptVerdicts(self.instance_id, self._installation.signer("verdict")),
            self._kept_logs,
            limits=self._limits,
            starvation=config.starvation_seconds,
            storage=storage,
            notifier=notifier,
            observer=observer,
            on_change=self._changed,
            on_claimed=self._claimed,
        )
        storage.on_end = dispatcher.wake
        self.queue = PostgresJobQueue(
            self._table,
            self._each_job,
            dispatcher,
            self._changes,
            self.history.get_result,
            self._modes.warm_workers,
            storage,
            self._told_results,
        )
        self.queue.on_drain = self._told_to_drain
        self.outputs = PostgresOutputs(
            self._chunks,
            self._kept_logs,
            self._log_requests,
            dispatcher.find,
            dispatcher.copied,
            self.queue.next_change,
            self.queue.watch_output,
        )
        self._listener = Listener(config.dsn or "", self.instance_id, self._hear, with_news=self._is_host)

    async def open(self, stack: AsyncExitStack, close: CloseInTime) -> None:
        """Connect, and wait for a server that is not there yet, for 60 seconds at most.

        Raises `ConfigurationError` when it cannot be reached within them or refuses this process, and when
        this process does not belong to the installation.
        """
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._folders.open)
        stack.callback(self._folders.close)
        stack.push_async_callback(asyncio.to_thread, self._switch.close)
        if self._config.dsn is not None and not await until_it_listens(self._config.dsn):
            await asyncio.to_thread(schema_state, self._config.dsn)  # which says why it lets nobody in
        await asyncio.to_thread(self._installation.open)
        stack.push_async_callback(close, "The database", self._close_installation)
        await self._each_job.open()
        stack.push_async_callback(close, "The database of jobs", self._each_job.close)
        await self._database.open()
        stack.push_async_callback(close, "The database of results", self._database.close)
        await self.results.open()
        stack.push_async_callback(close, "The results", self.results.close)
        await self._listener.open()
        stack.push_async_callback(close, "Hearing of changes", self._listener.close)
        await asyncio.to_thread(self.sessions.open)
        if self._is_host:
            await asyncio.to_thread(self.host_rights.say, self._config)
            await asyncio.to_thread(self.interpreters.look)

    def start(self, stack: AsyncExitStack, close: CloseInTime) -> None:
        # Those two end after the jobs, as others may read of a job until its end.
        self._kept_logs.open()
        stack.push_async_callback(close, "The outputs that are kept", self._kept_logs.close)
        self.outputs.exchange.open()
        stack.push_async_callback(close, "Giving outputs to others", self.outputs.exchange.close)
        self._dispatcher.open()
        stack.push_async_callback(
            self._dispatcher.close, self._config.shutdown_grace, self._config.kill_grace
        )
        stack.push_async_callback(close, "Telling of changes", self.queue.close)

    def follow(self, followers: Sequence[Follower], stack: AsyncExitStack, close: CloseInTime) -> None:
        orphans = self._modes.orphans
        also = (*((orphans,) if orphans.is_needed else ()), *((self.interpreters,) if self._is_host else ()))
        parts: Sequence[Follower] = (*followers, *also)
        if not parts:
            return  # a worker, mostly, which is told of all that it has to do
        poller = Poller(parts, self._config.poll_interval, self._installation.database.in_thread)
        poller.open()
        stack.push_async_callback(close, "Looking around", poller.close)

    def begin_closing(self) -> None:
        self._dispatcher.begin_closing()
        self.queue.let_go()

    def _hear(self, what: str, about: str, more: str) -> None:
        """Another process has told something, see ``telling``."""
        if what in {"asked", "answered", "gap"}:
            self.outputs.exchange.hear(what, about)
        if what in {"deleted", "missed"}:
            self._kept_logs.deleted(about)
        if what not in {"asked", "answered"}:
            self.queue.hear(what, about, more)

    def _changed(self, active: ActiveJob[JobSummary]) -> None:
        if active.worker is not None:
            self._switch.watch(active.worker)
        self.queue.changed(active)

    def _claimed(self, asked_at: float, claimed: Claimed) -> None:
        self.keys_at_pick_up.learn(asked_at, claimed.keys_number)
        if (tables := self.host_rights.read(claimed.new_rights)) is not None:
            self.on_rights(tables)

    async def drained(self) -> None:
        """Return when somebody has asked this process to take no more jobs."""
        await self._drained.wait()

    async def say_draining(self) -> None:
        """Publish that this process takes no more jobs. Raises ``OSError``."""
        await self.workforce.drain(self.instance_id)

    async def until_idle(self) -> None:
        """Return when no job runs in this process."""
        await self._dispatcher.until_idle()

    def stop_jobs(self) -> None:
        """Stop the running jobs, as at the end of a shutdown's grace period."""
        self._dispatcher.stop_jobs()

    def _told_to_drain(self, process_id: str) -> None:
        if process_id == self.instance_id:
            self._drained.set()

    def _found_draining(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._drained.set)

    async def _close_installation(self) -> None:
        await asyncio.to_thread(self._installation.close)


def _limits_of(config: JobsConfig, as_worker: WorkerOptions | None) -> Limits:
    limits = limits_of(config)
    if as_worker is not None:
        return replace(limits, modes=dict(as_worker.places.items()))
    return limits if config.runs_jobs else _only_main_loop(limits)


def _only_main_loop(limits: Limits) -> Limits:
    kinds = (ExecutionMode.MAIN_LOOP, MAIN_LOOP_FUNCTIONS)
    return replace(limits, modes={kind: limits.modes[kind] for kind in kinds})
