"""The last look at a submission before its job runs: its user's rights, its template's, and the limits."""

from __future__ import annotations

from collections.abc import Collection

from ..config import JobsConfig
from ..engine.base import ClaimedJob
from ..model.job import InterpreterName
from .limits import require_within_limits
from .recheck import RightsCheck
from .templates import TemplateRights


class PickUpCheck:
    """Asked with each job that was picked up; raises a `JobsError` when it may not run."""

    def __init__(
        self,
        config: JobsConfig,
        rights: RightsCheck,
        templates: TemplateRights,
        interpreters: Collection[InterpreterName],
    ) -> None:
        self._config = config
        self._rights = rights
        self._templates = templates
        self._interpreters = interpreters

    async def __call__(self, claimed: ClaimedJob) -> None:
        submission = claimed.submission
        if submission.template_id is None:
            await self._rights(submission)
        else:
            await self._templates.recheck(submission)
        if claimed.accepted_here:
            return  # by this very configuration
        require_within_limits(
            self._config,
            self._interpreters,
            job_name=submission.job_name,
            command=submission.command,
            description=submission.description,
            interpreter=submission.interpreter or self._config.default_interpreter,
            timeout_seconds=submission.timeout_seconds,
        )
