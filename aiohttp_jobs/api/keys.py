"""The keys under which handlers find the plugin's parts in their application."""

from __future__ import annotations

from aiohttp import web

from ..config import JobsConfig
from ..service import JobService

CONFIG = web.AppKey("aiohttp_jobs.config", JobsConfig)
SERVICE = web.AppKey("aiohttp_jobs.service", JobService)
