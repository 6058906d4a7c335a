"""Adds the summaries of all attempts to a result. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...model.job import AttemptSummary, JobResult


def with_attempts(result: JobResult, earlier: Iterable[dict[str, Any]]) -> JobResult:
    """`result` with a summary of each attempt: of the earlier stored results, and of its own."""
    records = [*earlier, result.to_record()]
    summaries = tuple(AttemptSummary.model_validate(_summary(each)) for each in records)
    return result.model_copy(update={"attempts": summaries})


def _summary(record: dict[str, Any]) -> dict[str, Any]:
    names = ("Attempt", "DateStarted", "DateCompleted", "Runtime", "Status", "ExitCode")
    return {name: record.get(name) for name in names}
