"""The table of subcommands, each with the module that implements it. Modules are imported on demand.

Importing one takes a tenth of a second or more, and most commands need only their own.
"""

from __future__ import annotations

import functools
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup
from typer.main import get_group

from .proxy import accept_no_proxy

STYLE: dict[str, Any] = {
    "no_args_is_help": True,
    "add_completion": False,
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
}
"""How every command speaks to people."""
_OPEN_ENDED = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
"""For ``run``: which options there are besides its own, the server says."""


class _Home(NamedTuple):
    module: str
    name: str = ""
    """In the module; the command's own if empty."""
    settings: dict[str, Any] | None = None


_HOMES = {
    "configure": _Home("account"),
    **dict.fromkeys(("submit", "jobs", "watch", "output", "attempts", "rerun", "cancel"), _Home("jobs")),
    **dict.fromkeys(("functions", "function"), _Home("functions")),
    "runspaces": _Home("queue"),
    "restart-mainloop": _Home("queue", "restart_mainloop"),
    "me": _Home("account"),
    "doctor": _Home("doctor"),
    "worker": _Home("worker"),
    "powershell-module": _Home("powershell", "powershell_module"),
    "run": _Home("functions", settings=_OPEN_ENDED),
    "results": _Home("results"),
    "schedule": _Home("schedules"),
    "template": _Home("templates"),
    "trigger": _Home("triggers"),
    "queue": _Home("queue"),
    "workers": _Home("workers"),
    "notices": _Home("notices"),
    "api-key": _Home("api_keys", "api_keys"),
    "session": _Home("sessions"),
    "db": _Home("db"),
}
"""In the order in which they are listed."""

EXAMPLES: dict[str, tuple[str, ...]] = {
    "configure": ("aiohttp-jobs configure --url https://example.org/apps/WebHostTaskManagement",),
    "submit": (
        "aiohttp-jobs submit --wait 'make backup'",
        "aiohttp-jobs submit --interpreter python --mode Runspace --file job.py",
        "aiohttp-jobs submit --retries 3 --notify-email ops@example.org 'make backup'",
    ),
    "jobs": ("aiohttp-jobs jobs --state running --state queued",),
    "watch": ("aiohttp-jobs watch 5f0c1a2b",),
    "output": ("aiohttp-jobs output 5f0c1a2b --save build.log",),
    "run": ("aiohttp-jobs run rebuild --index users --dry-run", "aiohttp-jobs run rebuild --help"),
    "results": (
        "aiohttp-jobs results --search 'disk full' --status Failed --since 2027-01-01",
        "aiohttp-jobs results show 5f0c1a2b",
    ),
    "schedule": (
        "aiohttp-jobs schedule create --name nightly --cron '0 3 * * *' 'make backup'",
        "aiohttp-jobs schedule next nightly",
    ),
    "template": (
        "aiohttp-jobs template create --name deploy --parameter version 'deploy \"$PARAM_version\"'",
        "aiohttp-jobs template run deploy --value version=1.4 --wait",
    ),
    "trigger": ("aiohttp-jobs trigger add deploy --name github --proof github --path version=ref",),
    "api-key": ("aiohttp-jobs api-key create --data-dir data --name me --user me --role debug",),
    "session": ("aiohttp-jobs session revoke-all --user alice",),
    "doctor": ("aiohttp-jobs doctor --data-dir data",),
    "db": ("aiohttp-jobs db upgrade --dsn postgresql://jobs@db.example.org/jobs",),
    "worker": ("aiohttp-jobs worker --data-dir /var/lib/jobs --label gpu --concurrency background=4",),
}
"""What the help of a command ends with."""


class OnDemand(TyperGroup):
    """A group whose commands are imported when they are run."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_HOMES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        # What was mistyped is told with the names that are like it, which is read from `commands`.
        for name in (cmd_name,) if cmd_name in _HOMES else _HOMES:
            self.commands[name] = _command(name)
        return self.commands.get(cmd_name)


@functools.cache
def _command(name: str) -> Any:
    home = _HOMES[name]
    found = getattr(import_module(f".{home.module}", __package__), home.name or name)
    alone = typer.Typer(**STYLE)
    examples = EXAMPLES.get(name)
    epilog = "\n  ".join(("\b\nExamples:", *examples)) if examples else None  # \b: keep the lines as they are
    if isinstance(found, typer.Typer):
        alone.add_typer(found, name=name, epilog=epilog)
    else:
        alone.command(name, context_settings=home.settings, epilog=epilog)(found)
    accept_no_proxy(alone)
    return get_group(alone).commands[name]
