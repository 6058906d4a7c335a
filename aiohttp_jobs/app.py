"""Builds the sub-application: its parts, routes, middlewares and lifetime."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from .access.current_roles import CurrentRoles
from .access.fair_turns import FairTurns
from .access.limits import require_within_limits
from .access.recheck import RightsCheck
from .access.storage_limits import StorageLimits
from .access.templates import TemplateRights
from .config import JobsConfig
from .doctor.at_start import (
    require_private_data_folder,
    require_usable_storage,
    start_error,
    warn_of_root,
)
from .engine.base import ClaimedJob
from .engine.embedded.api_keys import ApiKeys
from .engine.embedded.awaited_results import AwaitedResults
from .engine.embedded.dispatcher import JobProcessor
from .engine.embedded.fired_moments import Claims
from .engine.embedded.lifecycle import JobRunner
from .engine.embedded.notices import NoticeStore
from .engine.embedded.poller import SELDOM_SECONDS, Rounds
from .engine.embedded.schedules import ScheduleStore
from .engine.embedded.session_registry import SessionRegistry
from .engine.embedded.slots import Limits
from .engine.embedded.store import FileSystemStore
from .engine.embedded.templates import TemplateStore
from .errors import ConfigurationError
from .http import (
    account,
    documentation,
    events,
    feed,
    jobs,
    notices,
    queue,
    results,
    schedules,
    sessions,
    templates,
)
from .http.app_keys import CONFIG, SERVICE, STORAGE
from .http.auth.cors import preflight_middleware, share_with
from .http.auth.middleware import identity_middleware
from .http.auth.sessions import SESSIONS, Sessions, own_session_middleware, session_key
from .http.auth.wrong_keys import WrongKeys
from .http.envelope import error_middleware
from .http.open_streams import OPEN_STREAMS, OpenStreams
from .http.openapi.document import ApiDocument, host_limits
from .model.job import ExecutionMode, InterpreterName
from .notify.channel import Channel
from .notify.delivery import Delivery
from .notify.email import EmailChannel
from .notify.known_users import KnownUsersOnly
from .notify.outbox import Outbox
from .notify.webhook import WebhookChannel
from .scheduling.scheduler import Scheduler
from .services.account import AccountService
from .services.jobs import JobService
from .services.notices import NoticeService
from .services.queue import QueueService
from .services.rerun import Reruns
from .services.results import SEARCHES_AT_ONCE, SEARCHES_PER_USER, ResultService
from .services.retention import Retention
from .services.schedule_submitter import ScheduledJobs
from .services.schedules import ScheduleService
from .services.sessions import SessionService
from .services.templates import TemplateService
from .streams.job_list import JobFeed
from .streams.serializers import feed_view
from .system.closing import Closing
from .system.operating_system import require_supported_system
from .system.secret_box import Vault
from .system.storage_faults import fault_of
from .system.storage_state import StorageState
from .ui.routes import ui_routes
from .worker.background import BackgroundExecutor
from .worker.base import Executor, WarmWorker
from .worker.environment import base_environment
from .worker.interpreters import find_interpreters
from .worker.mainloop import MainLoopExecutor
from .worker.powershell.executors import PowerShell
from .worker.powershell.messages import Session
from .worker.process.orphans import Orphans
from .worker.runspace import RunspaceExecutor

_MOUNTED: web.AppKey[set[str]] = web.AppKey("aiohttp_jobs.mounted", set)
_ESCAPED_SIZE = 6  # a character may take six bytes in JSON
_RECORD_BYTES = 128 * 1024
_logger = logging.getLogger(__name__)


def setup(app: web.Application, config: JobsConfig | None = None) -> web.Application:
    """Mount the plugin in `app` at ``config.prefix``; the mounted sub-application.

    Without `config`, settings come from ``AIOHTTP_JOBS_*`` variables. Where `app` has not set up
    aiohttp-session, an encrypted session cookie is installed, for the host's own routes too. Writes no file
    and starts nothing, so that the process may still fork: both are done when the application starts.
    Raises `ConfigurationError` when something is mounted at that prefix already, a setting cannot be
    used, or `app` is starting or has started.
    """
    if app.on_startup.frozen:
        raise ConfigurationError(
            "The application is starting, or has started, and takes no sub-application any more. "
            "Call aiohttp_jobs.setup before the application starts: where it is made, not in on_startup, "
            "cleanup_ctx or a handler."
        )
    config = config or JobsConfig.from_environment()
    mounted = app.setdefault(_MOUNTED, set())
    if config.prefix in mounted:
        raise ConfigurationError(f"aiohttp-jobs is already mounted at {config.prefix}")
    jobs_app = create_jobs_app(config, host=app)
    mounted.add(config.prefix)
    app.middlewares.append(own_session_middleware(config))
    app.add_subapp(config.prefix, jobs_app)
    return jobs_app


def create_jobs_app(
    config: JobsConfig | None = None, *, host: web.Application | None = None
) -> web.Application:
    """The sub-application, for hosts that mount it themselves with ``add_subapp``.

    `host` is what MainLoop Python sees as ``app``; by default the application at the root of the
    first request.
    """
    require_supported_system()
    config = config or JobsConfig.from_environment()
    parts = _Parts(config, host)
    jobs_app = web.Application(
        middlewares=[
            error_middleware,
            parts.note_host,
            preflight_middleware(config.trusted_origins),
            own_session_middleware(config),
            identity_middleware(
                config, parts.api_keys, parts.wrong_keys, parts.current_roles, parts.sessions
            ),
        ]
    )
    parts.host = host or jobs_app
    jobs_app[CONFIG] = config
    jobs_app[SERVICE] = parts.service
    jobs_app[STORAGE] = parts.storage
    jobs_app[SESSIONS] = parts.sessions
    jobs_app[OPEN_STREAMS] = OpenStreams(config.max_streams_per_user, config.max_streams)
    jobs_app[results.RESULTS] = parts.results
    jobs_app[schedules.SCHEDULES] = parts.schedules
    jobs_app[queue.QUEUE] = parts.queue
    jobs_app[documentation.DOCUMENT] = parts.document
    jobs_app[account.ACCOUNT] = parts.account
    jobs_app[notices.NOTICES] = parts.notices
    jobs_app[sessions.SESSION_SERVICE] = SessionService(config)
    jobs_app[templates.TEMPLATES] = parts.templates
    jobs_app[templates.RERUNS] = Reruns(config, parts.service, parts.templates)
    for resource in (
        results,
        feed,
        jobs,
        events,
        queue,
        schedules,
        account,
        sessions,
        notices,
        templates,
        documentation,
    ):
        jobs_app.add_routes(resource.routes)
    jobs_app.add_routes(ui_routes(config))
    jobs_app.on_response_prepare.append(share_with(config.trusted_origins))
    jobs_app.on_shutdown.append(parts.begin_shutdown)
    jobs_app.cleanup_ctx.append(parts.lifetime)
    return jobs_app


class _Parts:
    """The plugin's parts, put together; they live as long as the application runs."""

    def __init__(self, config: JobsConfig, host: web.Application | None) -> None:
        self._config = config
        self._host_is_known = host is not None
        self.host = host
        self.api_keys = ApiKeys.in_data_dir(config.data_dir)
        self.current_roles = CurrentRoles(config)
        self.storage = StorageState(config.base_dir)
        self.wrong_keys = WrongKeys(config.max_wrong_keys)
        self._session_registry = SessionRegistry(
            config.base_dir, config.session_max_age, config.max_sessions_per_user
        )
        self.sessions = Sessions(self._session_registry)
        self._interpreters = find_interpreters()
        if config.default_interpreter not in self._interpreters:
            raise ConfigurationError(
                f"The default interpreter, {config.default_interpreter}, is not installed."
            )
        # The parts are told of news, and look by themselves only in case that one was missed.
        seldom = max(config.poll_interval, SELDOM_SECONDS)
        self._store = FileSystemStore(
            config.base_dir,
            max_submission_bytes=_ESCAPED_SIZE * config.max_command_bytes + _RECORD_BYTES,
            allow_unsigned=config.allow_unsigned_submissions,
            search_output_bytes=config.search_output_bytes,
            index_interval=seldom,
            storage=self.storage,
        )
        turns = FairTurns(
            SEARCHES_AT_ONCE,
            SEARCHES_PER_USER,
            config.max_searches_per_user,
            setting="max_searches_per_user",
            what="searches waiting",
        )
        self.results = ResultService(config, self._store, self._store.results, turns)
        self._retention = Retention(config, self._store.results, self.storage)
        # Filled at start-up: the instance id in it belongs to one process, and the host may fork until then.
        self._environment: dict[str, str] = {}
        self._executors = self._make_executors(self._environment)
        notice_store = NoticeStore(config.base_dir)
        outbox = Outbox(notice_store, self._store, self._store, self._wake_delivery, storage=self.storage)
        self._rights = RightsCheck(config, self.api_keys, self.current_roles)
        channels: dict[str, Channel] = {
            "email": KnownUsersOnly(EmailChannel(config), self._rights.has_user),
            "webhook": KnownUsersOnly(WebhookChannel(config), self._rights.has_user),
        }
        self._delivery = Delivery(config, notice_store, outbox, channels, seldom, storage=self.storage)
        self.notices = NoticeService(config, notice_store, self._wake_delivery)
        self._vault = Vault(config.base_dir)
        self._template_store = TemplateStore(config.base_dir)
        self._template_rights = TemplateRights(config, self._template_store, self._rights, self._vault)
        self._feed = JobFeed(feed_view)
        self._store.results.on_deleted = self._feed.removed
        self._processor = JobProcessor(
            self._store,
            JobRunner(config, self._executors, self._recheck, self._environment, self._vault, self.storage),
            limits=_limits(config),
            interval=seldom,
            starvation=config.starvation_seconds,
            storage=self.storage,
            notifier=outbox,
            on_change=self._feed.changed,
        )
        self._store.on_drop = self.storage.on_end = self._processor.look_soon
        self.queue = QueueService(config, self._processor, self._warm_workers)
        self._awaited = AwaitedResults(self._store, self.storage)
        self._storage_limits = StorageLimits(config, self._store.results.kept_bytes, self.storage)
        self.service = JobService(
            config,
            self._store,
            self._processor,
            self._interpreters.keys(),
            self._feed,
            self._storage_limits,
            turns,
            self._awaited,
            self.notices,
        )
        self.templates = TemplateService(
            config,
            self._template_store,
            self._template_rights,
            self.service,
            self._interpreters.keys(),
            self._vault,
        )

        self.document = ApiDocument(host_limits(config, sorted(self._interpreters)))
        self.account = AccountService(config, self.api_keys, self.current_roles, self._interpreters.keys())
        self._schedule_store = ScheduleStore(config.base_dir)
        claims = Claims(config.base_dir)
        self._scheduler = Scheduler(
            self._schedule_store,
            claims,
            ScheduledJobs(self.service, self._rights, self._store, self._processor),
            interval=seldom,
            storage=self.storage,
        )
        self.schedules = ScheduleService(
            config,
            self._schedule_store,
            claims,
            self._interpreters.keys(),
            max_per_user=config.max_schedules_per_user,
            changed=self._scheduler.wake,
        )

        parts = (self._processor, self._scheduler, self._delivery, self._store.results, self._orphans)
        self._rounds = Rounds(parts, config.poll_interval)

    def _make_executors(self, environment: Mapping[str, str]) -> Mapping[ExecutionMode, Executor]:
        config = self._config
        self._orphans = Orphans()
        self._runspaces = RunspaceExecutor(
            self._interpreters,
            size=config.max_parallel_runspace,
            environment=environment,
            kill_grace=config.kill_grace,
            orphans=self._orphans,
        )
        background = BackgroundExecutor(self._interpreters, config.kill_grace, self._orphans)
        executors: Mapping[ExecutionMode, Executor] = {
            ExecutionMode.MAIN_LOOP: MainLoopExecutor(background, lambda: self.host, config.mainloop_timeout),
            ExecutionMode.RUNSPACE: self._runspaces,
            ExecutionMode.BACKGROUND_JOB: background,
        }
        self._powershell = self._make_powershell(environment)
        return executors if self._powershell is None else self._powershell.beside(executors)

    def _make_powershell(self, environment: Mapping[str, str]) -> PowerShell | None:
        """What runs PowerShell's jobs, where it is installed."""
        interpreter = self._interpreters.get(InterpreterName.POWERSHELL)
        if interpreter is None:
            return None
        config = self._config
        return PowerShell(
            interpreter,
            Session(
                environment,
                width=config.powershell_width,
                is_text=config.powershell_output == "text",
                project_root=os.getcwd(),
            ),
            size=config.max_parallel_runspace,
            spares=config.powershell_spares,
            kill_grace=config.kill_grace,
            running=self._running_in_runspaces,
            orphans=self._orphans,
        )

    def _warm_workers(self) -> list[WarmWorker]:
        own = () if self._powershell is None else self._powershell.runspaces.workers
        return [*self._runspaces.workers, *own]

    def _running_in_runspaces(self) -> list[Mapping[str, Any]]:
        return [
            {"JobID": worker.job_id, "UserID": worker.owner}
            for worker in self._warm_workers()
            if worker.job_id is not None
        ]

    def _wake_delivery(self) -> None:
        self._delivery.wake()

    @property
    def note_host(self) -> Middleware:
        @web.middleware
        async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not self._host_is_known:
                self.host, self._host_is_known = request.match_info.apps[0], True
            return await handler(request)

        return middleware

    async def begin_shutdown(self, _app: web.Application) -> None:
        self._scheduler.begin_closing()
        self._processor.begin_closing()
        self._delivery.begin_closing()
        self._feed.close()
        self._awaited.begin_closing()

    async def lifetime(self, _app: web.Application) -> AsyncIterator[None]:
        if self._config.allow_unsigned_submissions:
            _logger.warning(
                "Unsigned submission files are run: whoever can write below %s can run any command "
                "with any role.",
                self._config.base_dir / "JobSubmission",
            )
        closing = Closing()
        async with AsyncExitStack() as stack:
            await self._look_before_starting()
            try:
                await self._open(stack, closing)
            except (OSError, sqlite3.Error) as error:
                if fault_of(error) is None:
                    raise
                raise start_error(self._config.base_dir, error) from None
            yield

    async def _open(self, stack: AsyncExitStack, closing: Closing) -> None:
        """Open all parts, in the order in which they need each other, each to be closed by `stack`."""
        stack.push_async_callback(self.current_roles.close)
        stack.callback(self.wrong_keys.close)
        self.storage.open()
        stack.push_async_callback(self.storage.close)
        await self._store.open()
        self._environment.update(base_environment(self._config, self._store.instance_id))
        stack.push_async_callback(closing.close, "The store", self._store.close)
        stack.push_async_callback(closing.close, "Counting storage", self._storage_limits.close)
        stack.push_async_callback(closing.close, "Waiting for results", self._awaited.close)
        await self._delivery.open()
        stack.push_async_callback(closing.close, "Sending notices", self._delivery.close)
        self._retention.open()
        stack.push_async_callback(closing.close, "Retention", self._retention.close)
        await asyncio.to_thread(self._session_registry.open)
        await asyncio.to_thread(self._template_store.open)
        await asyncio.to_thread(self._vault.open)
        self._orphans.open()
        if self._powershell is not None:
            stack.push_async_callback(closing.close, "PowerShell", self._powershell.close)
        for executor in self._executors.values():
            await executor.open()
            stack.push_async_callback(closing.close, "An execution mode", executor.close)
        self._processor.open()
        stack.push_async_callback(self._processor.close, self._config.shutdown_grace, self._config.kill_grace)
        await asyncio.to_thread(self._schedule_store.open)
        await self._scheduler.open()
        stack.push_async_callback(closing.close, "The scheduler", self._scheduler.close)
        self._rounds.open()
        stack.push_async_callback(closing.close, "Looking around", self._rounds.close)

    async def _look_before_starting(self) -> None:
        config = self._config
        await asyncio.to_thread(
            require_private_data_folder,
            config.data_dir,
            allow_unsigned=config.allow_unsigned_submissions,
            allow_shared=config.allow_shared_data_dir,
        )
        await asyncio.to_thread(require_usable_storage, config.base_dir, config.min_free_bytes)
        await asyncio.to_thread(session_key, config)
        mounted = self.host.get(_MOUNTED, ()) if self.host is not None else ()
        if config.prefix == min(mounted, default=config.prefix):  # one of several plugins speaks for all
            warn_of_root()

    async def _recheck(self, claimed: ClaimedJob) -> None:
        submission = claimed.submission
        if submission.template_id is None:
            await self._rights(submission)
        else:
            await self._template_rights.recheck(submission)
        if claimed.accepted_here:
            return  # by this very configuration
        require_within_limits(
            self._config,
            self._interpreters.keys(),
            job_name=submission.job_name,
            command=submission.command,
            description=submission.description,
            interpreter=submission.interpreter or self._config.default_interpreter,
            timeout_seconds=submission.timeout_seconds,
        )


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
