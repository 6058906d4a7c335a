"""The messages to a PowerShell host and its answers: JSON lines, as in ``child/host.ps1``.

A job takes two: what it is, and, once it may run, where it does, which may also be said in between. The first
is rows of texts, which PowerShell parses fast; a template's typed values are JSON within.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...model.job import Submission
from ...system.jsontext import dumps, loads
from ..base import Parameters
from ..process.process import INSTANCE_VARIABLE

STOP = b'{"stop":true}\n'
"""Stops the job that runs, or takes back the one that was to."""
STOPPING = b'{"stopping": true}\n'
"""The pipeline is being stopped, and waits for something: a program, or its own ``finally``."""
_FIELDS = (
    "JobID",
    "UserID",
    "SessionID",
    "JobName",
    "Command",
    "Description",
    "ExecutionMode",
    "SubmittedAt",
)
_RUNNING_FIELDS = ("JobID", "UserID", "JobName", "StartedAt")
_SOME_TIME = "2026-01-01T00:00:00Z"
_EXIT_CODES = range(256)
_VERSION = re.compile(r"(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Session:
    """What all PowerShell jobs of this host have in common.

    `width` is the number of columns of a table, `is_text` shows objects by ``ToString()``, `project_root` is
    ``$PSWebServer.Project_Root``, and `environment` the environment of their processes.
    """

    environment: Mapping[str, str]
    width: int = 120
    is_text: bool = False
    project_root: str = "/"


@dataclass(frozen=True, slots=True)
class Answer:
    """How a job ended, and whether its process can run another."""

    exit_code: int
    is_reusable: bool


def request(
    submission: Submission | None,
    environment: Mapping[str, str],
    parameters: Parameters,
    session: Session,
    running: Iterable[Mapping[str, Any]],
) -> bytes:
    """The message that has a job prepared: nothing of it runs before `go`.

    `environment` is its whole environment. `running` is what ``$PSWebServer.Runspaces`` shows, by ``JobID``.
    """
    known = session.environment
    own = {
        name: value
        for name, value in environment.items()
        if known.get(name) != value and name != INSTANCE_VARIABLE
    }
    variables = {**own, **parameters.environment()}
    values = dict(parameters.values)
    record = _record(submission)
    return (
        dumps(
            [
                [session.project_root, "text" if session.is_text else ""],
                [part for pair in variables.items() for part in pair],
                [record[name] for name in _FIELDS] if record else [],
                record.get("Roles", []),
                [dumps(values).decode()] if values else [],
                [job.get(name) for job in running for name in _RUNNING_FIELDS],
            ]
        )
        + b"\n"
    )


def go(token: str, command_file: str | None, folder: str | None) -> bytes:
    """The message that runs the prepared job in `folder`, or in its session's folder; `place` may have said
    both before.

    The answer repeats `token`, which earlier code in the process cannot know.
    """
    return dumps([token, command_file, folder]) + b"\n"


def place(command_file: str, folder: str) -> bytes:
    """The message that says where the prepared job will run, so that all is ready by then."""
    return dumps([None, command_file, folder]) + b"\n"


def practice(script: str, token: str) -> bytes:
    """Messages like those of a job, which run the warm-up `script` before there is any job."""
    submission = [""] * (len(_FIELDS) - 1) + [_SOME_TIME]
    rows = [
        ["/", ""],
        ["AIOHTTP_JOBS_JOB_ID", ""],
        submission,
        [""],
        [],
        [""] * len(_RUNNING_FIELDS),
    ]
    return dumps(rows) + b"\n" + place(script, "/") + go(token, None, None)


def _record(submission: Submission | None) -> dict[str, Any]:
    """The record that ``$JobSubmission`` is made of, with the specification's names."""
    return {} if submission is None else submission.model_dump(mode="json", by_alias=True)


def read_version(line: bytes) -> tuple[int, int] | None:
    """The version that a host reports when it is ready; ``None`` for any other message."""
    try:
        found = _VERSION.match(loads(line)["version"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return (int(found[1]), int(found[2])) if found else None


def read_answer(line: bytes, token: str) -> Answer | None:
    """Parse the answer to the request with this `token`; ``None`` for anything else, which an earlier job's
    code may have sent.
    """
    try:
        answer = loads(line)
        if answer["token"] != token:
            return None
        code, is_reusable = answer["exit_code"], answer["reusable"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if not isinstance(code, int) or code not in _EXIT_CODES:
        return None
    return Answer(int(code), is_reusable is True)
