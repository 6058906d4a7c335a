"""Puts the plugin together: access policy, one engine, and the services; opens and closes them in order.

The only module that chooses the engine. Routes and middlewares are in ``app``.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from ..access.current_roles import CurrentRoles, RightsCheck
from ..access.fair_turns import FairTurns
from ..access.functions import FunctionRights
from ..access.limits import LimitPolicy, StorageLimits
from ..access.pick_up import PickUpCheck
from ..access.policy import AccessPolicy
from ..access.templates import TemplateRights
from ..config import JobsConfig
from ..doctor.at_start import cannot_start, require_private_data_folder, require_usable_storage, start_error
from ..engine.base import Capability, Engine
from ..engine.embedded.engine import EmbeddedEngine
from ..errors import ConfigurationError, ShuttingDownError, StorageUnavailableError
from ..functions.registry import Functions
from ..http.auth.sessions import session_key
from ..http.open_streams import OpenStreams
from ..monitoring.counting import STREAMS, workers_present
from ..monitoring.disk import Disk
from ..monitoring.instrumentation import Instrumentation
from ..monitoring.readiness import Phase, Readiness
from ..monitoring.sharing import Sharing
from ..notify.channel import Channel
from ..notify.delivery import Delivery
from ..notify.email import EmailChannel
from ..notify.known_users import KnownUsersOnly
from ..notify.outbox import Outbox
from ..notify.webhook import WebhookChannel
from ..scheduling.scheduler import Scheduler
from ..services.account import AccountService
from ..services.code_jobs import CodeJobs
from ..services.code_schedules import CodeSchedules
from ..services.function_jobs import FunctionJobs
from ..services.functions import FunctionService
from ..services.functions_elsewhere import FunctionsElsewhere
from ..services.jobs import JobService
from ..services.notices import NoticeService
from ..services.queue import QueueService
from ..services.rerun import Reruns
from ..services.results import SEARCHES_AT_ONCE, SEARCHES_PER_USER, ResultService
from ..services.retention import Retention
from ..services.schedule_submitter import ScheduledJobs
from ..services.schedules import ScheduleService
from ..services.sessions import SessionService
from ..services.streams.job_list import JobFeed
from ..services.streams.lookup import JobLookup
from ..services.templates import TemplateService
from ..services.trigger_deliveries import TriggerDeliveries
from ..services.triggers import TriggerService
from ..services.workers import WorkerService
from ..system.closing import Closing
from ..system.secret_box import Vault
from ..system.storage_faults import fault_of
from ..system.storage_state import StorageState
from ..worker.modes import ExecutionModes

if TYPE_CHECKING:
    from ..monitoring.metrics import Metrics

MakeEngine = Callable[[JobsConfig, ExecutionModes, StorageState, Vault], Engine]
"""Creates an engine from the configuration, the execution modes, the state of the disk, and the vault that
decrypts secret values."""


def _postgres(config: JobsConfig, modes: ExecutionModes, storage: StorageState, vault: Vault) -> Engine:
    """The engine on a database, imported on demand because it needs psycopg."""
    from ..engine.postgres import postgres_needed  # noqa: PLC0415 - as said above

    with postgres_needed():
        from ..engine.postgres.engine import PostgresEngine  # noqa: PLC0415 - as said above
    return PostgresEngine(config, modes, storage, vault)


ENGINES: dict[str, MakeEngine] = {"embedded": EmbeddedEngine, "postgres": _postgres}
"""The engines, by their names in the configuration."""

_logger = logging.getLogger(__name__)


def _metrics(engine: Engine, sharing: Sharing, disk: Disk, config: JobsConfig) -> Metrics:
    """The metrics, imported on demand because they need prometheus-client. Raises `ConfigurationError`."""
    try:
        from ..monitoring.metrics import Metrics  # noqa: PLC0415 - as said above
    except ModuleNotFoundError as error:
        if error.name != "prometheus_client":
            raise
        raise ConfigurationError("metrics_enabled needs more: pip install 'aiohttp-jobs[metrics]'.") from None
    return Metrics(engine, sharing, disk, config.min_free_bytes, config.engine)


class Plugin:
    """All parts of one mounted plugin. Nothing is started and no file created before `opened`.

    `application` returns what MainLoop Python sees as ``app``; `functions` are the host's own functions.
    Raises `ConfigurationError` for settings that cannot be used here, and for functions that could not run.
    """

    def __init__(
        self, config: JobsConfig, application: Callable[[], Any], functions: Functions | None = None
    ) -> None:
        self._config = config
        self._modes = ExecutionModes(config, application, functions)
        self._functions = self._modes.functions
        self._functions.check()
        self.storage = StorageState(config.base_dir)
        self._vault = Vault(config.keys)
        self.engine = ENGINES[config.engine](config, self._modes, self.storage, self._vault)
        self.interpreters = self.engine.interpreters
        self.policy = AccessPolicy(config)
        self._limits = LimitPolicy(
            config, self.interpreters, takes_labels=Capability.LABELS in self.engine.capabilities
        )
        self.current_roles = CurrentRoles(config)
        self._rights = RightsCheck(self.policy, self.engine.api_keys, self.current_roles)
        self._template_rights = TemplateRights(
            self.policy, self.engine.records.templates, self._rights, self._vault
        )
        self._function_rights = FunctionRights(self.policy, self._functions, self._rights, self._vault)
        self._turns = FairTurns(
            SEARCHES_AT_ONCE,
            SEARCHES_PER_USER,
            config.max_searches_per_user,
            setting="max_searches_per_user",
            what="searches waiting",
        )
        self.open_streams = OpenStreams(config.max_streams_per_user, config.max_streams)
        self.disk = Disk(config.base_dir, config.min_free_bytes, self.storage)
        self._make_monitoring()
        self._make_notices()
        self._make_jobs()
        self._make_templates()
        self._make_functions()
        self._make_schedules()
        self.account = AccountService(
            config,
            self.policy,
            self.engine.api_keys,
            self.current_roles,
            self.interpreters,
            self.engine.capabilities,
        )
        self.workers = WorkerService(self.policy, self.engine.workforce)
        self.sessions = SessionService(self.policy)
        self.readiness = Readiness(
            {
                "draining": self.disk.require_undrained,
                "disk": self.disk.require_usable,
                "keys": self._require_keys,
                "database": self.engine.require_reachable,
                "queue": self._require_open_queue,
            }
        )

    async def _require_keys(self) -> None:
        # Not `now`, which may look at the disk in the event loop itself.
        await self.disk.in_thread(self.engine.api_keys.all)

    async def _require_open_queue(self) -> None:
        if self.engine.queue.is_closing:
            raise ShuttingDownError

    def _make_monitoring(self) -> None:
        config, engine = self._config, self.engine
        self._instrumentation = Instrumentation(config, engine, self.storage, self._present)
        self.metrics: Metrics | None = None
        if self._instrumentation.sharing is not None:
            self.metrics = _metrics(engine, self._instrumentation.sharing, self.disk, config)

    def _present(self) -> dict[str, float]:
        """This process's current values, published with its counters."""
        return {**workers_present(self._modes.warm_workers()), STREAMS: self.open_streams.total}

    def _make_notices(self) -> None:
        config, engine = self._config, self.engine
        self._outbox = Outbox(
            engine.records.notices, engine.history, self._wake_delivery, storage=self.storage
        )
        channels: dict[str, Channel] = {
            "email": KnownUsersOnly(EmailChannel(config), self._rights.has_user),
            "webhook": KnownUsersOnly(WebhookChannel(config), self._rights.has_user),
        }
        self._delivery = Delivery(
            config, engine.records.notices, self._outbox, channels, engine.seldom, storage=self.storage
        )
        self.notices = NoticeService(config, self.policy, engine.records.notices, self._delivery.wake)

    def _wake_delivery(self) -> None:
        self._delivery.wake()

    def _make_jobs(self) -> None:
        config, engine = self._config, self.engine
        rights = RightsCheck(self.policy, engine.keys_at_pick_up, self.current_roles)
        engine.connect(
            PickUpCheck(
                self._limits,
                rights,
                TemplateRights(self.policy, engine.records.templates, rights, self._vault),
                FunctionRights(self.policy, self._functions, rights, self._vault),
            ),
            self._outbox,
            self._instrumentation.observer,
        )
        queue = engine.queue
        self._feed = JobFeed(queue)
        lookup = JobLookup(queue, engine.history)
        self._storage_limits = StorageLimits(config, engine.results.kept_bytes, self.storage)
        self.jobs = JobService(
            config,
            self.policy,
            self._limits,
            engine.history,
            queue,
            lookup,
            engine.outputs,
            self._feed,
            self._storage_limits,
            self._turns,
            self.notices,
            self._instrumentation.tracing,
        )
        self.queue = QueueService(self.policy, queue, self._modes.restart_session)
        self.results = ResultService(self.policy, lookup, engine.history, engine.results, self._turns)
        self._retention = Retention(config, engine.results, self.storage)

    def _make_templates(self) -> None:
        config, engine = self._config, self.engine
        self.templates = TemplateService(
            config,
            self.policy,
            self._limits,
            engine.records.templates,
            self._template_rights,
            self.jobs,
            self._vault,
        )
        self.triggers = TriggerService(
            config, self.policy, engine.records.triggers, self.templates, self._vault
        )
        self.templates.on_deleted = self.triggers.forget_template
        self.trigger_deliveries = TriggerDeliveries(
            config,
            self.policy,
            engine.records.triggers,
            self.templates,
            self._rights,
            engine.queue,
            engine.history,
            self._vault,
        )

    def _make_functions(self) -> None:
        config, engine = self._config, self.engine
        function_jobs = FunctionJobs(self._functions, self._limits, self.jobs, self._vault)
        self.functions = FunctionService(
            self.policy,
            self._functions,
            self._function_rights,
            function_jobs,
            engine.records.schedules,
            config.prefix,
        )
        self.code_jobs = CodeJobs(
            self._functions, function_jobs, engine.queue, engine.history, engine.results
        )
        self.reruns = Reruns(self.policy, self.jobs, self.templates, self.functions)

    def _make_schedules(self) -> None:
        config, engine = self._config, self.engine
        elsewhere = FunctionsElsewhere(self._functions, engine.functions_elsewhere, config.restart_seconds)
        self._scheduler = Scheduler(
            engine.records.schedules,
            engine.records.fired_moments,
            ScheduledJobs(
                self.jobs, self.functions, self.code_jobs, self._rights, engine.history, engine.queue
            ),
            interval=engine.seldom,
            storage=self.storage,
            leaves=elsewhere.leaves,
        )
        self.schedules = ScheduleService(
            self.policy,
            self._limits,
            engine.records.schedules,
            engine.records.fired_moments,
            require_function=self.functions.require_schedulable,
            max_per_user=config.max_schedules_per_user,
            changed=self._scheduler.wake,
        )

        self._code_schedules = CodeSchedules(
            self._functions,
            engine.records.schedules,
            engine.records.fired_moments,
            config.prefix,
            elsewhere.has,
        )

    def begin_drain(self) -> None:
        """Report "not ready" so that load balancers send requests elsewhere; jobs are still accepted."""
        self.readiness.phase = Phase.DRAINING

    def begin_shutdown(self) -> None:
        """Start no more jobs, and end all streams and waiting requests."""
        self.readiness.phase = Phase.CLOSING
        self._scheduler.begin_closing()
        self.engine.begin_closing()
        self._delivery.begin_closing()
        self._feed.close()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Open all parts for the duration of the block, and close them in order when it ends.

        Raises `ConfigurationError` when the data folder cannot be used.
        """
        if self._config.allow_unsigned_submissions:
            _logger.warning(
                "Unsigned submission files are run: whoever can write below %s can run any command "
                "with any role.",
                self._config.base_dir / "JobSubmission",
            )
        async with AsyncExitStack() as stack:
            await self._check_before_starting()
            try:
                await self._open(stack, Closing())
            except StorageUnavailableError as error:
                raise cannot_start(error) from None
            except (OSError, sqlite3.Error) as error:
                if fault_of(error) is None:
                    raise
                raise start_error(self._config.base_dir, error) from None
            yield

    async def _open(self, stack: AsyncExitStack, closing: Closing) -> None:
        """Open all parts, in the order in which they need each other, each to be closed by `stack`."""
        stack.push_async_callback(self.current_roles.close)
        self.storage.open()
        stack.push_async_callback(self.storage.close)
        await self.engine.open(stack, closing.close)
        await asyncio.to_thread(self._vault.open)
        stack.push_async_callback(closing.close, "Counting storage", self._storage_limits.close)
        await self._delivery.open()
        stack.push_async_callback(closing.close, "Sending notices", self._delivery.close)
        self._retention.open()
        stack.push_async_callback(closing.close, "Retention", self._retention.close)
        await self._modes.open(stack, closing, self.engine.instance_id)
        self.engine.start(stack, closing.close)
        await asyncio.to_thread(self._code_schedules.write)
        await self._scheduler.open()
        stack.push_async_callback(closing.close, "The scheduler", self._scheduler.close)
        stack.enter_context(self.code_jobs.opened())
        self.engine.follow((self._scheduler, self._delivery), stack, closing.close)
        stack.callback(self.disk.close)
        stack.push_async_callback(closing.close, "Looking at how the host is", self.readiness.close)
        self._instrumentation.open(stack, closing.close)
        self.readiness.phase = Phase.SERVING

    async def _check_before_starting(self) -> None:
        config = self._config
        await asyncio.to_thread(
            require_private_data_folder,
            config.data_dir,
            allow_unsigned=config.allow_unsigned_submissions,
            allow_shared=config.allow_shared_data_dir,
        )
        await asyncio.to_thread(require_usable_storage, config.base_dir, config.min_free_bytes)
        await asyncio.to_thread(session_key, config)
