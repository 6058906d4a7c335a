"""The last check of a submission before its job runs: rights and limits, as they are now."""

from __future__ import annotations

from ..engine.base import ClaimedJob
from ..errors import ForbiddenError
from ..model.functions import FROM_CODE
from .current_roles import RightsCheck
from .functions import FunctionRights
from .limits import LimitPolicy
from .templates import TemplateRights


class PickUpCheck:
    """Called with each job that was picked up; raises a `JobsError` when it may not run.

    Without `limits`, limits are not checked again.
    """

    def __init__(
        self,
        limits: LimitPolicy | None,
        rights: RightsCheck,
        templates: TemplateRights,
        functions: FunctionRights,
    ) -> None:
        self._limits = limits
        self._rights = rights
        self._templates = templates
        self._functions = functions

    async def __call__(self, claimed: ClaimedJob) -> None:
        submission = claimed.submission
        if submission.function is not None:
            await self._functions.recheck(claimed, submission.function)
        elif submission.submitted_with == FROM_CODE:
            raise ForbiddenError("The host's own code submits functions, and this is none of them.")
        elif submission.template_id is None:
            await self._rights(submission)
        else:
            await self._templates.recheck(submission)
        if claimed.accepted_here or self._limits is None:
            return  # by this very configuration, or by one that need not be this worker's
        self._limits.require_within(submission, submission.job_name)
