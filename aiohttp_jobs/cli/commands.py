"""Which module each command is in: it is imported when it is run, and all are when they are listed.

What a command imports takes a tenth of a second or more, and most need little of it.
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


class OnDemand(TyperGroup):
    """All commands, each of which is made when it is asked for."""

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
    if isinstance(found, typer.Typer):
        alone.add_typer(found, name=name)
    else:
        alone.command(name, context_settings=home.settings)(found)
    accept_no_proxy(alone)
    return get_group(alone).commands[name]
