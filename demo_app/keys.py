"""The keys under which the demo's handlers find its parts in the application."""

from __future__ import annotations

import asyncio

from aiohttp import web

from aiohttp_jobs import JobsConfig

from .throttle import Throttle
from .users import Users

CONFIG = web.AppKey("demo_app.config", JobsConfig)
USERS = web.AppKey("demo_app.users", Users)
THROTTLE = web.AppKey("demo_app.throttle", Throttle)
VERIFICATIONS = web.AppKey("demo_app.verifications", asyncio.Semaphore)
