"""TriggerService: creates, lists, rotates and removes triggers, with the caller's rights.

Deliveries to them are handled in ``trigger_deliveries``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from ..access.policy import AccessPolicy
from ..access.trigger_proofs import new_secret
from ..config import JobsConfig
from ..engine.base import RecordStore
from ..errors import ForbiddenError, InvalidFieldsError, NotFoundError, field_error
from ..model.identity import Identity
from ..model.job import format_utc, utc_now
from ..model.parameters import ParameterType
from ..model.record import owned_by
from ..model.template_trigger import TemplateTrigger, TemplateTriggerRequest
from ..system.secret_box import Vault
from .templates import TemplateService

_HIDDEN = frozenset({"Roles", "SubmittedWith", "SessionID", "SealedSecret", "Deliveries"})
SECRET = "secret"  # noqa: S105 - the name of a value


class TriggerService:
    """What a user can do with triggers. Every method takes the caller's `Identity`.

    A trigger belongs to its creator. Users who may edit its template, or manage all triggers, can see and
    remove it too.
    """

    def __init__(
        self,
        config: JobsConfig,
        policy: AccessPolicy,
        store: RecordStore[TemplateTrigger],
        templates: TemplateService,
        vault: Vault,
    ) -> None:
        self._config = config
        self._policy = policy
        self._store = store
        self._templates = templates
        self._vault = vault

    async def require_maker(self, identity: Identity, template_id: str) -> None:
        """Raise `NotFoundError` or `ForbiddenError` unless the caller may create a trigger for this
        template.
        """
        self._policy.require(identity.roles, "manage_triggers")
        await self._templates.require_runner(identity, template_id)

    async def create(
        self, identity: Identity, template_id: str, request: TemplateTriggerRequest
    ) -> tuple[dict[str, Any], str]:
        """Create a trigger for the caller; return it as the API shows it, and its secret, which is not shown
        again.

        Raises `NotFoundError`, `ForbiddenError`, `InvalidFieldsError` or `TooManyKeptError`.
        """
        await self.require_maker(identity, template_id)
        template = await self._templates.get(identity, template_id)
        _require_parameters(request, {each["name"]: each["type"] for each in template["Parameters"]})
        trigger_id, now = str(uuid4()), utc_now()
        secret, sealed = await self._new_secret(trigger_id)
        trigger = TemplateTrigger(
            trigger_id=trigger_id,
            template_id=template_id,
            **owned_by(identity),
            **{field: getattr(request, field) for field in TemplateTriggerRequest.model_fields},
            sealed_secret=sealed,
            created_at=now,
            rotated_at=now,
        )
        await self._store.in_thread(
            self._store.add, trigger, self._config.max_triggers_per_user, self._config.max_triggers
        )
        return self._view(identity, trigger), secret

    async def of_template(self, identity: Identity, template_id: str) -> list[dict[str, Any]]:
        """The triggers of one template that the caller may see, oldest first. Raises `NotFoundError`."""
        may_edit = (await self._templates.get(identity, template_id))["MayEdit"]
        every = await self._store.in_thread(self._store.all)
        found = [each for each in every if each.template_id == template_id]
        return [self._view(identity, each) for each in found if may_edit or self._is_theirs(identity, each)]

    async def require_changeable(self, identity: Identity, trigger_id: str) -> None:
        """Raise `NotFoundError`, or `ForbiddenError` unless the trigger is the caller's own."""
        self._policy.require(identity.roles, "manage_triggers")
        _require_owner(identity, await self._visible(identity, trigger_id))

    async def set_enabled(self, identity: Identity, trigger_id: str, enabled: bool) -> dict[str, Any]:
        """Enable or disable a trigger; a disabled one refuses deliveries.

        Raises what `require_changeable` raises.
        """
        await self.require_changeable(identity, trigger_id)
        news = {"enabled": enabled}
        changed = await self._store.in_thread(
            self._store.change, trigger_id, lambda old: old.model_copy(update=news)
        )
        return self._view(identity, changed)

    async def rotate(self, identity: Identity, trigger_id: str) -> str:
        """Replace the secret; the old one is invalid at once. Raises what `require_changeable` raises."""
        await self.require_changeable(identity, trigger_id)
        secret, sealed = await self._new_secret(trigger_id)
        news = {"sealed_secret": sealed, "rotated_at": utc_now()}
        await self._store.in_thread(self._store.change, trigger_id, lambda old: old.model_copy(update=news))
        return secret

    async def delete(self, identity: Identity, trigger_id: str) -> None:
        """Delete a trigger; jobs that it has submitted go on. Raises `NotFoundError`."""
        await self._visible(identity, trigger_id)
        await self._store.in_thread(self._store.remove, trigger_id)

    async def forget_template(self, template_id: str) -> None:
        """Remove the triggers of a template that was deleted."""
        for trigger in await self._store.in_thread(self._store.all):
            if trigger.template_id == template_id:
                try:
                    await self._store.in_thread(self._store.remove, trigger.trigger_id)
                except NotFoundError:
                    continue

    async def _new_secret(self, trigger_id: str) -> tuple[str, str]:
        secret = new_secret()
        return secret, await asyncio.to_thread(self._vault.seal, trigger_id, {SECRET: secret})

    async def _visible(self, identity: Identity, trigger_id: str) -> TemplateTrigger:
        trigger = await self._store.in_thread(self._store.get, trigger_id)
        if not self._is_theirs(identity, trigger) and not await self._may_edit(identity, trigger):
            raise NotFoundError(f"There is no trigger {trigger_id}.")
        return trigger

    async def _may_edit(self, identity: Identity, trigger: TemplateTrigger) -> bool:
        try:
            template = await self._templates.get(identity, trigger.template_id)
        except NotFoundError:
            return False
        return bool(template["MayEdit"])

    def _is_theirs(self, identity: Identity, trigger: TemplateTrigger) -> bool:
        return self._policy.is_own_or("manage_all_triggers", identity, trigger.user_id)

    def _view(self, identity: Identity, trigger: TemplateTrigger) -> dict[str, Any]:
        shown = {name: value for name, value in trigger.to_record().items() if name not in _HIDDEN}
        last = trigger.deliveries[-1] if trigger.deliveries else None
        return {
            **shown,
            "LastUsedAt": None if last is None else format_utc(datetime.fromtimestamp(last.at, UTC)),
            "LastJobID": None if last is None else last.job,
            "MayRotate": trigger.user_id == identity.user_id,
        }


def _require_owner(identity: Identity, trigger: TemplateTrigger) -> None:
    if trigger.user_id != identity.user_id:
        raise ForbiddenError("This trigger is not yours: only its owner, as whom it runs, can change it.")


def _require_parameters(request: TemplateTriggerRequest, kinds: Mapping[str, str]) -> None:
    """Raise `InvalidFieldsError` for what is no parameter of the template, is given twice, or is secret.

    `kinds` are the parameters' types. A secret that is a fixed value would be kept, and shown, as it is.
    """
    faults = [
        field_error(f"{field}.{name}", "is not a parameter of this template")
        for field, given in (("paths", request.paths), ("values", request.values))
        for name in given
        if name not in kinds
    ]
    faults += [
        field_error(f"values.{name}", "is a secret, which a trigger cannot keep: give it a path")
        for name in request.values
        if kinds.get(name) == ParameterType.SECRET
    ]
    twice = request.paths.keys() & request.values.keys()
    faults += [field_error(f"values.{name}", "has a path already") for name in sorted(twice)]
    if faults:
        raise InvalidFieldsError.of(faults)
