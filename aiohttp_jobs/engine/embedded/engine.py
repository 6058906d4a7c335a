"""Builds the engine from the store, the records and the dispatcher of one data folder."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from ...config import JobsConfig
from ...system.secret_box import Vault
from ...system.storage_state import StorageState
from ...worker.modes import ExecutionModes
from ..base import Capability, CloseInTime, Follower, JobObserver, Notifier, Recheck
from ..poller import SELDOM_SECONDS, Poller
from ..running.active import JobChanges
from ..running.lifecycle import JobRunner
from ..running.limits import limits_of
from .api_keys import ApiKeys
from .dispatcher import Dispatcher
from .fired_moments import FiredMomentFiles
from .function_turns import FunctionTurns
from .job_queue import AwaitedResults, EmbeddedJobQueue
from .notices import NoticeStore
from .numbers import NumberFile
from .outputs import EmbeddedOutputs
from .records import ScheduleStore, TemplateStore, TriggerStore
from .session_registry import SessionRegistry
from .store import FileSystemStore

_ESCAPED_SIZE = 6  # a character may take six bytes in JSON
_RECORD_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class EmbeddedRecords:
    """The `Records` of one data folder."""

    schedules: ScheduleStore
    templates: TemplateStore
    triggers: TriggerStore
    notices: NoticeStore
    fired_moments: FiredMomentFiles


class EmbeddedEngine:
    """One process's part of the engine on a data folder.

    `storage` is told of disk errors; `vault` decrypts secret values.
    """

    queue: EmbeddedJobQueue
    outputs: EmbeddedOutputs
    capabilities = frozenset({Capability.DROPPED_FILES})
    workforce = None

    def __init__(
        self, config: JobsConfig, modes: ExecutionModes, storage: StorageState, vault: Vault
    ) -> None:
        self._config = config
        self._modes = modes
        self._storage = storage
        self._vault = vault
        # The parts are told of news, and look by themselves only in case that one was missed.
        self.seldom = max(config.poll_interval, SELDOM_SECONDS)
        self.store = FileSystemStore(
            config.base_dir,
            max_submission_bytes=_ESCAPED_SIZE * config.max_command_bytes + _RECORD_BYTES,
            allow_unsigned=config.allow_unsigned_submissions,
            search_output_bytes=config.search_output_bytes,
            index_interval=self.seldom,
            storage=storage,
            keys=config.keys,
            functions=modes.functions,
        )
        self.interpreters = modes.interpreters
        self.history = self.store
        self.results = self.store.results
        self.records = EmbeddedRecords(
            ScheduleStore(config.base_dir, config.keys),
            TemplateStore(config.base_dir, config.keys),
            TriggerStore(config.base_dir, config.keys),
            NoticeStore(config.base_dir),
            FiredMomentFiles(config.base_dir),
        )
        self.api_keys = ApiKeys.in_data_dir(config.data_dir)
        self.keys_at_pick_up = self.api_keys
        self.sessions = SessionRegistry(config.base_dir, config.session_max_age, config.max_sessions_per_user)
        self.numbers = NumberFile(config.base_dir, config.base_dir / "Running", lambda: self.instance_id)
        self._changes = JobChanges()
        self.results.on_deleted = self._changes.deleted
        self._awaited = AwaitedResults(self.store, storage)

    @property
    def instance_id(self) -> str:
        return self.store.instance_id

    def functions_elsewhere(self) -> Collection[str]:
        return self.store.functions_elsewhere()

    async def require_reachable(self) -> None:
        """Do nothing: there is only the data folder."""

    def connect(
        self, recheck: Recheck, notifier: Notifier | None, observer: JobObserver | None = None
    ) -> None:
        config, storage = self._config, self._storage
        self._dispatcher = dispatcher = Dispatcher(
            self.store,
            JobRunner(config, self._modes, recheck, self._vault, storage, observer),
            limits=limits_of(config),
            interval=self.seldom,
            starvation=config.starvation_seconds,
            storage=storage,
            notifier=notifier,
            observer=observer,
            on_change=self._changes.changed,
            turns=FunctionTurns(
                self._modes.functions,
                partial(asyncio.to_thread, self.store.functions_elsewhere),
                config.restart_seconds,
            ),
        )
        self.store.on_drop = storage.on_end = dispatcher.look_soon
        self.outputs = EmbeddedOutputs(self.store, dispatcher.find)
        self.queue = EmbeddedJobQueue(
            self.store, dispatcher, self._changes, self._awaited, self._modes.warm_workers, storage
        )

    async def open(self, stack: AsyncExitStack, close: CloseInTime) -> None:
        """Open the store and the records.

        Raises ``OSError``, ``sqlite3.Error``, and `ConfigurationError` when other hosts on the folder use
        another secret.
        """
        await asyncio.to_thread(self._config.keys.require_same_secret)
        await self.store.open()
        stack.push_async_callback(close, "The store", self.store.close)
        stack.push_async_callback(close, "Waiting for results", self._awaited.close)
        kept = self.records
        for records in (self.sessions, kept.templates, kept.triggers, kept.schedules):
            await asyncio.to_thread(records.open)

    def start(self, stack: AsyncExitStack, close: CloseInTime) -> None:
        stack.push_async_callback(close, "Writing outputs", partial(asyncio.to_thread, self.outputs.close))
        self._dispatcher.open()
        stack.push_async_callback(
            self._dispatcher.close, self._config.shutdown_grace, self._config.kill_grace
        )
        stack.push_async_callback(close, "Telling of changes", self.queue.close)

    def follow(self, followers: Sequence[Follower], stack: AsyncExitStack, close: CloseInTime) -> None:
        parts = (self._dispatcher, *followers, self.results, self._modes.orphans)
        poller = Poller(parts, self._config.poll_interval)
        poller.open()
        stack.push_async_callback(close, "Looking around", poller.close)

    def begin_closing(self) -> None:
        self._dispatcher.begin_closing()
        self._awaited.begin_closing()
