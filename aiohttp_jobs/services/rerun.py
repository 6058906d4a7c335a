"""Reruns: submits a job again as the caller's own, with the caller's rights."""

from __future__ import annotations

from pydantic import ValidationError

from ..access.policy import AccessPolicy
from ..errors import ConflictError, InvalidFieldsError, NotFoundError
from ..model.functions import FunctionRunRequest
from ..model.identity import Identity
from ..model.job import DEFAULT_PRIORITY, Submission, SubmitRequest
from ..model.template import RunRequest
from .functions import FunctionService
from .jobs import JobService
from .templates import TemplateService

_GONE = "The template that this job was made from is gone, or is not yours to run any more."
_SECRETS = (
    "This job was given secret values, which are not kept once it has ended. Run its template anew, "
    "with POST /templates/{id}/run and the values."
)

_FUNCTION_GONE = "The function that this job ran is gone, or is not yours to run any more."
_FUNCTION_SECRETS = (
    "This job was given secret values, which are not kept once it has ended. Run its function anew, "
    "with POST /functions/{name}/run and the values."
)


class Reruns:
    """Submits waiting, running or ended jobs again."""

    def __init__(
        self,
        policy: AccessPolicy,
        jobs: JobService,
        templates: TemplateService,
        functions: FunctionService,
    ) -> None:
        self._policy = policy
        self._functions = functions
        self._jobs = jobs
        self._templates = templates

    async def rerun(self, identity: Identity, job_id: str) -> Submission:
        """Submit the job again, to start as soon as possible; its priority is limited to what the caller may
        use.

        Raises what reading and submitting the job raise, and `ConflictError` when it cannot be reconstructed.
        """
        old = await self._jobs.submission(identity, job_id)
        highest = self._policy.highest_priority(identity.roles)
        if old.function is not None:
            return await self._of_function(identity, old, old.function, highest)
        if old.template_id is not None:
            return await self._from_template(identity, old, old.template_id, highest)
        shared = SubmitRequest.model_fields.keys() & Submission.model_fields.keys() - {"run_at"}
        fields = {field: getattr(old, field) for field in shared}
        try:
            request = SubmitRequest.model_validate({**fields, "priority": min(old.priority, highest)})
        except ValidationError:
            raise ConflictError("What was submitted as this job was not valid.") from None
        return await self._jobs.submit(identity, request)

    async def _of_function(self, identity: Identity, old: Submission, name: str, highest: int) -> Submission:
        if old.sealed_values is not None:
            raise ConflictError(_FUNCTION_SECRETS.replace("{name}", name))
        run = FunctionRunRequest(
            values=old.function_values or {},
            execution_mode=old.execution_mode,
            job_name=old.job_name,
            description=old.description,
            priority=_own_priority(old, highest),
            timeout_seconds=old.timeout_seconds,
            labels=old.labels,
            retry=old.retry,
            notify=old.notify,
        )
        try:
            return await self._functions.run(identity, name, run)
        except NotFoundError:
            raise ConflictError(_FUNCTION_GONE) from None
        except InvalidFieldsError as error:
            raise ConflictError(f"The function no longer takes what this job has: {error}") from None

    async def _from_template(
        self, identity: Identity, old: Submission, template_id: str, highest: int
    ) -> Submission:
        if old.sealed_values is not None:
            raise ConflictError(_SECRETS.replace("{id}", template_id))
        run = RunRequest(
            values=dict(old.template_values or {}),
            job_name=old.job_name,
            priority=_own_priority(old, highest),
        )
        try:
            return await self._templates.run(identity, template_id, run)
        except NotFoundError:
            raise ConflictError(_GONE) from None
        except InvalidFieldsError as error:
            raise ConflictError(f"The template has changed and no longer takes this job's: {error}") from None


def _own_priority(old: Submission, highest: int) -> int | None:
    """The job's own priority. Without one it has that of what it was made from, which need not be allowed."""
    return old.priority if old.priority <= highest and old.priority != DEFAULT_PRIORITY else None
