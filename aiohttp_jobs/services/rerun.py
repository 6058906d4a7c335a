"""Running a job again: what it ran, submitted anew as the caller's own, with the caller's own rights."""

from __future__ import annotations

from pydantic import ValidationError

from ..access.policy import AccessPolicy
from ..errors import ConflictError, InvalidFieldsError, NotFoundError
from ..model.identity import Identity
from ..model.job import DEFAULT_PRIORITY, Submission, SubmitRequest
from ..model.template import RunRequest
from .jobs import JobService
from .templates import TemplateService

_GONE = "The template that this job was made from is gone, or is not yours to run any more."
_SECRETS = (
    "This job was given secret values, which are not kept once it has ended. Run its template anew, "
    "with POST /templates/{id}/run and the values."
)


class Reruns:
    """Submits jobs again, from wherever they are: waiting, running, ended."""

    def __init__(self, policy: AccessPolicy, jobs: JobService, templates: TemplateService) -> None:
        self._policy = policy
        self._jobs = jobs
        self._templates = templates

    async def rerun(self, identity: Identity, job_id: str) -> Submission:
        """The new job. It starts as soon as it can; its priority is at most what the caller may use.

        Raises what reading the job and what submitting it raise, and `ConflictError` when it cannot be
        put together again.
        """
        old = await self._jobs.submission(identity, job_id)
        highest = self._policy.highest_priority(identity.roles)
        if old.template_id is not None:
            return await self._from_template(identity, old, old.template_id, highest)
        shared = SubmitRequest.model_fields.keys() & Submission.model_fields.keys() - {"run_at"}
        fields = {field: getattr(old, field) for field in shared}
        try:
            request = SubmitRequest.model_validate({**fields, "priority": min(old.priority, highest)})
        except ValidationError:
            raise ConflictError("What was submitted as this job was not valid.") from None
        return await self._jobs.submit(identity, request)

    async def _from_template(
        self, identity: Identity, old: Submission, template_id: str, highest: int
    ) -> Submission:
        if old.sealed_values is not None:
            raise ConflictError(_SECRETS.replace("{id}", template_id))
        run = RunRequest(
            values=dict(old.template_values or {}),
            job_name=old.job_name,
            # Without one of its own a job has its template's, which is not the caller's to be allowed.
            priority=old.priority if old.priority <= highest and old.priority != DEFAULT_PRIORITY else None,
        )
        try:
            return await self._templates.run(identity, template_id, run)
        except NotFoundError:
            raise ConflictError(_GONE) from None
        except InvalidFieldsError as error:
            raise ConflictError(f"The template has changed and no longer takes this job's: {error}") from None
