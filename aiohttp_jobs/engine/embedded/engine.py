"""The embedded engine put together: the store, the records and the dispatcher on one data folder.

Who may run what is asked through the recheck that it is given; who is told of results, through the notifier.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from ...config import JobsConfig
from ...model.job import ExecutionMode
from ...system.closing import Closing
from ...system.secret_box import Vault
from ...system.storage_state import StorageState
from ...worker.modes import ExecutionModes
from ..base import Follower, Limits
from .api_keys import ApiKeys
from .awaited_results import AwaitedResults
from .changes import JobChanges
from .dispatcher import Dispatcher
from .finishing import Notifier
from .fired_moments import FiredMomentFiles
from .job_queue import EmbeddedJobQueue
from .lifecycle import JobRunner, Recheck
from .notices import NoticeStore
from .outputs import EmbeddedOutputs
from .poller import SELDOM_SECONDS, Poller
from .records import ScheduleStore, TemplateStore
from .session_registry import SessionRegistry
from .store import FileSystemStore

_ESCAPED_SIZE = 6  # a character may take six bytes in JSON
_RECORD_BYTES = 128 * 1024


class EmbeddedEngine:
    """One process's share of the data folder. Makes no file before it is opened."""

    def __init__(self, config: JobsConfig, modes: ExecutionModes) -> None:
        self._config = config
        self._modes = modes
        # The parts are told of news, and look by themselves only in case that one was missed.
        self.seldom = max(config.poll_interval, SELDOM_SECONDS)
        self.storage = StorageState(config.base_dir)
        self.store = FileSystemStore(
            config.base_dir,
            max_submission_bytes=_ESCAPED_SIZE * config.max_command_bytes + _RECORD_BYTES,
            allow_unsigned=config.allow_unsigned_submissions,
            search_output_bytes=config.search_output_bytes,
            index_interval=self.seldom,
            storage=self.storage,
        )
        self.api_keys = ApiKeys.in_data_dir(config.data_dir)
        self.sessions = SessionRegistry(config.base_dir, config.session_max_age, config.max_sessions_per_user)
        self.notices = NoticeStore(config.base_dir)
        self.schedules = ScheduleStore(config.base_dir)
        self.fired_moments = FiredMomentFiles(config.base_dir)
        self.templates = TemplateStore(config.base_dir)
        self.vault = Vault(config.base_dir)
        self._changes = JobChanges()
        self.store.results.on_deleted = self._changes.deleted
        self.awaited = AwaitedResults(self.store, self.storage)

    def dispatcher(self, recheck: Recheck, notifier: Notifier | None) -> Dispatcher:
        """What runs the jobs: each after `recheck`, telling `notifier` of its end."""
        config = self._config
        runner = JobRunner(config, self._modes, recheck, self.vault, self.storage)
        dispatcher = Dispatcher(
            self.store,
            runner,
            limits=_limits(config),
            interval=self.seldom,
            starvation=config.starvation_seconds,
            storage=self.storage,
            notifier=notifier,
            on_change=self._changes.changed,
        )
        self.store.on_drop = self.storage.on_end = dispatcher.look_soon
        return dispatcher

    def job_queue(self, dispatcher: Dispatcher) -> EmbeddedJobQueue:
        """The jobs of all processes on the data folder, this one's being those of `dispatcher`."""
        return EmbeddedJobQueue(
            self.store, dispatcher, self._changes, self.awaited, self._modes.warm_workers, self.storage
        )

    def outputs(self, dispatcher: Dispatcher) -> EmbeddedOutputs:
        """What the jobs of all processes print, this one's being those of `dispatcher`."""
        return EmbeddedOutputs(self.store, dispatcher.find)

    def poller(self, *parts: Follower) -> Poller:
        """What looks at the data folder for all `parts`, and for those of the engine itself."""
        return Poller((*parts, self.store.results, self._modes.orphans), self._config.poll_interval)

    async def open(self, stack: AsyncExitStack, closing: Closing) -> None:
        """Open the store and the records, to be closed by `stack`. Raises `OSError` and `sqlite3.Error`."""
        self.storage.open()
        stack.push_async_callback(self.storage.close)
        await self.store.open()
        stack.push_async_callback(closing.close, "The store", self.store.close)
        stack.push_async_callback(closing.close, "Waiting for results", self.awaited.close)
        for records in (self.sessions, self.templates, self.vault, self.schedules):
            await asyncio.to_thread(records.open)


def _limits(config: JobsConfig) -> Limits:
    return Limits(
        modes={
            ExecutionMode.MAIN_LOOP: 1,
            ExecutionMode.RUNSPACE: config.max_parallel_runspace,
            ExecutionMode.BACKGROUND_JOB: config.max_parallel_background,
        },
        per_user=config.max_parallel_per_user,
        overall=config.max_parallel,
    )
