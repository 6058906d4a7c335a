"""Checks a database: whether hosts can use it, and whether others can read what they send each other."""

from __future__ import annotations

from collections.abc import Iterator

from ..engine.postgres import postgres_needed
from ..errors import ConfigurationError
from .finding import Finding, Status

_CHECK = "database"


def database_findings(dsn: str, secret: str | None) -> Iterator[Finding]:
    """Check the database at `dsn`, whose hosts use `secret`. Changes nothing. Blocks."""
    try:
        with postgres_needed():  # where it is installed
            from ..engine.postgres.facts import database_facts  # noqa: PLC0415
            from ..engine.postgres.migrations import schema_state  # noqa: PLC0415
        if problem := schema_state(dsn).problem:
            yield Finding(_CHECK, Status.PROBLEM, problem)
            return
        facts = database_facts(dsn, secret)
    except ConfigurationError as error:
        yield Finding(_CHECK, Status.PROBLEM, error.message)
        return
    yield Finding(
        _CHECK,
        Status.OK,
        f"PostgreSQL {facts.version} has the tables of this release, {facts.size} in all; hosts and workers "
        f"that live: {facts.alive}.",
    )
    if secret is None:
        yield Finding("secret", Status.WARNING, "Nobody said the secret.", "Set AIOHTTP_JOBS_SECRET.")
    elif facts.has_secret is False:
        yield Finding(
            "secret",
            Status.PROBLEM,
            "The database belongs to hosts with another secret.",
            "Give this machine theirs (AIOHTTP_JOBS_SECRET): no host starts with another.",
        )
    else:
        yield Finding("secret", Status.OK, "The secret is that of the other hosts, or the first.")
    if not facts.is_encrypted and not facts.is_local:
        yield Finding(
            "database_tls",
            Status.WARNING,
            "The connection to the database is not encrypted.",
            "Add sslmode=verify-full and sslrootcert=… to the dsn.",
        )
    if facts.is_superuser:
        yield Finding(
            "database_role",
            Status.WARNING,
            "The database role is a superuser.",
            "Use one that owns this database and has no further rights.",
        )
