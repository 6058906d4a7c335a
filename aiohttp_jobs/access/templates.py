"""Who may run a template, and whether its owner may still run its command, at submission and at pick-up."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from ..engine.base import RecordStore
from ..errors import ForbiddenError, NotFoundError
from ..model.job import Submission
from ..model.roles import effective_roles
from ..model.template import Template
from ..system.secret_box import Vault
from .current_roles import RightsCheck
from .policy import AccessPolicy


def may_run(template: Template, user_id: str, roles: Collection[str]) -> bool:
    """Whether someone with `roles` may run the template: its owner always, others with one of its roles."""
    return template.user_id == user_id or bool(effective_roles(roles) & frozenset(template.run_roles))


class TemplateRights:
    """Raises `ForbiddenError` for a template that may not be run, and for its jobs when they are picked
    up.
    """

    def __init__(
        self, policy: AccessPolicy, store: RecordStore[Template], rights: RightsCheck, vault: Vault
    ) -> None:
        self._policy = policy
        self._store = store
        self._rights = rights
        self._vault = vault

    async def require_owner(self, template: Template) -> None:
        """Raise `ForbiddenError` unless the template's owner may still run its command and the template is
        valid.
        """
        if template.problem is not None:
            raise ForbiddenError(template.problem)
        try:
            roles = await self._rights.roles(template)
            self._policy.require_run(roles, template.execution_mode, template.concurrency_key)
        except ForbiddenError:
            raise ForbiddenError(
                "Whoever wrote this template may no longer run such commands, so it does not run. "
                "Let somebody who may look it through and save it again."
            ) from None

    async def recheck(self, submission: Submission) -> None:
        """Check a template's job again at pick-up, instead of its submitter's right to submit commands."""
        try:
            template = await self._store.in_thread(self._store.get, submission.template_id or "")
        except NotFoundError:
            raise ForbiddenError("The template of this job was deleted before the job ran.") from None
        if submission.template_digest != template.digest or not _says(template, submission):
            raise ForbiddenError("The template of this job was changed before the job ran. Run it anew.")
        roles = await self._rights.roles(submission)
        if not may_run(template, submission.user_id, roles):
            raise ForbiddenError("Your roles no longer allow you to run this template.")
        await self.require_owner(template)
        if submission.sealed_values is not None:
            await asyncio.to_thread(self._vault.unseal, submission.job_id, submission.sealed_values)


def _says(template: Template, submission: Submission) -> bool:
    return (template.command, template.execution_mode, template.interpreter) == (
        submission.command,
        submission.execution_mode,
        submission.interpreter,
    )
