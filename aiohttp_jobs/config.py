"""JobsConfig: every setting, with its default, unit and check; from code or from the environment.

What the settings mean for a job is left to the modules that use them.
"""

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
    """The folder that holds (or will hold) ``apps/WebHostTaskManagement/``."""
    allow_shared_data_dir: bool = False
    """Start although others can write to the data folder or to a folder above it, own it, or can read its
    keys. Whoever can, can run commands as anybody; without this setting the host does not start then."""
    engine: Literal["embedded", "postgres"] = "embedded"
    """What keeps the jobs: the data folder, or a PostgreSQL database that many hosts share."""
    dsn: Annotated[str | None, Field(repr=False, min_length=1)] = None
    """Where the database is (``postgresql://user@host/database``), with ``engine="postgres"``. A password in
    it belongs into the environment."""
    secret: Annotated[str | None, Field(repr=False, min_length=32)] = None
    """What all keys of the installation are made of, at least 32 characters: those of sessions, signatures,
    encrypted values and webhooks. Needed with ``engine="postgres"``, the same in all hosts; it belongs into
    the environment (``AIOHTTP_JOBS_SECRET``). Default: key files, 0600, in the data folder."""
    stall_seconds: Annotated[Seconds, Field(ge=1)] = 30.0
    """With ``engine="postgres"``, the same in all hosts and workers: one that the database has not heard of
    for so long counts as dead, and its jobs end or are tried again. It ends its commands before that."""
    runs_jobs: bool = True
    """Run jobs of all kinds in this process. With ``engine="postgres"`` a host may leave them to workers,
    with False: it then runs only what was asked of it in MainLoop."""
    prefix: str = "/apps/WebHostTaskManagement"
    """Where the sub-application is mounted."""

    # --- who is calling
    session_key: str | None = None
    """Fernet key (32 bytes, base64url) of the plugin's own session cookie. Default: one made of
    ``secret``, or a key file, 0600, in the data folder, so that sessions survive a restart."""
    session_cookie: str = "PSWebSessionID"
    session_max_age: Seconds = 12 * 3600
    """How long a sign-in lasts, whatever its cookie says; then the user signs in again."""
    max_sessions_per_user: Count = 50
    """Sessions that one user may have open. With one more, the one that was not used for longest ends."""
    session_secure: bool = False
    """Mark the session cookie ``Secure``. Turn it on wherever the host is served over HTTPS."""
    identity_resolver: Annotated[IdentityResolver | None, Field(repr=False)] = None
    """Finds out who is calling, in place of the session. Bearer keys go on working beside it."""
    roles_resolver: Annotated[RolesResolver | None, Field(repr=False)] = None
    """Tells a user's roles of this moment (``None``: no such user). It is asked for each request and
    again when a job is picked up; no session and no API key has a role that its user does not have."""
    roles_cache_seconds: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)] = 2.0
    """How long an answer of ``roles_resolver`` counts, and so how long a role that was taken away may still
    be used. 0: it is asked each time."""
    roles_timeout: Seconds = 5.0
    """How long ``roles_resolver`` may take. After that, or when it raises, requests are answered with 503."""
    max_api_keys_per_user: Count = 50
    """API keys that one user may have; the command on the data folder makes more all the same."""
    max_wrong_keys: Count = 10
    """API keys that do not hold, in a minute from one address (of IPv6: /64 network) or for one key, before
    further ones are answered with 429. A key that holds is never refused for others that do not."""
    trusted_origins: Converted[tuple[str, ...], Sequence[str]] = by_default(())
    """Origins, beside the host's own, whose pages may use the API, with an API key or with the session cookie
    of whoever looks at them: browsers are told so (CORS)."""
    trusted_proxies: Converted[tuple[Network, ...], Sequence[str]] = by_default(())
    """Addresses and networks (CIDR) of proxies whose ``X-Forwarded-Host`` says which host the browser asked.
    Needed only where the proxy does not pass ``Host`` on, for browsers without ``Sec-Fetch-Site``."""

    # --- roles
    mode_roles: Converted[ModeRoles, RolesOf[ExecutionMode] | RolesOf[str]] = by_default(MODE_ROLES)
    endpoint_roles: Converted[Mapping[str, frozenset[str]], RolesOf[str]] = by_default(ENDPOINT_ROLES)

    # --- picking up
    poll_interval: Seconds = 2.0
    """How often is looked for what other programs did in the data folder (specification: 2 s). On Linux files
    that they drop into ``JobSubmission/`` are picked up at once."""
    allow_unsigned_submissions: bool = False
    """Run submission files that carry no signature. Whoever can write the folder can then run anything
    with any role: see the how-to on dropping files before turning it on."""

    # --- running
    default_interpreter: Converted[InterpreterName, InterpreterName | str] = by_default(InterpreterName.SHELL)
    shebang_interpreters: Converted[tuple[str, ...], Sequence[str]] = by_default(_SHEBANGS)
    """Which programs the first line of a shell command (``#!/usr/bin/env python3``) may name, where they are
    installed; a version may follow. It chooses the interpreter, and keeps nobody from starting a program."""
    powershell_spares: Annotated[int, Field(ge=0)] = 1
    """PowerShell processes (of some 100 MB) that wait for a BackgroundJob, or another user's Runspace job,
    once a first job has asked for PowerShell. 0: each such job waits until one has started."""
    powershell_width: Annotated[int, Field(ge=20, le=4096)] = 120
    """Columns of a table that PowerShell prints."""
    powershell_output: Literal["console", "text"] = "console"
    """How PowerShell shows an object: as its console does, or as its ``ToString()``."""
    max_parallel_runspace: Count = Field(default_factory=_default_parallel)
    """Warm workers, and so Runspace jobs at once. PowerShell has as many of its own, once it is asked for."""
    max_parallel_background: Count = Field(default_factory=lambda: 4 * _default_parallel())
    max_parallel_mainloop_functions: Count = 16
    """The host's own functions that run in MainLoop at once. They are coroutines, so one costs little."""
    mainloop_timeout: Seconds = 2.0
    """How long MainLoop Python may block the event loop at a stretch."""
    default_timeout: Seconds = 3600.0
    max_timeout: Seconds = 24 * 3600.0
    """The longest ``timeoutSeconds`` a submission may ask for."""
    kill_grace: Annotated[float, Field(ge=0)] = 5.0
    """Between SIGTERM and SIGKILL when a job is stopped."""
    shutdown_grace: Annotated[float, Field(ge=0)] = 10.0
    """How long running jobs may go on when the host shuts down."""
    environment_allow: Converted[frozenset[str], Collection[str]] = by_default(_ALLOWED)
    """The host's environment variables that jobs get. Nothing else leaks into them."""
    environment_extra: Mapping[str, str] = Field(default_factory=dict)
    """Variables set for every job."""

    # --- limits
    max_body_bytes: Bytes = 1024 * 1024
    max_command_bytes: Bytes = 256 * 1024
    max_name_length: Count = 100
    max_description_length: Count = 2000
    max_output_bytes: Annotated[int, Field(ge=1024)] = 1024 * 1024
    """What a result keeps of a job's output: half from the start, half from the end."""
    max_log_bytes: Annotated[int, Field(ge=0)] = 128 * 1024 * 1024
    """What is kept on disk of an output that does not fit into its result, for watching and download."""
    max_database_log_bytes: Annotated[int, Field(ge=0)] = 16 * 1024 * 1024
    """What a database keeps of it, with ``engine="postgres"``: half from the start, half from the end."""
    max_pending_per_user: Count = 1000
    max_pending_bytes_per_user: Bytes = 64 * 1024 * 1024
    """What the commands of one user's waiting jobs may have together."""
    max_pending_notices_per_user: Count = 1000
    """Notices of one user that may wait to be sent before new jobs that ask for some are refused. What jobs
    that were accepted before ask for is sent all the same."""
    max_kept_bytes_per_user: Bytes = 10 * 1024 * 1024 * 1024
    """What one user's results may take, with the outputs kept beside them, before new jobs are refused;
    ``retention_bytes_per_user`` deletes old ones instead."""
    min_free_bytes: Annotated[int, Field(ge=0)] = 64 * 1024 * 1024
    """New jobs are refused while the data folder's disk has less room than this. 0: never."""
    max_schedules_per_user: Count = 100
    """Schedules that one user may keep."""

    max_streams_per_user: Count = 100
    """Answers that take long which one user may have open at once in a process: event streams, downloads of
    output, and submissions that wait for their result."""
    max_streams: Count = 2000
    """The same of all users together."""

    max_searches_per_user: Count = 100
    """Lists, searches, statistics and deletions of results that one user may have waiting for their turn."""

    # --- looking after the host
    readiness_drain: Annotated[float, Field(ge=0, le=600, allow_inf_nan=False)] = 0.0
    """How long a host that ``web.run_app`` runs goes on after SIGTERM before it closes its listener, with
    ``/readyz`` answering 503. Elsewhere the file ``draining`` in the data folder turns ``/readyz`` off."""
    metrics_enabled: bool = False
    """Count jobs, and tell at ``<prefix>/metrics`` what all processes have counted. Needs the extra
    ``metrics``."""
    metrics_token: Annotated[str | None, Field(repr=False, min_length=16)] = None
    """Whoever sends it as a bearer may read the metrics, and nothing else: for Prometheus. Without one, that
    takes an API key or a session with the role (``see_metrics``)."""
    tracing_enabled: bool = True
    """Make spans of jobs where opentelemetry-api is installed (the extra ``tracing``). The trace that a
    request says it belongs to (``traceparent``) is kept and passed on in any case."""
    systemd_notify: bool = False
    """Tell systemd when the host is ready, stops, and lives: for units with ``Type=notify``."""

    # --- queue
    max_parallel: Count | None = None
    """Jobs at once in all modes together. Default: the sum of the modes' limits."""
    max_parallel_per_user: Count | None = None
    """Jobs of one user at once. Default: no limit beside the modes'."""
    priority_roles: Mapping[str, int] = Field(default_factory=lambda: PRIORITY_ROLES)
    """The highest priority (0 to 9) that each role may use."""
    starvation_seconds: Seconds = 600.0
    """A job that has waited this long goes before all others, whatever their priority."""

    # --- watching
    heartbeat_interval: Seconds = 15.0
    """Between signs of life on an event stream that has nothing else to say. Whatever is still being sent or
    waited for ends within this time of the session, key or role that asked for it."""

    # --- notices
    smtp_host: str | None = None
    """The mail server that sends notices. Without one, jobs cannot ask for notices by e-mail."""
    smtp_port: Port | None = None
    """Default: 587 with ``starttls``, 465 with ``tls``, 25 with ``none``."""
    smtp_security: Literal["none", "starttls", "tls"] = "starttls"
    """How the connection is secured. The server's certificate is always verified."""
    smtp_ca_file: Converted[Path | None, Path | str | None] = by_default(None)
    """Certificates (PEM) to trust in place of the system's, for a mail server with a private authority."""
    smtp_username: str | None = None
    """Who signs in to the mail server. Needs ``starttls`` or ``tls``."""
    smtp_password: Annotated[str | None, Field(repr=False)] = None
    """The password that goes with it."""
    smtp_from: EmailAddress | None = None
    """The address that messages come from. Needed with ``smtp_host``."""
    smtp_timeout: Seconds = 30.0
    """How long sending a message may take."""
    notice_title: OneLine = "aiohttp-jobs"
    """Says in subjects, and as the sender's name, which installation a message comes from."""
    notify_base_url: Annotated[str, Field(pattern=r"^https?://\S+$")] | None = None
    """Where users reach the host, such as ``https://jobs.example.org``, for links in notices."""
    webhook_secret: Annotated[str | None, Field(repr=False, min_length=16)] = None
    """Signs webhooks. Default: one made of ``secret``, or a key file, 0600, in the data folder."""
    webhook_enabled: bool = True
    """Whether jobs may ask for webhooks at all. Turned off, those that are still to be sent fail."""
    webhook_allow_private: bool = False
    """Let webhooks go to loopback, private and other addresses that are not on the internet."""
    webhook_allowed_hosts: Converted[frozenset[str], Collection[str]] = by_default(frozenset())
    """Hosts (names or addresses, as in the URL) that webhooks may go to wherever they are: to any port, or
    to the one that follows the host, as in ``hooks.internal:8080``."""
    webhook_allowed_ports: Converted[frozenset[Port] | Literal["any"], Collection[int] | Literal["any"]] = (
        by_default(frozenset({80, 443}))
    )
    """Ports that webhooks may go to, of hosts that are not in ``webhook_allowed_hosts``."""
    webhook_timeout: Seconds = 10.0
    """How long a webhook may take in all."""
    notice_max_attempts: Count = 10
    """How often sending a notice is tried before it has failed."""
    notice_retry_seconds: Seconds = 15.0
    """The wait before the second attempt; it doubles from then on, up to an hour, with jitter."""
    notice_keep_sent: Seconds = 7 * 86400
    """How long sent notices are kept."""
    notice_keep_failed: Seconds = 30 * 86400
    """How long failed notices are kept."""
    notice_max_kept: Count = 1000
    """Sent notices kept for each user, and as many failed ones."""

    # --- results
    search_output_bytes: Bytes = 64 * 1024
    """How much of each output, and of each command, can be searched: half from the start, half from the
    end."""
    retention_age: Seconds | None = None
    """Results older than this are deleted. Default: none is deleted for its age."""
    retention_count_per_user: Count | None = None
    """How many results of one user are kept, the newest. Default: all."""
    retention_count: Count | None = None
    """How many results are kept in all, the newest. Default: all."""
    retention_bytes_per_user: Bytes | None = None
    """How much one user's results may take, with the outputs kept beside them. Default: no limit."""
    retention_bytes: Bytes | None = None
    """How much all results may take, with the outputs kept beside them. Default: no limit."""
    retention_interval: Seconds = 300.0
    """Between looks for results that are no longer kept."""

    # --- templates
    max_templates: Count = 1000
    """Templates that are kept, of all users together."""
    max_templates_per_user: Count = 100
    """Templates that one user may keep."""

    # --- triggers
    max_triggers: Count = 1000
    """Triggers that are kept, of all users together."""
    max_triggers_per_user: Count = 100
    """Triggers that one user may keep."""
    max_trigger_deliveries_per_minute: Annotated[int, Field(ge=1, le=200)] = 60
    """Deliveries of one trigger, in all processes together, before further ones are answered with 429."""

    # --- agents
    mcp: bool = False
    """Serve agents at ``<prefix>/mcp``, by the Model Context Protocol. Off: there is nothing there."""

    # --- the page
    ui_enabled: bool = True
    """Serve the page for managing jobs at the mount point. Off: there is nothing at that address."""
    ui_title: Annotated[str, Field(min_length=1, max_length=100)] = "Jobs"
    """What the page calls itself, in its header and in the browser's tab."""
    ui_logo: str | None = None
    """A picture (SVG or PNG) for the page's header: the path of a file, or else a path on the host."""
    ui_template: Converted[Path | None, Path | str | None] = by_default(None)
    """An HTML file to put the page into; it has ``{{ jobs_head }}`` once and ``{{ jobs_body }}`` once."""
    ui_login_url: str | None = None
    """Where users sign in. ``{next}`` in it becomes the address to come back to."""
    ui_logout_url: str | None = None
    """Where users sign out; the page sends a form there by POST."""
    ui_csrf_cookie: FieldName | None = None
    """The cookie from which the page takes the token that a CSRF middleware of the host's asks for. It must
    not be ``HttpOnly``."""
    ui_csrf_meta: FieldName | None = None
    """The name of the ``<meta>`` element from which the page takes that token, in place of a cookie."""
    ui_csrf_header: FieldName = "X-CSRF-Token"
    """The header in which the page sends the token with all that changes something."""
    ui_csrf_field: FieldName = "csrf_token"
    """The field in which it sends the token with the form that signs out."""

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
        """``<data_dir>/apps/WebHostTaskManagement``: everything the plugin keeps lies below it."""
        return self.data_dir.absolute() / APP_FOLDER

    @property
    def restart_seconds(self) -> float:
        """How long what only another process can run waits for that to start anew: fifteen looks."""
        return 15 * self.poll_interval

    @property
    def keys(self) -> InstallationKeys:
        """The keys of the installation."""
        return InstallationKeys(self.base_dir, self.secret)

    @property
    def webhook_targets(self) -> WebhookTargets:
        """Where webhooks may go."""
        return WebhookTargets(
            self.webhook_allow_private, self.webhook_allowed_hosts, self.webhook_allowed_ports
        )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None, /, **settings: Any) -> JobsConfig:
        """Settings from ``AIOHTTP_JOBS_*`` variables; `settings` given in code win over them.

        Lists and tables are JSON. Raises `ConfigurationError` naming the variable that is wrong.
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
            raise ConfigurationError(f"{ENVIRONMENT_PREFIX}{setting.upper()}: {first['msg']}") from error


def _from_text(name: str, text: str) -> Any:
    if text[:1] not in "[{":
        return text
    try:
        return json.loads(text)
    except ValueError:
        raise ConfigurationError(f"{ENVIRONMENT_PREFIX}{name.upper()} is not valid JSON") from None
