"""The configured limits of a submission, and which interpreters there are: pure checks."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from .config import JobsConfig
from .errors import InvalidFieldsError, TooLargeError
from .models import InterpreterName


def field_error(field: str, message: str) -> dict[str, Any]:
    """One entry of an error's ``details``."""
    return {"field": field, "message": message}


def require_within_limits(
    config: JobsConfig,
    installed: Collection[InterpreterName],
    *,
    job_name: str,
    command: str,
    description: str,
    interpreter: InterpreterName,
    timeout_seconds: float | None,
) -> None:
    """Raise `TooLargeError` or `InvalidFieldsError` for what this configuration does not take."""
    size = len(command.encode())
    if size > config.max_command_bytes:
        raise TooLargeError(f"The command has {size} bytes; at most {config.max_command_bytes} are allowed.")
    faults = [
        field_error(field, f"must have at most {limit} characters")
        for field, text, limit in (
            ("jobName", job_name, config.max_name_length),
            ("description", description, config.max_description_length),
        )
        if len(text) > limit
    ]
    if timeout_seconds is not None and timeout_seconds > config.max_timeout:
        faults.append(field_error("timeoutSeconds", f"must be at most {config.max_timeout:g}"))
    if interpreter not in installed:
        names = ", ".join(sorted(installed))
        message = f"{interpreter} is not installed on this server; installed are: {names}"
        faults.append(field_error("interpreter", message))
    if faults:
        raise InvalidFieldsError(_sentence(faults), details=faults)


def _sentence(faults: list[dict[str, Any]]) -> str:
    return "; ".join(f"{fault['field']} {fault['message']}" for fault in faults) + "."
