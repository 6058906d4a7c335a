"""Builds the sub-application: routes, middlewares and lifetime.

The parts behind them are created in ``plugin``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web

from ..config import JobsConfig
from ..doctor.at_start import warn_of_root
from ..errors import ConfigurationError
from ..functions.registry import Functions
from ..http import (
    account,
    documentation,
    events,
    feed,
    functions,
    health,
    jobs,
    metrics,
    notices,
    queue,
    results,
    schedules,
    sessions,
    templates,
    triggers,
    workers,
)
from ..http.app_keys import ACCESS, CODE_JOBS, CONFIG, MOUNTED, SERVICE, STORAGE
from ..http.auth.middleware import identity_middleware
from ..http.auth.origin import preflight_middleware, share_with
from ..http.auth.sessions import SESSIONS, Sessions, own_session_middleware
from ..http.auth.wrong_keys import WrongKeys
from ..http.envelope import error_middleware
from ..http.host_application import HostApplication
from ..http.open_streams import OPEN_STREAMS
from ..monitoring.draining import Draining
from ..monitoring.service_manager import ServiceManager
from ..system.operating_system import require_supported_system
from ..ui.routes import ui_routes
from .plugin import Plugin

_RESOURCES = (
    results,
    feed,
    jobs,
    events,
    queue,
    workers,
    schedules,
    account,
    sessions,
    notices,
    templates,
    triggers,
    functions,
    health,
    metrics,
    documentation,
)


def setup(
    app: web.Application, config: JobsConfig | None = None, *, functions: Functions | None = None
) -> web.Application:
    """Mount the plugin in `app` at ``config.prefix`` and return the mounted sub-application.

    Without `config`, settings are read from ``AIOHTTP_JOBS_*`` variables. `functions` are the host's own
    functions that can be run as jobs. If `app` does not use aiohttp-session yet, an encrypted session cookie
    is installed, for the host's own routes too. No file is written and nothing is started until the
    application starts, so the process may still fork.

    Raises `ConfigurationError` when the prefix is taken, a setting or a function cannot be used, or `app` is
    starting or has started.
    """
    if app.on_startup.frozen:
        raise ConfigurationError(
            "The application is starting, or has started, and takes no sub-application any more. "
            "Call aiohttp_jobs.setup before the application starts: where it is made, not in on_startup, "
            "cleanup_ctx or a handler."
        )
    config = config or JobsConfig.from_environment()
    mounted = app.setdefault(MOUNTED, {})
    if config.prefix in mounted:
        raise ConfigurationError(f"aiohttp-jobs is already mounted at {config.prefix}")
    jobs_app = create_jobs_app(config, host=app, functions=functions)
    mounted[config.prefix] = jobs_app
    app.middlewares.append(own_session_middleware(config))
    app.add_subapp(config.prefix, jobs_app)
    return jobs_app


def create_jobs_app(
    config: JobsConfig | None = None,
    *,
    host: web.Application | None = None,
    functions: Functions | None = None,
) -> web.Application:
    """Create the sub-application, for hosts that mount it themselves with ``add_subapp``.

    `host` is the application that MainLoop Python sees as ``app``; by default, the root application of the
    first request. `functions` are the host's own functions that can be run as jobs. Raises
    `ConfigurationError`.
    """
    require_supported_system()
    config = config or JobsConfig.from_environment()
    application = HostApplication(host)
    plugin = Plugin(config, application, functions)
    own_sessions, wrong_keys = Sessions(plugin.engine.sessions), WrongKeys(config.max_wrong_keys)
    jobs_app = web.Application(
        middlewares=[
            error_middleware,
            *application.noting,
            preflight_middleware(config.trusted_origins),
            own_session_middleware(config),
            identity_middleware(
                config, plugin.engine.api_keys, wrong_keys, plugin.current_roles, own_sessions
            ),
        ]
    )
    application.mounted = jobs_app
    jobs_app[CONFIG] = config
    jobs_app[SESSIONS] = own_sessions
    jobs_app[triggers.RECEIVING] = triggers.Receiving()
    jobs_app[triggers.WRONG_SECRETS] = wrong_keys
    _add_services(jobs_app, plugin)
    _add_routes(jobs_app, config, sorted(plugin.interpreters))
    if config.trusted_origins:
        jobs_app.on_response_prepare.append(share_with(config.trusted_origins))
    _add_lifetime(jobs_app, config, plugin, host, wrong_keys)
    return jobs_app


def _add_routes(jobs_app: web.Application, config: JobsConfig, interpreters: list[str]) -> None:
    jobs_app[documentation.DOCUMENT] = documentation.ApiDocument(config, interpreters)
    for resource in _RESOURCES:
        jobs_app.add_routes(resource.routes)
    if config.mcp:
        # Half a megabyte that most hosts do without.
        from ..http.mcp.endpoint import mcp_routes  # noqa: PLC0415

        jobs_app.add_routes(mcp_routes(jobs_app, config, interpreters))
    jobs_app.add_routes(ui_routes(config))


def _add_lifetime(
    jobs_app: web.Application,
    config: JobsConfig,
    plugin: Plugin,
    host: web.Application | None,
    wrong_keys: WrongKeys,
) -> None:
    """Open `plugin` when the application starts, and close it when the application is cleaned up."""
    manager = ServiceManager() if config.systemd_notify else ServiceManager({})
    draining = Draining(plugin.begin_drain, config.readiness_drain)

    async def begin_shutdown(_app: web.Application) -> None:
        manager.stopping()
        plugin.begin_shutdown()

    async def lifetime(_app: web.Application) -> AsyncIterator[None]:
        async with plugin.opened():
            if config.prefix == min(_mounted(host), default=config.prefix):  # one of several speaks for all
                warn_of_root()
            draining.open()
            manager.ready()
            yield
            draining.close()
            await manager.close()
        wrong_keys.close()

    jobs_app.on_shutdown.append(begin_shutdown)
    jobs_app.cleanup_ctx.append(lifetime)


def _mounted(host: web.Application | None) -> list[str]:
    """The prefixes at which plugins are mounted in `host`."""
    found = None if host is None else host.get(MOUNTED)
    return list(found or ())


def _add_services(jobs_app: web.Application, plugin: Plugin) -> None:
    """Make the parts of `plugin` available to the handlers."""
    jobs_app[ACCESS] = plugin.policy
    jobs_app[SERVICE] = plugin.jobs
    jobs_app[results.RESULTS] = plugin.results
    jobs_app[schedules.SCHEDULES] = plugin.schedules
    jobs_app[queue.QUEUE] = plugin.queue
    jobs_app[workers.WORKERS] = plugin.workers
    jobs_app[account.ACCOUNT] = plugin.account
    jobs_app[notices.NOTICES] = plugin.notices
    jobs_app[sessions.SESSION_SERVICE] = plugin.sessions
    jobs_app[templates.TEMPLATES] = plugin.templates
    jobs_app[templates.RERUNS] = plugin.reruns
    jobs_app[triggers.TRIGGERS] = plugin.triggers
    jobs_app[triggers.DELIVERIES] = plugin.trigger_deliveries
    jobs_app[functions.FUNCTIONS] = plugin.functions
    jobs_app[health.READINESS] = plugin.readiness
    jobs_app[CODE_JOBS] = plugin.code_jobs
    jobs_app[STORAGE] = plugin.storage
    jobs_app[OPEN_STREAMS] = plugin.open_streams
    if plugin.metrics is not None:
        jobs_app[metrics.METRICS] = plugin.metrics
