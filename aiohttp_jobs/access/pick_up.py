"""The last look at a submission before its job runs: its user's rights, its template's, and the limits."""

from __future__ import annotations

from ..engine.base import ClaimedJob
from ..errors import ForbiddenError
from .limits import LimitPolicy
from .recheck import RightsCheck
from .templates import TemplateRights


class PickUpCheck:
    """Asked with each job that was picked up; raises a `JobsError` when it may not run."""

    def __init__(self, limits: LimitPolicy, rights: RightsCheck, templates: TemplateRights) -> None:
        self._limits = limits
        self._rights = rights
        self._templates = templates

    async def __call__(self, claimed: ClaimedJob) -> None:
        submission = claimed.submission
        if submission.function is not None:
            raise ForbiddenError("This server runs no functions yet.")
        if submission.template_id is None:
            await self._rights(submission)
        else:
            await self._templates.recheck(submission)
        if claimed.accepted_here:
            return  # by this very configuration
        self._limits.require_within(submission, submission.job_name)
