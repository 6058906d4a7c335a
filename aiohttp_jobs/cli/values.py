"""The values of a template's parameters: from options, and secrets from anywhere but options."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from .printing import fail
from .streams import read_in


def collect(
    parameters: Sequence[dict[str, Any]],
    values: Sequence[str],
    secret_files: Sequence[str],
    secret_variables: Sequence[str],
) -> dict[str, Any]:
    """What to send for `parameters`; required secrets that were not given are asked for, unseen.

    Ends the command when a name is unknown, a value is no number, or a secret stands in an option,
    where ``ps`` would show it to everybody.
    """
    known = {str(each["name"]): str(each["type"]) for each in parameters}
    found: dict[str, Any] = {}
    for option, text in [
        *(("--value", text) for text in values),
        *(("--secret-file", text) for text in secret_files),
        *(("--secret-env", text) for text in secret_variables),
    ]:
        name, value = _pair(option, text)
        if name not in known:
            fail(f"The template has no parameter {name!r}; it has {', '.join(known) or 'none'}.")
        if name in found:
            fail(f"{name} is given twice.")
        found[name] = _value(option, name, value, known[name])
    for each in parameters:
        if each["type"] == "secret" and each.get("required") and each["name"] not in found:
            found[each["name"]] = _asked_for(str(each["name"]))
    return found


def _pair(option: str, text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        fail(f"{option} {text!r}: write NAME=…")
    return name, value


def _value(option: str, name: str, value: str, kind: str) -> Any:
    if option == "--secret-file":
        return _from_file(value)
    if option == "--secret-env":
        return os.environ.get(value) or fail(f"There is no {value} in the environment.")
    if kind == "secret":
        fail(f"{name} is a secret, and ps shows options to everybody. Use --secret-file or --secret-env.")
    if kind == "int":
        try:
            return int(value)
        except ValueError:
            fail(f"{name} must be a whole number, not {value!r}.")
    return value


def _from_file(path: str) -> str:
    try:
        text = read_in() if path == "-" else Path(path).read_bytes().decode()
    except (OSError, ValueError) as error:
        fail(f"{path} cannot be read: {error}")
    return text.removesuffix("\n").removesuffix("\r")


def _asked_for(name: str) -> str:
    if not sys.stdin.isatty():
        fail(f"{name} is a secret: give --secret-file {name}=FILE or --secret-env {name}=VARIABLE.")
    return str(typer.prompt(name, hide_input=True, err=True))
