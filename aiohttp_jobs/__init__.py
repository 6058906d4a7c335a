"""aiohttp-jobs: submit, run and keep commands as jobs from inside any aiohttp application.

This is the whole public face; everything else may change between versions.
"""

from __future__ import annotations

from ._version import __version__
from .app import create_jobs_app, setup
from .auth.identity import Identity, Proof
from .auth.sessions import forget, remember
from .config import JobsConfig
from .errors import ConfigurationError, JobsError
from .models import ExecutionMode, InterpreterName, JobStatus

__all__ = [
    "ConfigurationError",
    "ExecutionMode",
    "Identity",
    "InterpreterName",
    "JobStatus",
    "JobsConfig",
    "JobsError",
    "Proof",
    "__version__",
    "create_jobs_app",
    "forget",
    "remember",
    "setup",
]
