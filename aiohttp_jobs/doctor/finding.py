"""The result of a check, and how severe it is. The command line prints it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """The severity of a finding: a warning may be intended, a problem is not."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


_ORDER = tuple(Status)


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    `check` is a stable name for scripts, `message` a sentence that says what was found, `advice` one that
    says what to do, empty when there is nothing to do.
    """

    check: str
    status: Status
    message: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.message} {self.advice}".strip()


def worst(findings: Iterable[Finding]) -> Status:
    """The most severe status among `findings`; ``OK`` when there are none."""
    return max((finding.status for finding in findings), key=_ORDER.index, default=Status.OK)
