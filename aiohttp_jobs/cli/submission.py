"""The options of a job, shared by ``submit``, ``schedule create`` and ``template create``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..model.field_faults import what_is_wrong
from ..model.words import ExecutionMode, InterpreterName
from .printing import fail
from .streams import read_in

if TYPE_CHECKING:
    from ..model.job import RetryPolicy

Command = Annotated[
    str | None,
    typer.Argument(
        help="The command. Read from stdin if it is '-' or missing. Put '--' before one that starts with '-'."
    ),
]
CommandFile = Annotated[Path | None, typer.Option("--file", help="Read the command from this file.")]
Mode = Annotated[ExecutionMode, typer.Option(help="Where it runs.")]
Interpreter = Annotated[InterpreterName | None, typer.Option(help="The program that runs the command.")]
Description = Annotated[str, typer.Option(help="A note that is stored with the job.")]
Timeout = Annotated[float | None, typer.Option(help="Stop the job after this many seconds.")]
RunAt = Annotated[str | None, typer.Option(help="When to start: ISO 8601 with a time zone.")]
Delay = Annotated[float | None, typer.Option(help="Seconds to wait before starting.")]
Priority = Annotated[int | None, typer.Option(help="From 0 (last) to 9 (first).")]
ConcurrencyKey = Annotated[
    str | None, typer.Option(help="Jobs with the same key never run at the same time.")
]
Label = Annotated[
    list[str] | None,
    typer.Option("--label", help="Run only on a worker with this label, such as gpu; may be repeated."),
]
Retries = Annotated[int, typer.Option(help="How often to retry when it fails.")]
Backoff = Annotated[float, typer.Option(help="Seconds before the first retry; each further wait is longer.")]
NotifyEmail = Annotated[
    list[str] | None, typer.Option(metavar="ADDRESS", help="Send an e-mail when it ends; may be repeated.")
]
NotifyWebhook = Annotated[
    list[str] | None, typer.Option(metavar="URL", help="Send a webhook when it ends; may be repeated.")
]
NotifyOn = Annotated[
    str,
    typer.Option(
        help="When to notify: always, failure, first_failure, recovery, or several, separated by commas."
    ),
]


_NAME_LENGTH = 40


def command_text(command: str | None, file: Path | None) -> str:
    """The command, from the argument, the file or standard input."""
    if file is not None and command is not None:
        fail("Give either a command or --file, not both.")
    if file is not None:
        try:
            return file.read_bytes().decode()
        except (OSError, ValueError) as error:
            fail(f"{file} cannot be read: {error}")
    return _from_stdin() if command in (None, "-") else str(command)


def _from_stdin() -> str:
    try:
        return read_in()
    except (OSError, ValueError) as error:
        fail(f"The command cannot be read from standard input: {error}")


def name_of(command: str) -> str:
    """The default name of a job: its first words, without a first line such as ``#!/bin/sh``.

    The page uses the same rule (``nameOf`` in ``core/submission.js``).
    """
    text = command.removeprefix("\ufeff")
    if text.startswith("#!"):
        text = text.partition("\n")[2].strip() or text
    words = " ".join(text.split())
    return "".join(each for each in words[:_NAME_LENGTH] if each.isprintable()).strip() or "job"


def retry_policy(retries: int, backoff: float) -> RetryPolicy | None:
    if not retries:
        return None
    from pydantic import ValidationError  # noqa: PLC0415 - every other command would wait for it

    from ..model.job import RetryPolicy  # noqa: PLC0415 - the same

    try:
        return RetryPolicy(count=retries, backoff_seconds=backoff)
    except ValidationError as error:
        fault = error.errors()[0]
        fail(f"--{'retries' if fault['loc'][0] == 'count' else 'backoff'} {what_is_wrong(fault)}.")


def notices(emails: Sequence[str] | None, webhooks: Sequence[str] | None, on: str) -> list[dict[str, Any]]:
    """The request's field ``notify``."""
    events = [each.strip() for each in on.split(",")]
    when: Any = events[0] if len(events) == 1 else events
    by_mail = [{"channel": "email", "to": list(emails), "on": when}] if emails else []
    return by_mail + [{"channel": "webhook", "url": url, "on": when} for url in webhooks or []]


def job_body(
    *,
    command: str | None = None,
    mode: ExecutionMode | None = None,
    name: str | None = None,
    interpreter: InterpreterName | None = None,
    description: str = "",
    timeout: float | None = None,
    priority: int | None = None,
    concurrency_key: str | None = None,
    labels: Sequence[str] | None = None,
    retry: RetryPolicy | None = None,
    notify: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """The request's fields that were given, in camelCase."""
    fields = {
        "jobName": name,
        "command": command,
        "executionMode": mode.value if mode else None,
        "interpreter": interpreter.value if interpreter else None,
        "description": description or None,
        "timeoutSeconds": timeout,
        "priority": priority,
        "concurrencyKey": concurrency_key,
        "labels": list(labels) if labels else None,
        "retry": retry.model_dump(mode="json", by_alias=True) if retry else None,
        "notify": notify or None,
    }
    return {field: value for field, value in fields.items() if value is not None}
