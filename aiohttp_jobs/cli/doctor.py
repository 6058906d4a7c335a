"""``aiohttp-jobs doctor``: checks an installation, and changes nothing.

The checks are in ``aiohttp_jobs.doctor``.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .connection import Key, Url
from .keyfile import read_config
from .place import DataDir, Dsn, secret_of_hosts
from .printing import AsJSON, print_json

if TYPE_CHECKING:
    from ..doctor.finding import Finding

_STYLES = {"ok": "green", "warning": "yellow", "problem": "red"}
_WARNINGS, _PROBLEMS = 1, 2


def doctor(
    data_dir: DataDir = None,
    dsn: Dsn = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 when there are warnings.")] = False,
    as_json: AsJSON = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """Check an installation and suggest fixes.

    Looks at the data folder, the database, this machine and a running host. Exits with 2 for problems.
    """
    from ..doctor.finding import Status, worst  # noqa: PLC0415 - as said above

    findings = _findings(data_dir, dsn, url, api_key)
    status = worst(findings)
    if as_json:
        print_json(
            {
                "status": status,
                "checks": [
                    {
                        "check": each.check,
                        "status": each.status,
                        "message": each.message,
                        "advice": each.advice,
                    }
                    for each in findings
                ],
            }
        )
    else:
        _print(findings)
    if status is Status.PROBLEM:
        raise typer.Exit(_PROBLEMS)
    if status is Status.WARNING and strict:
        raise typer.Exit(_WARNINGS)


def _findings(data_dir: Path | None, dsn: str | None, url: str | None, api_key: str | None) -> list[Finding]:
    from ..doctor.database import database_findings  # noqa: PLC0415 - as said above
    from ..doctor.examination import data_folder_findings  # noqa: PLC0415 - as said above
    from ..doctor.host import host_findings  # noqa: PLC0415 - as said above
    from ..doctor.machine import machine_findings  # noqa: PLC0415 - as said above

    found = list(machine_findings())
    if data_dir is not None and found[0].check != "operating_system":
        found += data_folder_findings(data_dir)
    if dsn is not None:
        found += database_findings(dsn, secret_of_hosts())
    if url is not None:
        found += asyncio.run(host_findings(url, api_key or _kept_key(url)))
    return found


def _kept_key(url: str) -> str | None:
    """The key in the user's own file, if it is for this server: no other one is to get it."""
    kept = read_config()
    is_same = kept.get("url", "").rstrip("/") == url.rstrip("/")
    return kept.get("api_key") if is_same else None


def _print(findings: list[Finding]) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = 10_000  # for a pipe: each finding is one line
    table = Table(
        "Status", "Check", "What is so, and what to do", box=None, pad_edge=False, header_style="bold"
    )
    for column in table.columns[:2]:
        column.no_wrap = True
    for finding in findings:
        text = Text(finding.message)
        if finding.advice:
            text.append(f" {finding.advice}", style="bold")
        table.add_row(Text(finding.status, style=_STYLES[finding.status]), finding.check, text)
    console.print(table)
