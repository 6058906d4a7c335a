"""The application keys under which handlers find the plugin's parts."""

from __future__ import annotations

from aiohttp import web

from ..access.policy import AccessPolicy
from ..config import JobsConfig
from ..services.code_jobs import CodeJobs
from ..services.jobs import JobService
from ..system.storage_state import StorageState

CONFIG = web.AppKey("aiohttp_jobs.config", JobsConfig)
STORAGE = web.AppKey("aiohttp_jobs.storage", StorageState)
ACCESS = web.AppKey("aiohttp_jobs.access", AccessPolicy)
MOUNTED: web.AppKey[dict[str, web.Application]] = web.AppKey("aiohttp_jobs.mounted", dict)
"""In the host's application: what is mounted there, by its prefix."""
CODE_JOBS = web.AppKey("aiohttp_jobs.code_jobs", CodeJobs)
SERVICE = web.AppKey("aiohttp_jobs.service", JobService)
