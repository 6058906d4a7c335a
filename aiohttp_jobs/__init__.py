"""aiohttp-jobs: run commands and your own functions as jobs, from inside any aiohttp application.

The names in ``__all__`` are the public API. Everything else may change between versions.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .assembly.app import create_jobs_app, setup
    from .assembly.from_code import JobHandle, submit
    from .config import JobsConfig
    from .errors import ConfigurationError, JobFailedError, JobsError
    from .functions.context import JobContext
    from .functions.registry import Functions
    from .http.auth.sessions import forget, remember
    from .model.identity import Identity, Proof
    from .model.job import ExecutionMode, InterpreterName, JobStatus, RetryPolicy
    from .model.notice_rules import EmailRule, Trigger, WebhookRule

__all__ = [
    "ConfigurationError",
    "EmailRule",
    "ExecutionMode",
    "Functions",
    "Identity",
    "InterpreterName",
    "JobContext",
    "JobFailedError",
    "JobHandle",
    "JobStatus",
    "JobsConfig",
    "JobsError",
    "Proof",
    "RetryPolicy",
    "Trigger",
    "WebhookRule",
    "__version__",
    "create_jobs_app",
    "forget",
    "remember",
    "setup",
    "submit",
]

_HOMES = {
    "ConfigurationError": "errors",
    "EmailRule": "model.notice_rules",
    "ExecutionMode": "model.job",
    "Functions": "functions.registry",
    "Identity": "model.identity",
    "InterpreterName": "model.job",
    "JobContext": "functions.context",
    "JobFailedError": "errors",
    "JobHandle": "assembly.from_code",
    "JobStatus": "model.job",
    "JobsConfig": "config",
    "JobsError": "errors",
    "Proof": "model.identity",
    "RetryPolicy": "model.job",
    "Trigger": "model.notice_rules",
    "WebhookRule": "model.notice_rules",
    "create_jobs_app": "assembly.app",
    "forget": "http.auth.sessions",
    "remember": "http.auth.sessions",
    "setup": "assembly.app",
    "submit": "assembly.from_code",
}


def __getattr__(name: str) -> Any:
    # Only when it is asked for: the client and the command line do without the server, and start sooner.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
