"""Turns a function's parameters into command-line options, such as ``--index users --dry-run``, with their
help.

``values`` converts the texts that are given for them.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from .printing import fail
from .texts import harmless
from .values import add, read_value

Parameter = Mapping[str, Any]
_LEFT = 34
"""Columns of the help for an option; what it means stands beside it."""


class _Option(NamedTuple):
    """What an option says of `parameter`: the text that follows it or, without one, `value`."""

    parameter: Parameter
    takes_text: bool = True
    value: Any = None


def read_options(
    parameters: Sequence[Parameter], taken: Collection[str], arguments: Sequence[str]
) -> dict[str, Any]:
    """The values in `arguments`, as JSON by parameter name. Ends the command for what cannot be read.

    The options in `taken` belong to the command itself; a parameter of the same name gets no option.
    """
    options = _options(parameters, taken)
    found: dict[str, Any] = {}
    waiting = list(arguments)
    while waiting:
        name, is_joined, text = waiting.pop(0).partition("=")
        option = options.get(name)
        if option is None:
            fail(_unknown(name, parameters, options))
        parameter = option.parameter
        if parameter["name"] in found and parameter["type"] != "list":
            fail(f"{name}: {parameter['name']} is given twice.")
        if not option.takes_text:
            if is_joined:
                fail(f"{name} takes no value.")
            found[str(parameter["name"])] = option.value
            continue
        if not is_joined and not waiting:
            fail(f"{name} needs a value.")
        add(found, parameter, read_value(parameter, text if is_joined else waiting.pop(0)))
    return found


def option_lines(parameters: Sequence[Parameter], taken: Collection[str]) -> list[str]:
    """The help text for the parameters, one or two lines for each."""
    own = _options(parameters, taken)
    lines: list[str] = []
    for parameter in parameters:
        names = [name for name, option in own.items() if option.parameter is parameter]
        lines += _line(_usage(parameter, names), _meaning(parameter))
    return lines


def option_name(parameter: Parameter) -> str:
    return "--" + str(parameter["name"]).replace("_", "-")


def _options(parameters: Sequence[Parameter], taken: Collection[str]) -> dict[str, _Option]:
    named = {option_name(each): each for each in parameters if each["type"] != "secret"}
    options: dict[str, _Option] = {}
    for name, parameter in named.items():
        if name in taken:
            continue
        is_switch = parameter["type"] == "bool"
        options[name] = _Option(parameter, not is_switch, True)
        no = "--no-" + name.removeprefix("--")
        if no in taken or no in named:
            continue
        if is_switch:
            options[no] = _Option(parameter, False, False)
        elif parameter.get("nullable"):
            options[no] = _Option(parameter, False, None)
    return options


def _unknown(name: str, parameters: Sequence[Parameter], options: Collection[str]) -> str:
    secret = [each for each in parameters if each["type"] == "secret"]
    secrets = {option_name(each): _usage(each, ()) for each in secret}
    if name in secrets:
        return f"Everybody on the machine can read command lines: give this secret by {secrets[name]}."
    known = ", ".join([*options, *secrets.values()]) or "none"
    return f"There is no option {name}; this function has {known}."


def _usage(parameter: Parameter, names: Sequence[str]) -> str:
    name = parameter["name"]
    if parameter["type"] == "secret":
        return f"--secret-file {name}=FILE"
    kind = _kind(parameter)
    if not names:  # an option of the command's own has that name
        return f"--value {name}={kind}"
    first = names[0] if parameter["type"] == "bool" else f"{names[0]} {kind}"
    return " / ".join([first, *names[1:]])


def _kind(parameter: Parameter) -> str:
    if parameter["type"] == "choice":
        return "|".join(str(each) for each in parameter.get("choices") or ())
    if parameter["type"] == "list":
        return _kind(parameter["items"]) if parameter["items"]["type"] != "list" else "JSON"
    return {"string": "TEXT", "object": "JSON"}.get(parameter["type"], str(parameter["type"]).upper())


def _meaning(parameter: Parameter) -> str:
    parts = [" ".join(harmless(str(parameter.get("description") or "")).split())]
    if parameter["type"] == "list":
        parts.append("May be repeated.")
    if parameter["type"] == "secret":
        parts.append("A secret; asked for if it is required.")
    bounds = [
        f"{words} {parameter[limit]}"
        for limit, words in (("minimum", "from"), ("maximum", "to"), ("pattern", "matching"))
        if parameter.get(limit) is not None
    ]
    if parameter.get("required"):
        bounds.append("required")
    elif parameter.get("default") is not None:
        bounds.append(f"default {json.dumps(parameter['default'], ensure_ascii=False)}")
    if bounds:
        parts.append(f"[{', '.join(bounds)}]")
    return " ".join(part for part in parts if part)


def _line(left: str, right: str) -> list[str]:
    if len(left) < _LEFT:
        return [f"  {left:<{_LEFT}}{right}".rstrip()]
    return [f"  {left}", *([f"  {'':<{_LEFT}}{right}"] if right else [])]
