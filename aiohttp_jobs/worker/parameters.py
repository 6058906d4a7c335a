"""Passes the values of a template's parameters to its command, never as text in the command.

Shells and PowerShell get environment variables ``PARAM_<name>``, Python gets variables in its namespace. The
prefix keeps a parameter from being ``PATH``, ``LD_PRELOAD`` or ``IFS``.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..model.job import InterpreterName

PREFIX = "PARAM_"
VARIABLE = "AIOHTTP_JOBS_PARAMETERS"
"""In which a process of its own that runs Python finds them, as JSON; ``child`` takes it away."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """The `values` by name, including secret ones, and the `secrets` among them, to be masked.

    A template's values are strings and integers, a function's any JSON. A parameter without a value is
    ``None`` in Python, and no variable elsewhere.
    """

    values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    secrets: Collection[str] = field(default=(), repr=False)

    def environment(self) -> dict[str, str]:
        return {PREFIX + name: str(value) for name, value in self.values.items() if value is not None}


NO_PARAMETERS = Parameters()


def hand_over(parameters: Parameters, interpreter: InterpreterName) -> dict[str, str]:
    """The environment variables that pass them to a process."""
    if interpreter is not InterpreterName.PYTHON:
        return parameters.environment()
    return {VARIABLE: json.dumps(dict(parameters.values))} if parameters.values else {}
