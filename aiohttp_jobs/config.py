"""JobsConfig: every setting with its default, unit and validation, from code or from the environment."""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from aiohttp import web
from annotated_types import Ge
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from .errors import ConfigurationError
from .model.converted import Converted, by_default
from .model.field_faults import what_is_wrong
from .model.identity import Identity
from .model.job import ExecutionMode, InterpreterName, OneLine
from .model.notice_rules import EmailAddress
from .model.roles import ENDPOINT_ROLES, MODE_ROLES, PRIORITY_ROLES
from .model.webhook_targets import WebhookTargets, allowed_host
from .system.app_folder import APP_FOLDER
from .system.derived_keys import InstallationKeys

IdentityResolver = Callable[[web.Request], Awaitable[Identity | None]]
RolesResolver = Callable[[str], Awaitable[Collection[str] | None]]

ENVIRONMENT_PREFIX = "AIOHTTP_JOBS_"


def _network(text: str) -> str:
    return str(ipaddress.ip_network(text, strict=False))


Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Ge(1)]  # not Field: pydantic 2.11.0 refuses that with a default_factory
Network = Annotated[str, AfterValidator(_network)]
Bytes = Annotated[int, Field(ge=1)]
Port = Annotated[int, Field(ge=1, le=65535)]
FieldName = Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,64}$")]
"""Of a header, cookie, form field or element."""


K = TypeVar("K")
RolesOf = Mapping[K, Collection[str]]
ModeRoles = Mapping[ExecutionMode, frozenset[str]]

_ALLOWED = frozenset(
    {"PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "USER", "LOGNAME", "SHELL"}
)
_SHEBANGS = (
    "sh", "bash", "dash", "ksh", "zsh", "fish", "python", "perl", "ruby", "node", "php", "lua", "tclsh",
    "awk", "gawk", "sed", "make", "pwsh", "Rscript", "deno", "bun",
)  # fmt: skip


def _default_parallel() -> int:
    return max(2, os.cpu_count() or 2)


class JobsConfig(BaseModel):
    """Settings of one mounted plugin. Times are in seconds, sizes in bytes.

    `from_environment` reads ``AIOHTTP_JOBS_<SETTING>`` variables. A bad value raises
    `ConfigurationError` with the setting's name when read from the environment, pydantic's
    ``ValidationError`` when given in code.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True
    )

    data_dir: Converted[Path, Path | str]
    """The folder that contains (or will contain) ``apps/WebHostTaskManagement/``."""
    allow_shared_data_dir: bool = False
    """Start even if other Unix users can write to the data folder or a folder above it, own it, or can read
    its keys. They could run commands as anybody, so the host refuses to start without this setting."""
    engine: Literal["embedded", "postgres"] = "embedded"
    """Where jobs are stored: in the data folder, or in a PostgreSQL database that many hosts share."""
    dsn: Annotated[str | None, Field(repr=False, min_length=1)] = None
    """The database (``postgresql://user@host/database``), with ``engine="postgres"``. If it has a password,
    set it in the environment."""
    secret: Annotated[str | None, Field(repr=False, min_length=32)] = None
    """The secret from which all keys of the installation are derived (sessions, signatures, encrypted values,
    webhooks), at least 32 characters. Required with ``engine="postgres"``, the same in all hosts; set it in
    the environment (``AIOHTTP_JOBS_SECRET``). Default: key files, 0600, in the data folder."""
    stall_seconds: Annotated[Seconds, Field(ge=1)] = 30.0
    """With ``engine="postgres"``, the same in all hosts and workers: a process without a heartbeat for this
    long is considered dead, and its jobs end or are retried. It ends its commands before that."""
    runs_jobs: bool = True
    """Run jobs in this process. With ``engine="postgres"``, False leaves them to workers: the host then only
    runs the MainLoop jobs that were submitted to it."""
    prefix: str = "/apps/WebHostTaskManagement"
    """The path at which the sub-application is mounted."""

    # --- who is calling
    session_key: str | None = None
    """Fernet key (32 bytes, base64url) of the plugin's own session cookie. Default: derived from
    ``secret``, or a key file, 0600, in the data folder, so that sessions survive a restart."""
    session_cookie: str = "PSWebSessionID"
    """The name of the plugin's own session cookie."""
    session_max_age: Seconds = 12 * 3600
    """How long a session lasts after sign-in, whatever its cookie says."""
    max_sessions_per_user: Count = 50
    """Open sessions per user. With one more, the least recently used one ends."""
    session_secure: bool = False
    """Mark the session cookie ``Secure``. Enable it wherever the host is served over HTTPS."""
    identity_resolver: Annotated[IdentityResolver | None, Field(repr=False)] = None
    """Authenticates requests instead of the session. API keys work as well."""
    roles_resolver: Annotated[RolesResolver | None, Field(repr=False)] = None
    """Returns a user's current roles (``None``: no such user). It is called for each request and again when
    a job is picked up; sessions and API keys never have a role that their user lacks."""
    roles_cache_seconds: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)] = 2.0
    """How long an answer of ``roles_resolver`` is cached, and so how long a revoked role may still be used.
    0: not at all."""
    roles_timeout: Seconds = 5.0
    """The timeout of ``roles_resolver``. When it is exceeded, or it raises, requests get 503."""
    max_api_keys_per_user: Count = 50
    """API keys per user. The command line on the data folder is not limited."""
    max_wrong_keys: Count = 10
    """Invalid API keys per minute, from one address (IPv6: /64 network) or for one key, after which further
    ones get 429. A valid key is never refused because of others' invalid ones."""
    trusted_origins: Converted[tuple[str, ...], Sequence[str]] = by_default(())
    """Other origins whose pages may use the API, with an API key or with their visitor's session cookie
    (CORS)."""
    trusted_proxies: Converted[tuple[Network, ...], Sequence[str]] = by_default(())
    """Addresses and networks (CIDR) of proxies whose ``X-Forwarded-Host`` is trusted. Needed only where the
    proxy does not pass ``Host`` on, for browsers without ``Sec-Fetch-Site``."""

    # --- roles
    mode_roles: Converted[ModeRoles, RolesOf[ExecutionMode] | RolesOf[str]] = by_default(MODE_ROLES)
    """The roles that may run jobs in each mode. Modes that are left out keep their default."""
    endpoint_roles: Converted[Mapping[str, frozenset[str]], RolesOf[str]] = by_default(ENDPOINT_ROLES)
    """The roles that have each right. Rights that are left out keep their default."""

    # --- picking up
    poll_interval: Seconds = 2.0
    """How often to look for changes by other programs in the data folder (specification: 2 s). On Linux,
    files that they drop into ``JobSubmission/`` are picked up at once."""
    allow_unsigned_submissions: bool = False
    """Run submission files without a signature. Anybody who can write to the folder can then run any command
    with any role: read the how-to on dropping files before you enable it."""

    # --- running
    default_interpreter: Converted[InterpreterName, InterpreterName | str] = by_default(InterpreterName.SHELL)
    """The interpreter of commands that name none."""
    shebang_interpreters: Converted[tuple[str, ...], Sequence[str]] = by_default(_SHEBANGS)
    """Programs that the first line of a shell command (``#!/usr/bin/env python3``) may name; a version may
    follow. This selects the interpreter, and does not prevent anybody from starting a program."""
    powershell_spares: Annotated[int, Field(ge=0)] = 1
    """Spare PowerShell processes (about 100 MB each) for BackgroundJobs and for other users' Runspace jobs,
    started once a first job needs PowerShell. 0: each such job waits for its own to start."""
    powershell_width: Annotated[int, Field(ge=20, le=4096)] = 120
    """The width, in columns, of tables that PowerShell prints."""
    powershell_output: Literal["console", "text"] = "console"
    """How PowerShell prints an object: like its console, or by ``ToString()``."""
    max_parallel_runspace: Count = Field(default_factory=_default_parallel)
    """Warm workers, and so parallel Runspace jobs. PowerShell has as many of its own, once it is used."""
    max_parallel_background: Count = Field(default_factory=lambda: 4 * _default_parallel())
    """Parallel BackgroundJobs."""
    max_parallel_mainloop_functions: Count = 16
    """The host's own functions that run in MainLoop at the same time. They are coroutines, and cheap."""
    mainloop_timeout: Seconds = 2.0
    """How long MainLoop Python may block the event loop at a time."""
    default_timeout: Seconds = 3600.0
    """The time limit of jobs that ask for none."""
    max_timeout: Seconds = 24 * 3600.0
    """The maximum of ``timeoutSeconds`` in a submission."""
    kill_grace: Annotated[float, Field(ge=0)] = 5.0
    """The time between SIGTERM and SIGKILL when a job is stopped."""
    shutdown_grace: Annotated[float, Field(ge=0)] = 10.0
    """How long running jobs may continue when the host shuts down."""
    environment_allow: Converted[frozenset[str], Collection[str]] = by_default(_ALLOWED)
    """The host's environment variables that jobs get. No others are passed on."""
    environment_extra: Mapping[str, str] = Field(default_factory=dict)
    """Variables set for every job."""

    # --- limits
    max_body_bytes: Bytes = 1024 * 1024
    """The maximum size of a request body."""
    max_command_bytes: Bytes = 256 * 1024
    """The maximum size of a command."""
    max_name_length: Count = 100
    """The maximum length of a job's name, in characters."""
    max_description_length: Count = 2000
    """The maximum length of a description, in characters."""
    max_output_bytes: Annotated[int, Field(ge=1024)] = 1024 * 1024
    """How much of an output its result contains: half from the start, half from the end."""
    max_log_bytes: Annotated[int, Field(ge=0)] = 128 * 1024 * 1024
    """How much of a longer output is stored on disk, for following and downloading it."""
    max_database_log_bytes: Annotated[int, Field(ge=0)] = 16 * 1024 * 1024
    """How much of it is stored in the database, with ``engine="postgres"``: half from each end."""
    max_worker_log_bytes: Annotated[int, Field(ge=0)] = 2 * 1024 * 1024 * 1024
    """How many bytes of ended jobs' outputs that are too long for the database each process keeps on its own
    disk, with ``engine="postgres"``: hosts get them from there as long as it runs. 0: none."""
    max_pending_per_user: Count = 1000
    """Waiting jobs per user."""
    max_pending_bytes_per_user: Bytes = 64 * 1024 * 1024
    """The total size of the commands of one user's waiting jobs."""
    max_pending_notices_per_user: Count = 1000
    """Waiting notices per user, above which new jobs that ask for notices are refused. Those of jobs that
    were accepted before are still sent."""
    max_kept_bytes_per_user: Bytes = 10 * 1024 * 1024 * 1024
    """The total size of one user's results, including outputs beside them, above which new jobs are refused;
    ``retention_bytes_per_user`` deletes old results instead."""
    min_free_bytes: Annotated[int, Field(ge=0)] = 64 * 1024 * 1024
    """New jobs are refused while the data folder's disk has less free space than this. 0: never."""
    max_schedules_per_user: Count = 100
    """Schedules per user."""

    max_streams_per_user: Count = 100
    """Long responses that one user may have open at the same time in a process: event streams, downloads of
    output, and submissions that wait for their result."""
    max_streams: Count = 2000
    """The same for all users together."""

    max_searches_per_user: Count = 100
    """Queries and deletions of results that one user may have waiting for their turn."""

    # --- looking after the host
    readiness_drain: Annotated[float, Field(ge=0, le=600, allow_inf_nan=False)] = 0.0
    """How long a host under ``web.run_app`` keeps its listener open after SIGTERM, with ``/readyz`` returning
    503. Elsewhere, the file ``draining`` in the data folder makes ``/readyz`` return 503."""
    metrics_enabled: bool = False
    """Count jobs, and serve the totals of all processes at ``<prefix>/metrics``. Needs the extra
    ``metrics``."""
    metrics_token: Annotated[str | None, Field(repr=False, min_length=16)] = None
    """A bearer token that gives access to the metrics and nothing else, for Prometheus. Without it, an API
    key or a session with the right ``see_metrics`` is needed."""
    tracing_enabled: bool = True
    """Create spans of jobs if opentelemetry-api is installed (the extra ``tracing``). A request's trace
    context (``traceparent``) is stored and passed on in any case."""
    systemd_notify: bool = False
    """Notify systemd that the host is ready, stopping, and alive: for units with ``Type=notify``."""

    # --- queue
    max_parallel: Count | None = None
    """Parallel jobs in all modes together. Default: the sum of the modes' limits."""
    max_parallel_per_user: Count | None = None
    """Parallel jobs per user. Default: only the modes' limits."""
    priority_roles: Mapping[str, int] = Field(default_factory=lambda: PRIORITY_ROLES)
    """The highest priority (0 to 9) that each role may use."""
    starvation_seconds: Seconds = 600.0
    """A job that has waited this long starts before all others, whatever their priority."""

    # --- watching
    heartbeat_interval: Seconds = 15.0
    """The interval between heartbeats on an idle event stream. A long response ends within this time after
    the session, key or role that requested it."""

    # --- notices
    smtp_host: str | None = None
    """The mail server that sends notices. Without one, jobs cannot ask for notices by e-mail."""
    smtp_port: Port | None = None
    """Default: 587 with ``starttls``, 465 with ``tls``, 25 with ``none``."""
    smtp_security: Literal["none", "starttls", "tls"] = "starttls"
    """How the connection is secured. The server's certificate is always verified."""
    smtp_ca_file: Converted[Path | None, Path | str | None] = by_default(None)
    """CA certificates (PEM) to trust instead of the system's, for a mail server with a private CA."""
    smtp_username: str | None = None
    """The user name at the mail server. Needs ``starttls`` or ``tls``."""
    smtp_password: Annotated[str | None, Field(repr=False)] = None
    """The password of ``smtp_username``."""
    smtp_from: EmailAddress | None = None
    """The sender's address. Required with ``smtp_host``."""
    smtp_timeout: Seconds = 30.0
    """The timeout for sending a message."""
    notice_title: OneLine = "aiohttp-jobs"
    """Names the installation in subjects, and as the sender."""
    notify_base_url: Annotated[str, Field(pattern=r"^https?://\S+$")] | None = None
    """The public address of the host, such as ``https://jobs.example.org``, for links in notices."""
    webhook_secret: Annotated[str | None, Field(repr=False, min_length=16)] = None
    """Signs webhooks. Default: derived from ``secret``, or a key file in the data folder."""
    webhook_enabled: bool = True
    """Whether jobs may ask for webhooks. If disabled, webhooks that still wait fail."""
    webhook_allow_private: bool = False
    """Allow webhooks to loopback, private and other addresses that are not public."""
    webhook_allowed_hosts: Converted[frozenset[str], Collection[str]] = by_default(frozenset())
    """Hosts (names or addresses, as in the URL) that webhooks may always go to: to any port, or only to the
    given one, as in ``hooks.internal:8080``."""
    webhook_allowed_ports: Converted[frozenset[Port] | Literal["any"], Collection[int] | Literal["any"]] = (
        by_default(frozenset({80, 443}))
    )
    """Ports that webhooks may go to on hosts that are not in ``webhook_allowed_hosts``."""
    webhook_timeout: Seconds = 10.0
    """The total timeout of a webhook."""
    notice_max_attempts: Count = 10
    """Attempts to send a notice before it is considered failed."""
    notice_retry_seconds: Seconds = 15.0
    """The delay before the second attempt; it doubles for each further one, up to an hour, with jitter."""
    notice_keep_sent: Seconds = 7 * 86400
    """How long sent notices are kept."""
    notice_keep_failed: Seconds = 30 * 86400
    """How long failed notices are kept."""
    notice_max_kept: Count = 1000
    """Sent notices kept for each user, and as many failed ones."""

    # --- results
    search_output_bytes: Bytes = 64 * 1024
    """How much of each output, and of each command, is searchable: half from the start, half from the end."""
    retention_age: Seconds | None = None
    """Results older than this are deleted. Default: none."""
    retention_count_per_user: Count | None = None
    """How many results are kept per user; older ones are deleted. Default: all."""
    retention_count: Count | None = None
    """How many results are kept in total; older ones are deleted. Default: all."""
    retention_bytes_per_user: Bytes | None = None
    """The total size of results per user, including outputs beside them. Default: no limit."""
    retention_bytes: Bytes | None = None
    """The total size of all results, including outputs beside them. Default: no limit."""
    retention_interval: Seconds = 300.0
    """The interval between deletions of results that are no longer kept."""

    # --- templates
    max_templates: Count = 1000
    """Templates of all users together."""
    max_templates_per_user: Count = 100
    """Templates per user."""

    # --- triggers
    max_triggers: Count = 1000
    """Triggers of all users together."""
    max_triggers_per_user: Count = 100
    """Triggers per user."""
    max_trigger_deliveries_per_minute: Annotated[int, Field(ge=1, le=200)] = 60
    """Deliveries per trigger and minute, over all processes, after which further ones get 429."""

    # --- agents
    mcp: bool = False
    """Serve agents at ``<prefix>/mcp``, by the Model Context Protocol."""

    # --- the page
    ui_enabled: bool = True
    """Serve the page at the mount point."""
    ui_title: Annotated[str, Field(min_length=1, max_length=100)] = "Jobs"
    """The page's title, in its header and in the browser's tab."""
    ui_logo: str | None = None
    """A picture (SVG or PNG) for the page's header: the path of a file, or else a path on the host."""
    ui_template: Converted[Path | None, Path | str | None] = by_default(None)
    """An HTML file to embed the page in; it has ``{{ jobs_head }}`` and ``{{ jobs_body }}`` once each."""
    ui_login_url: str | None = None
    """The sign-in address. ``{next}`` in it is replaced by the address to return to."""
    ui_logout_url: str | None = None
    """The sign-out address, to which the page sends a form by POST."""
    ui_csrf_cookie: FieldName | None = None
    """The cookie that contains the token for the host's CSRF middleware. It must not be ``HttpOnly``."""
    ui_csrf_meta: FieldName | None = None
    """The name of the ``<meta>`` element that contains that token, instead of a cookie."""
    ui_csrf_header: FieldName = "X-CSRF-Token"
    """The header in which the page sends the token with every change."""
    ui_csrf_field: FieldName = "csrf_token"
    """The field in which it sends the token with the sign-out form."""

    @field_validator("ui_login_url", "ui_logout_url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        if url is not None and not re.match(r"/(?![/\\])|https?://", url):
            raise ValueError("must be a path such as '/login', or an address with http:// or https://")
        return url

    @field_validator("webhook_allowed_hosts")
    @classmethod
    def _check_allowed_hosts(cls, hosts: frozenset[str]) -> frozenset[str]:
        for host in hosts:
            allowed_host(host)
        return hosts

    @field_validator("prefix")
    @classmethod
    def _check_prefix(cls, prefix: str) -> str:
        if not prefix.startswith("/") or prefix.rstrip("/") == "" or set("{}?#") & set(prefix):
            raise ValueError("must be a path such as '/apps/WebHostTaskManagement'")
        return prefix.rstrip("/")

    @field_validator("mode_roles")
    @classmethod
    def _complete_mode_roles(
        cls, table: Mapping[ExecutionMode, frozenset[str]]
    ) -> Mapping[ExecutionMode, frozenset[str]]:
        return {**MODE_ROLES, **table}

    @field_validator("endpoint_roles")
    @classmethod
    def _complete_endpoint_roles(cls, table: Mapping[str, frozenset[str]]) -> Mapping[str, frozenset[str]]:
        unknown = sorted(set(table) - set(ENDPOINT_ROLES))
        if unknown:
            known = ", ".join(sorted(ENDPOINT_ROLES))
            raise ValueError(f"unknown endpoint {unknown[0]!r}; known are {known}")
        return {**ENDPOINT_ROLES, **table}

    @model_validator(mode="after")
    def _check_timeouts(self) -> Self:
        if self.default_timeout > self.max_timeout:
            raise ValueError("default_timeout must not be longer than max_timeout")
        return self

    @model_validator(mode="after")
    def _check_engine(self) -> Self:
        if self.engine == "postgres" and self.dsn is None:
            raise ValueError("dsn is needed with engine 'postgres': where the database is")
        if self.engine != "postgres" and self.dsn is not None:
            raise ValueError("dsn is for engine 'postgres', which has to be chosen")
        if self.engine != "postgres" and not self.runs_jobs:
            raise ValueError("runs_jobs=False is for engine 'postgres': nobody else would run the jobs")
        if self.engine == "postgres" and self.secret is None:
            raise ValueError(
                "secret is needed with engine 'postgres': 32 characters or more, the same in all hosts and "
                "workers. Make one with: python -c 'import secrets; print(secrets.token_hex(32))'"
            )
        return self

    @model_validator(mode="after")
    def _check_csrf(self) -> Self:
        if self.ui_csrf_cookie is not None and self.ui_csrf_meta is not None:
            raise ValueError("ui_csrf_cookie and ui_csrf_meta cannot be used together: which has the token?")
        return self

    @model_validator(mode="after")
    def _check_mail(self) -> Self:
        if self.smtp_host is not None and self.smtp_from is None:
            raise ValueError("smtp_from is needed with smtp_host: the address that messages come from")
        if self.smtp_username is not None and self.smtp_security == "none":
            raise ValueError(
                "smtp_username needs smtp_security 'starttls' or 'tls': the password must be safe"
            )
        return self

    @property
    def base_dir(self) -> Path:
        """``<data_dir>/apps/WebHostTaskManagement``, which contains everything the plugin stores."""
        return self.data_dir.absolute() / APP_FOLDER

    @property
    def restart_seconds(self) -> float:
        """How long what only another process can run waits for that to start anew: fifteen looks."""
        return 15 * self.poll_interval

    @property
    def keys(self) -> InstallationKeys:
        """The installation's keys, for signing and encryption."""
        return InstallationKeys(self.base_dir, self.secret)

    @property
    def webhook_targets(self) -> WebhookTargets:
        """The addresses that webhooks may be sent to."""
        return WebhookTargets(
            self.webhook_allow_private, self.webhook_allowed_hosts, self.webhook_allowed_ports
        )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None, /, **settings: Any) -> JobsConfig:
        """Read settings from ``AIOHTTP_JOBS_*`` variables; `settings` given here take precedence.

        Lists and tables are written as JSON. Raises `ConfigurationError` that names the variable at fault.
        """
        found = os.environ if environ is None else environ
        values = {
            name: _from_text(name, found[ENVIRONMENT_PREFIX + name.upper()])
            for name in cls.model_fields
            if ENVIRONMENT_PREFIX + name.upper() in found
        }
        try:
            return cls(**{**values, **settings})
        except ValidationError as error:
            first = error.errors()[0]
            setting = str(first["loc"][0]) if first["loc"] else "settings"
            named = ENVIRONMENT_PREFIX + setting.upper()
            raise ConfigurationError(f"{named}: {what_is_wrong(first)}") from error


def _from_text(name: str, text: str) -> Any:
    if text[:1] not in "[{":
        return text
    try:
        return json.loads(text)
    except ValueError:
        raise ConfigurationError(f"{ENVIRONMENT_PREFIX}{name.upper()} is not valid JSON") from None
