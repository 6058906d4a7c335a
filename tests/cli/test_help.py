"""The commands' own help: one whole line for each in every list, and examples that are valid commands."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
import typer
from typer.main import get_command

from aiohttp_jobs.cli import app
from aiohttp_jobs.cli.commands import EXAMPLES

ROOT: Any = get_command(app)


def _listed(group: Any, path: str) -> dict[str, str]:
    """The help of `group`, which is called `path`, and of every group below it, by their paths."""
    context = typer.Context(group, info_name=path)
    found = {path: group.get_help(context)}
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if hasattr(command, "list_commands"):
            found |= _listed(command, f"{path} {name}")
    return found


def test_no_list_of_commands_cuts_a_line_short() -> None:
    listed = _listed(ROOT, "aiohttp-jobs")
    assert len(listed) > 10
    for path, text in listed.items():
        lines = text.partition("\nCommands:\n")[2].partition("\n\n")[0].splitlines()
        assert lines, path
        assert not [line for line in lines if line.endswith("...") or line.startswith("    ")], path


@pytest.mark.parametrize("example", [each for examples in EXAMPLES.values() for each in examples])
def test_each_example_is_a_command_with_options_that_it_has(example: str) -> None:
    program, *words = shlex.split(example)
    command: Any = ROOT
    context = typer.Context(command, info_name=program)
    while hasattr(command, "list_commands") and not words[0].startswith("-"):
        command = command.get_command(context, words.pop(0))
        assert command is not None, example
        context = typer.Context(command, info_name=command.name, parent=context, **command.context_settings)
    command.make_parser(context).parse_args(args=list(words))  # raises for an option that there is not


def _options(group: Any, path: str, name: str) -> dict[str, Any]:
    """The option `name` of each command below `group`, which is called `path`, that has it."""
    found: dict[str, Any] = {}
    context = typer.Context(group, info_name=path)
    for each in group.list_commands(context):
        command = group.get_command(context, each)
        if hasattr(command, "list_commands"):
            found |= _options(command, f"{path} {each}", name)
        else:
            found |= {f"{path} {each}": option for option in command.params if option.name == name}
    return found


def test_a_database_is_named_in_the_same_way_by_every_command() -> None:
    found = _options(ROOT, "aiohttp-jobs", "dsn")
    assert len(found) >= 13
    for path, option in found.items():
        assert option.opts == ["--dsn"], path
        assert "postgresql://user@host/database. If it has a password, use the variable" in option.help, path
        # Sessions are asked for over HTTP, whatever the environment has.
        is_from_environment = "AIOHTTP_JOBS_DSN" in f"{option.envvar} {option.help}"
        assert is_from_environment is not path.startswith("aiohttp-jobs session"), path
