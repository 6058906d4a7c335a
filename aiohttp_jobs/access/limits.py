"""The configured limits of a submission, and which interpreters there are: pure checks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from yarl import URL

from ..config import JobsConfig
from ..errors import InvalidFieldsError, TooLargeError
from ..model.job import InterpreterName
from ..model.notice_rules import EmailRule, WebhookRule

_NO_MAIL = "'email' cannot be used: no mail server is set up here (smtp_host)"
_NO_WEBHOOKS = "'webhook' cannot be used: this server sends none (webhook_enabled)"


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
    notify: Sequence[EmailRule | WebhookRule] = (),
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
        sought = (
            " (there is no pwsh on the PATH of the host)" if interpreter is InterpreterName.POWERSHELL else ""
        )
        message = f"{interpreter} is not installed on this server{sought}; installed are: {names}"
        faults.append(field_error("interpreter", message))
    faults += _notify_faults(config, notify)
    if faults:
        raise InvalidFieldsError(_sentence(faults), details=faults)


def notice_channels(config: JobsConfig) -> list[str]:
    """By which channels jobs may ask for notices."""
    found = {"email": config.smtp_host is not None, "webhook": config.webhook_enabled}
    return [name for name, is_usable in found.items() if is_usable]


def _notify_faults(config: JobsConfig, rules: Sequence[EmailRule | WebhookRule]) -> list[dict[str, Any]]:
    faults = []
    channels = notice_channels(config) if rules else []
    for index, rule in enumerate(rules):
        if rule.channel not in channels:
            message = _NO_MAIL if rule.channel == "email" else _NO_WEBHOOKS
            faults.append(field_error(f"notify.{index}.channel", message))
            continue
        if isinstance(rule, EmailRule):
            continue
        # A courtesy only: what counts is the address that is connected to.
        if (fault := config.webhook_targets.fault(URL(rule.url))) is not None:
            faults.append(field_error(f"notify.{index}.url", fault))
    return faults


def _sentence(faults: list[dict[str, Any]]) -> str:
    return "; ".join(f"{fault['field']} {fault['message']}" for fault in faults) + "."
