"""LimitPolicy: the configured limits of a submission, such as sizes.

What waits or is stored is not counted here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol

from yarl import URL

from ..config import JobsConfig
from ..errors import InvalidFieldsError, TooLargeError, field_error
from ..model.job import ExecutionMode, InterpreterName
from ..model.notice_rules import CHANNELS, Rule, WebhookRule

_NO_MAIL = "'email' cannot be used: no mail server is set up here (smtp_host)"
_NO_WORKERS = "cannot be asked for: this server runs all jobs itself, and has no workers (engine 'postgres')"
_NO_LABELS_IN_MAIN_LOOP = "cannot be asked for in MainLoop, which is the host's own and no worker's"
_NO_WEBHOOKS = "'webhook' cannot be used: this server sends none (webhook_enabled)"


class LimitedCommand(Protocol):
    """The part of a submission, a schedule's job or a template that limits apply to."""

    @property
    def command(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def interpreter(self) -> InterpreterName | None: ...
    @property
    def timeout_seconds(self) -> float | None: ...
    @property
    def execution_mode(self) -> ExecutionMode: ...
    @property
    def labels(self) -> Collection[str]: ...


class LimitPolicy:
    """The configured limits of a submission.

    `installed` are the available interpreters; `takes_labels`: there may be workers with labels.
    """

    def __init__(
        self, config: JobsConfig, installed: Collection[InterpreterName], *, takes_labels: bool = False
    ) -> None:
        self._config = config
        self._takes_labels = takes_labels
        self._installed = installed

    def interpreter_of(self, command: LimitedCommand) -> InterpreterName:
        """The requested interpreter, or the configured default."""
        return command.interpreter or self._config.default_interpreter

    def require_within(
        self,
        command: LimitedCommand,
        name: str,
        notify: Sequence[Rule] = (),
        *,
        field: str = "{}",
        name_field: str = "jobName",
    ) -> None:
        """Raise `TooLargeError` or `InvalidFieldsError` for what exceeds a limit.

        `name` is the job's name, which the error calls `name_field`; `field` maps other field names to those
        in the error.
        """
        config = self._config
        size = len(command.command.encode())
        if size > config.max_command_bytes:
            raise TooLargeError(
                f"The command has {size} bytes; at most {config.max_command_bytes} are allowed."
            )
        faults = [
            *_length_faults(name_field, name, config.max_name_length),
            *_length_faults("description", command.description, config.max_description_length),
        ]
        if command.timeout_seconds is not None and command.timeout_seconds > config.max_timeout:
            faults.append(field_error("timeoutSeconds", f"must be at most {config.max_timeout:g}"))
        interpreter = self.interpreter_of(command)
        if interpreter not in self._installed:
            names = ", ".join(sorted(self._installed))
            faults.append(field_error("interpreter", f"{interpreter.absence}; installed are: {names}"))
        if command.labels and not self._takes_labels:
            faults.append(field_error("labels", _NO_WORKERS))
        elif command.labels and command.execution_mode is ExecutionMode.MAIN_LOOP:
            faults.append(field_error("labels", _NO_LABELS_IN_MAIN_LOOP))
        faults += _notify_faults(config, notify)
        if faults:
            raise InvalidFieldsError.of(
                [{**fault, "field": field.format(fault["field"])} for fault in faults]
            )

    def require_name(self, name: str) -> None:
        """Raise `InvalidFieldsError` for a name (the field ``name``) that is too long."""
        if faults := _length_faults("name", name, self._config.max_name_length):
            raise InvalidFieldsError.of(faults)


def _length_faults(field: str, text: str, most: int) -> list[dict[str, Any]]:
    return [field_error(field, f"must have at most {most} characters")] if len(text) > most else []


def notice_channels(config: JobsConfig) -> list[str]:
    """The channels that jobs may ask notices from."""
    usable = {"email": config.smtp_host is not None, "webhook": config.webhook_enabled}
    return [name for name in CHANNELS if usable.get(name, True)]


def _notify_faults(config: JobsConfig, rules: Sequence[Rule]) -> list[dict[str, Any]]:
    faults = []
    channels = notice_channels(config) if rules else []
    for index, rule in enumerate(rules):
        if rule.channel not in channels:
            message = _NO_MAIL if rule.channel == "email" else _NO_WEBHOOKS
            faults.append(field_error(f"notify.{index}.channel", message))
            continue
        if isinstance(rule, WebhookRule):
            # A courtesy only: what counts is the address that is connected to.
            fault = config.webhook_targets.fault(URL(rule.url))
            faults += [] if fault is None else [field_error(f"notify.{index}.url", fault)]
    return faults
