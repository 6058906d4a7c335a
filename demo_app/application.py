"""Puts the demo host together: its pages, its users and functions, and the plugin mounted beside them."""

from __future__ import annotations

import asyncio
import os
import secrets
from pathlib import Path
from typing import Any

from aiohttp import web

import aiohttp_jobs
from aiohttp_jobs import JobsConfig
from aiohttp_jobs.assembly import database
from aiohttp_jobs.system.atomic import create_secret

from . import functions, login, pages
from .keys import CONFIG, THROTTLE, USERS, VERIFICATIONS
from .throttle import Throttle
from .users import Users

_OWN_KEY = "demo-secret"


def create_app(data_dir: Path, *, interpreter: str | None = None, dsn: str | None = None) -> web.Application:
    """The host application, with everything it keeps below `data_dir`. Blocks; call it before serving.

    `interpreter` runs the commands that name none, where the setting is not to say; jobs are kept in the
    database `dsn`, if one is given, whose tables are brought up to date. The plugin's other
    settings may be given as ``AIOHTTP_JOBS_*`` variables. Raises ``OSError`` or
    `aiohttp_jobs.ConfigurationError` when the folder or a setting cannot be used.
    """
    users = Users.in_data_dir(data_dir)
    own: dict[str, Any] = {} if interpreter is None else {"default_interpreter": interpreter}
    if dsn is not None:
        database.upgrade(dsn)
        own |= {"engine": "postgres", "dsn": dsn, "secret": _secret(data_dir)}
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


def _secret(data_dir: Path) -> str:
    """That of the environment, which other hosts on the database have too, or else one of this demo's own."""
    given = os.environ.get("AIOHTTP_JOBS_SECRET")
    return given or create_secret(data_dir / _OWN_KEY, secrets.token_hex(32).encode()).decode()
