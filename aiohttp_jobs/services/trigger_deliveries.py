"""TriggerDeliveries: authenticates what other programs send to triggers, and submits the templates' jobs.

A sender who does not know the secret learns nothing, not even whether the trigger exists.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from ..access.current_roles import RightsCheck
from ..access.policy import AccessPolicy
from ..access.trigger_proofs import Proven, new_secret, prove
from ..config import JobsConfig
from ..engine.base import JobHistory, JobQueue, RecordStore
from ..errors import ForbiddenError, JobsError, LimitReachedError, NotFoundError
from ..model.identity import Identity
from ..model.job import new_job_id, utc_now
from ..model.parameters import ParameterType
from ..model.payload_paths import value_at
from ..model.template import RunRequest
from ..model.template_trigger import TemplateTrigger, TriggerDelivery, TriggerProof
from ..system.secret_box import Vault
from .templates import TemplateService
from .triggers import SECRET

_logger = logging.getLogger(__name__)


class TriggerBusyError(LimitReachedError):
    """This trigger is used more often than it may be. Try again when the time has passed."""

    def __init__(self, most: int, seconds: int) -> None:
        super().__init__(
            "max_trigger_deliveries_per_minute",
            most=most,
            used=most,
            what="deliveries of this trigger in the last minute",
            advice="Send it again later.",
            of_all=True,
        )
        self.retry_after = seconds


@dataclass(frozen=True, slots=True)
class Delivered:
    """The outcome of a delivery.

    `job_id` is ``None`` for a payload that does not meet the trigger's conditions; `is_new` is false for a
    repeated delivery.
    """

    job_id: str | None
    is_new: bool


class TriggerDeliveries:
    """Accepts the deliveries of all triggers, and records them in `store` to recognize repeated ones."""

    def __init__(
        self,
        config: JobsConfig,
        policy: AccessPolicy,
        store: RecordStore[TemplateTrigger],
        templates: TemplateService,
        rights: RightsCheck,
        queue: JobQueue,
        history: JobHistory,
        vault: Vault,
    ) -> None:
        self._config = config
        self._policy = policy
        self._store = store
        self._templates = templates
        self._rights = rights
        self._queue = queue
        self._history = history
        self._vault = vault
        self._nobodys: tuple[str, str] | None = None

    async def proven(
        self, trigger_id: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[TemplateTrigger, Proven] | None:
        """The trigger, if it exists and the request proves knowledge of its secret.

        Takes as long if not, for whatever reason.
        """
        return await self._store.in_thread(self._prove, trigger_id, headers, body)

    async def deliver(self, trigger: TemplateTrigger, proven: Proven, payload: Any) -> Delivered:
        """Run the trigger's template with values from `payload`, unless the delivery is a repeated one.

        Raises `TriggerBusyError`, `ForbiddenError` when the trigger is disabled or its owner may no longer
        run the template, and what `TemplateService.run` raises. A refused delivery may be sent again.
        """
        _require_enabled(trigger)
        if not all(each.holds(value_at(payload, each.path)) for each in trigger.only):
            _logger.info("Trigger %s: the payload is not one that it is for", trigger.trigger_id)
            return Delivered(None, is_new=False)
        owner = trigger.owner(await self._rights.roles(trigger))
        self._policy.require(owner.roles, "manage_triggers")
        template = await self._templates.get(owner, trigger.template_id)
        run = _run_request(trigger, payload, {each["name"]: each["type"] for each in template["Parameters"]})
        await self._templates.require_run(owner, trigger.template_id, run)
        delivery, is_new = await self._store.in_thread(self._remember, trigger.trigger_id, proven)
        # Of one that is known the job may not have been accepted yet, or never, as after a refusal.
        if is_new or not await self._is_known(delivery.job):
            await self._submit(trigger, owner, run, delivery.job)
        return Delivered(delivery.job, is_new)

    async def _submit(self, trigger: TemplateTrigger, owner: Identity, run: RunRequest, job_id: str) -> None:
        try:
            await self._templates.run(
                owner, trigger.template_id, run, job_id=job_id, trigger_id=trigger.trigger_id
            )
        except JobsError as error:
            _logger.warning("Trigger %s was refused its job: %s", trigger.trigger_id, error)
            raise
        _logger.info(
            "Trigger %s of template %s submitted job %s as %r",
            trigger.trigger_id, trigger.template_id, job_id, trigger.user_id,
        )  # fmt: skip

    async def _is_known(self, job_id: str) -> bool:
        return await self._queue.get(job_id) is not None or await self._history.was_used(job_id)

    def _prove(
        self, trigger_id: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[TemplateTrigger, Proven] | None:
        trigger = next((each for each in self._store.all() if each.trigger_id == trigger_id), None)
        nobodys_id, nobodys_secret = self._nobody()
        sealed_for, sealed = (
            (nobodys_id, nobodys_secret) if trigger is None else (trigger_id, trigger.sealed_secret)
        )
        try:
            secret = self._vault.unseal(sealed_for, sealed)[SECRET]
        except ForbiddenError:  # sealed with a key that is no more
            _logger.error("The secret of trigger %s cannot be decrypted; rotate it", trigger_id)
            return None
        proof = TriggerProof.GITHUB if trigger is None else trigger.proof
        found = prove(proof, secret, headers, body, utc_now().timestamp())
        return None if trigger is None or found is None else (trigger, found)

    def _nobody(self) -> tuple[str, str]:
        """The id and the sealed secret of a trigger that there is not."""
        if self._nobodys is None:
            trigger_id = str(uuid4())
            self._nobodys = trigger_id, self._vault.seal(trigger_id, {SECRET: new_secret()})
        return self._nobodys

    def _remember(self, trigger_id: str, proven: Proven) -> tuple[TriggerDelivery, bool]:
        """The delivery, and whether it is a new one; alone among all processes."""
        now, most = utc_now(), self._config.max_trigger_deliveries_per_minute
        key = proven.key or uuid4().hex
        made = TriggerDelivery(key=key, at=int(now.timestamp()), job=new_job_id())
        found = made

        def remembering(current: TemplateTrigger) -> TemplateTrigger:
            nonlocal found
            _require_enabled(current)
            known = current.delivered(key)
            if known is not None:
                found = known
                return current
            if wait := current.wait_seconds(now, most):
                raise TriggerBusyError(most, wait)
            return current.remembering(made)

        try:
            self._store.change(trigger_id, remembering)
        except NotFoundError:
            raise ForbiddenError("This trigger was removed just now.") from None
        return found, found is made


def _require_enabled(trigger: TemplateTrigger) -> None:
    if not trigger.enabled:
        raise ForbiddenError("This trigger is switched off.")


def _run_request(trigger: TemplateTrigger, payload: Any, kinds: Mapping[str, str]) -> RunRequest:
    """What the template is to be run with; `kinds` are its parameters' types."""
    found = {name: value_at(payload, path) for name, path in trigger.paths.items()}
    given = {**trigger.values, **found}
    return RunRequest(values={name: _fitting(kinds.get(name), value) for name, value in given.items()})


def _fitting(kind: str | None, value: Any) -> Any:
    """`value` as a parameter of that kind has it: a number as a text, or the reverse, where one says both."""
    if kind == ParameterType.INT:
        is_number = isinstance(value, str) and len(value) < 20 and value.removeprefix("-").isdecimal()
        return int(value) if is_number else value
    return json.dumps(value) if isinstance(value, int | float) else value
