"""The values of a template's or function's parameters, from options; secrets never from options."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from .printing import fail
from .streams import read_in

Value = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="A parameter's value; may be repeated."),
]
SecretFile = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=FILE", help="Read a secret from a file ('-': stdin); may be repeated."),
]
SecretEnv = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VARIABLE", help="Read a secret from an environment variable; may be repeated."
    ),
]
_YES_NO = {"true": True, "yes": True, "false": False, "no": False}


def collect(
    parameters: Sequence[dict[str, Any]],
    values: Sequence[str],
    secret_files: Sequence[str],
    secret_variables: Sequence[str],
    given: Mapping[str, Any] | None = None,
    *,
    asks: bool = True,
) -> dict[str, Any]:
    """The values to send for `parameters`, `given` included. With `asks`, missing secrets are prompted for.

    Ends the command when a name is unknown, a value does not fit its type, or a secret is given in an option,
    where ``ps`` shows it to everybody.
    """
    known = {str(each["name"]): each for each in parameters}
    found: dict[str, Any] = dict(given or {})
    for option, text in [
        *(("--value", text) for text in values),
        *(("--secret-file", text) for text in secret_files),
        *(("--secret-env", text) for text in secret_variables),
    ]:
        name, value = _pair(option, text)
        if name not in known:
            fail(f"There is no parameter {name!r}; there is {', '.join(known) or 'none'}.")
        if name in found and known[name]["type"] != "list":
            fail(f"{name} is given twice.")
        add(found, known[name], _value(option, known[name], value))
    for each in parameters:
        if asks and each["type"] == "secret" and each.get("required") and each["name"] not in found:
            found[each["name"]] = _asked_for(str(each["name"]))
    return found


def add(found: dict[str, Any], parameter: Mapping[str, Any], value: Any) -> None:
    """Store `value` for `parameter` in `found`; values of a list are appended."""
    name = str(parameter["name"])
    found[name] = [*found.get(name, []), value] if parameter["type"] == "list" else value


def read_value(parameter: Mapping[str, Any], text: str) -> Any:
    """Convert `text` to JSON for `parameter`: for a list one item, for an object its JSON.

    A time without a time zone is in the user's own. Ends the command for a text that cannot be converted.
    """
    kind, name = parameter["type"], str(parameter["name"])
    if kind == "list":
        item = {**parameter["items"], "name": name}
        return _json(item, text) if item["type"] == "list" else read_value(item, text)
    read = _READERS.get(kind)
    return text if read is None else read(parameter, text)


def _pair(option: str, text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        fail(f"{option} {text!r}: write NAME=…")
    return name, value


def _value(option: str, parameter: Mapping[str, Any], value: str) -> Any:
    if option == "--secret-file":
        return _from_file(value)
    if option == "--secret-env":
        return os.environ.get(value) or fail(f"There is no {value} in the environment.")
    return read_value(parameter, value)


def _secret(parameter: Mapping[str, Any], _text: str) -> NoReturn:
    name = parameter["name"]
    fail(f"{name} is a secret, and ps shows options to everybody. Use --secret-file or --secret-env.")


def _whole(parameter: Mapping[str, Any], text: str) -> int:
    try:
        return int(text)
    except ValueError:
        fail(f"{parameter['name']} must be a whole number, not {text!r}.")


def _number(parameter: Mapping[str, Any], text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    return value if math.isfinite(value) else fail(f"{parameter['name']} must be a number, not {text!r}.")


def _switch(parameter: Mapping[str, Any], text: str) -> bool:
    value = _YES_NO.get(text.lower())
    return fail(f"{parameter['name']} must be true or false, not {text!r}.") if value is None else value


def _choice(parameter: Mapping[str, Any], text: str) -> Any:
    """A text that is none of the choices is left to the server, which says which there are."""
    return {str(each): each for each in parameter.get("choices") or ()}.get(text, text)


def _moment(_parameter: Mapping[str, Any], text: str) -> str:
    try:
        return datetime.fromisoformat(text).astimezone().isoformat()
    except (ValueError, OverflowError):
        return text


def _json(parameter: Mapping[str, Any], text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        fail(f"{parameter['name']} must be JSON: {error}.")


_READERS: Mapping[str, Callable[[Mapping[str, Any], str], Any]] = {
    "secret": _secret,
    "int": _whole,
    "number": _number,
    "bool": _switch,
    "choice": _choice,
    "datetime": _moment,
    "object": _json,
}


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
