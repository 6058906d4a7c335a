"""TemplateService: creates, lists, replaces, deletes and runs templates, with the caller's rights.

`JobService` submits the jobs; ``model.parameters`` validates the values.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any
from uuid import uuid4

from ..access.limits import LimitPolicy
from ..access.policy import AccessPolicy
from ..access.templates import TemplateRights, may_run
from ..config import JobsConfig
from ..engine.base import RecordStore
from ..errors import ForbiddenError, InvalidFieldsError, NotFoundError
from ..model.identity import Identity
from ..model.job import Submission, TemplateOrigin, new_job_id, utc_now
from ..model.parameters import (
    RunValues,
    check_values,
    require_few_lines,
    require_size,
    saving_faults,
)
from ..model.record import owned_by
from ..model.template import RunRequest, Template, TemplateRequest
from ..system.one_by_one import one_by_one
from ..system.secret_box import Vault
from .jobs import JobService

_HIDDEN = frozenset({"Roles", "SubmittedWith", "SessionID"})


class TemplateService:
    """What a user can do with templates. Every method takes the caller's `Identity`.

    A template that the caller may neither run nor edit does not exist for them.
    """

    def __init__(
        self,
        config: JobsConfig,
        policy: AccessPolicy,
        limits: LimitPolicy,
        store: RecordStore[Template],
        rights: TemplateRights,
        jobs: JobService,
        vault: Vault,
    ) -> None:
        self._config = config
        self._policy = policy
        self._limits = limits
        self._store = store
        self._rights = rights
        self._jobs = jobs
        self._vault = vault
        self.on_deleted: Callable[[str], Awaitable[None]] = _nothing
        """Is told of each template that was deleted."""

    async def create(self, identity: Identity, request: TemplateRequest) -> dict[str, Any]:
        """Create a template for the caller; return it as the API shows it.

        Raises `ForbiddenError`, `InvalidFieldsError`, `TooLargeError`, or `TooManyKeptError`.
        """
        self._require_writable(identity, request)
        await self._require_usable_parameters(request)
        now = utc_now()
        template = self._written(identity, request, str(uuid4()), created_at=now, now=now)
        await self._store.in_thread(
            self._store.add, template, self._config.max_templates_per_user, self._config.max_templates
        )
        return self._view(identity, template)

    async def list_templates(self, identity: Identity) -> list[dict[str, Any]]:
        """The templates that the caller may run or edit, oldest first."""
        every = await self._store.in_thread(self._store.all)
        visible = [each for each in every if self._is_visible(identity, each)]
        return await one_by_one(partial(self._view, identity), visible)

    async def get(self, identity: Identity, template_id: str) -> dict[str, Any]:
        """One template as the API shows it. Raises `NotFoundError`."""
        return self._view(identity, await self._visible(identity, template_id))

    async def require_editor(self, identity: Identity, template_id: str) -> None:
        """Raise `NotFoundError` or `ForbiddenError` unless the caller may edit this template."""
        self._require_editor(identity, await self._visible(identity, template_id))

    async def require_runner(self, identity: Identity, template_id: str) -> None:
        """Raise `NotFoundError` or `ForbiddenError` unless the caller may run this template."""
        await self._runnable(identity, template_id)

    async def replace(self, identity: Identity, template_id: str, request: TemplateRequest) -> dict[str, Any]:
        """Replace a template. The caller becomes its owner, and it runs with their rights behind it.

        Raises `NotFoundError` and whatever `create` raises.
        """
        await self.require_editor(identity, template_id)
        self._require_writable(identity, request)
        await self._require_usable_parameters(request)
        now = utc_now()

        def written(current: Template) -> Template:
            self._require_editor(identity, current)
            return self._written(identity, request, template_id, created_at=current.created_at, now=now)

        return self._view(identity, await self._store.in_thread(self._store.change, template_id, written))

    async def delete(self, identity: Identity, template_id: str) -> None:
        """Delete a template; its waiting jobs will be rejected.

        Raises `NotFoundError` or `ForbiddenError`.
        """
        await self.require_editor(identity, template_id)
        await self._store.in_thread(self._store.remove, template_id)
        await self.on_deleted(template_id)

    async def run(
        self,
        identity: Identity,
        template_id: str,
        request: RunRequest,
        *,
        job_id: str | None = None,
        trigger_id: str | None = None,
    ) -> Submission:
        """Submit a job of the template as the caller's. `trigger_id` is the trigger that submits it, if any.

        Raises `NotFoundError`, `ForbiddenError`, `InvalidFieldsError`, `TooLargeError`, `TooManyPendingError`
        or `ShuttingDownError`.
        """
        template, values = await self._run_checked(identity, template_id, request)
        job_id = job_id or new_job_id()
        sealed = await asyncio.to_thread(self._vault.seal, job_id, values.secret) if values.secret else None
        # Runs of one template exclude each other, whoever runs it.
        owner = template.user_id if template.concurrency_key else None
        origin = TemplateOrigin(
            template_id=template_id,
            template_digest=template.digest,
            template_values=values.plain,
            sealed_values=sealed,
            concurrency_owner=owner,
            trigger_id=trigger_id,
        )
        return await self._jobs.submit_approved(identity, template.submission(request), origin, job_id)

    async def require_run(self, identity: Identity, template_id: str, request: RunRequest) -> None:
        """Raise what `run` would raise about rights and values."""
        await self._run_checked(identity, template_id, request)

    async def _run_checked(
        self, identity: Identity, template_id: str, request: RunRequest
    ) -> tuple[Template, RunValues]:
        template = await self._runnable(identity, template_id)
        self._policy.require_priority(identity.roles, request.priority)
        return template, await asyncio.to_thread(_checked, template, request)

    async def _visible(self, identity: Identity, template_id: str) -> Template:
        template = await self._store.in_thread(self._store.get, template_id)
        if not self._is_visible(identity, template):
            raise NotFoundError(f"There is no template {template_id}.")
        return template

    async def _runnable(self, identity: Identity, template_id: str) -> Template:
        template = await self._visible(identity, template_id)
        if not may_run(template, identity.user_id, identity.roles):
            raise ForbiddenError("Your roles do not allow you to run this template.")
        await self._rights.require_owner(template)
        return template

    def _is_visible(self, identity: Identity, template: Template) -> bool:
        return may_run(template, identity.user_id, identity.roles) or self._may_edit(identity, template)

    def _may_edit(self, identity: Identity, template: Template) -> bool:
        is_theirs = self._policy.is_own_or("manage_all_templates", identity, template.user_id)
        return is_theirs and self._policy.allows(identity.roles, "manage_templates")

    def _require_editor(self, identity: Identity, template: Template) -> None:
        if not self._may_edit(identity, template):
            raise ForbiddenError("This template is not yours to change.")

    def _require_writable(self, identity: Identity, request: TemplateRequest) -> None:
        """Raise what submitting the command now would raise: nobody saves what they may not run."""
        self._policy.require(identity.roles, "manage_templates")
        mode, key, priority = request.execution_mode, request.concurrency_key, request.priority
        self._policy.require_run(identity.roles, mode, key, priority)
        self._limits.require_within(request, request.name, request.notify, name_field="name")

    async def _require_usable_parameters(self, request: TemplateRequest) -> None:
        interpreter = self._limits.interpreter_of(request)
        if faults := await asyncio.to_thread(saving_faults, request.parameters, interpreter):
            raise InvalidFieldsError.of(faults)

    def _written(
        self,
        identity: Identity,
        request: TemplateRequest,
        template_id: str,
        *,
        created_at: datetime,
        now: datetime,
    ) -> Template:
        asked = {field: getattr(request, field) for field in TemplateRequest.model_fields}
        # Settled now: a command does not change its language when the server's default does.
        asked["interpreter"] = self._limits.interpreter_of(request)
        return Template(
            template_id=template_id,
            **owned_by(identity),
            created_at=created_at,
            updated_at=now,
            updated_by=identity.user_id,
            **asked,
        )

    def _view(self, identity: Identity, template: Template) -> dict[str, Any]:
        shown = {name: value for name, value in template.to_record().items() if name not in _HIDDEN}
        return {
            **shown,
            "MayRun": may_run(template, identity.user_id, identity.roles),
            "MayEdit": self._may_edit(identity, template),
            **({"Problem": template.problem} if template.problem is not None else {}),
        }


async def _nothing(_template_id: str) -> None:
    """Nobody has to be told."""


def _checked(template: Template, request: RunRequest) -> RunValues:
    """Raises `InvalidFieldsError`. What is too long is not matched, as that could take seconds."""
    require_size(len(json.dumps(request.values, ensure_ascii=False)))
    values = check_values(template.parameters, request.values)
    require_size(len(values.to_json()))
    require_few_lines(values.secret.values())
    return values
