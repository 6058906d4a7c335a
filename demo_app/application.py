"""Puts the demo host together: its pages, its users and functions, and the plugin mounted beside them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from aiohttp import web

import aiohttp_jobs
from aiohttp_jobs import JobsConfig

from . import functions, login, pages
from .keys import CONFIG, THROTTLE, USERS, VERIFICATIONS
from .throttle import Throttle
from .users import Users


def create_app(data_dir: Path, *, interpreter: str | None = None) -> web.Application:
    """The host application, with everything it keeps below `data_dir`. Blocks; call it before serving.

    `interpreter` runs the commands that name none, where the setting is not to say. The plugin's other
    settings may be given as ``AIOHTTP_JOBS_*`` variables. Raises ``OSError`` or
    `aiohttp_jobs.ConfigurationError` when the folder or a setting cannot be used.
    """
    users = Users.in_data_dir(data_dir)
    own: dict[str, Any] = {} if interpreter is None else {"default_interpreter": interpreter}
    config = JobsConfig.from_environment(
        data_dir=data_dir, roles_resolver=users.roles, **login.CONSOLE_SETTINGS, **own
    )
    app = web.Application(middlewares=[pages.error_pages])
    app[USERS], app[CONFIG], app[THROTTLE] = users, config, Throttle()
    app[VERIFICATIONS] = asyncio.Semaphore(2)
    app.on_response_prepare.append(pages.add_security_headers)
    app.add_routes([*pages.routes, *login.routes])
    aiohttp_jobs.setup(app, config, functions=functions.jobs)
    return app
