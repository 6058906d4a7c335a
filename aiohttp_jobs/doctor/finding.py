"""What a check has found, and how bad that is. How it is shown is left to the command line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How bad a finding is: a warning may be wanted, a problem is not."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


_ORDER = tuple(Status)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check has looked at.

    `check` is a stable name for scripts, `message` a sentence that says what is so, `advice` one that says
    what to do about it, empty when there is nothing to do.
    """

    check: str
    status: Status
    message: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.message} {self.advice}".strip()


def worst(findings: Iterable[Finding]) -> Status:
    """The worst status among `findings`; ``OK`` when there are none."""
    return max((finding.status for finding in findings), key=_ORDER.index, default=Status.OK)
