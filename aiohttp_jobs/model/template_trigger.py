"""Triggers: webhook addresses at which other programs run a template, each with its own secret."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    StringConstraints,
)
from pydantic.alias_generators import to_camel

from .job import Name, Text, UtcDatetime
from .payload_paths import PayloadPath
from .record import OwnedRecord
from .schema_extras import SchemaExtras

MOST_CONDITIONS = 20
MOST_VALUES = 50
MOST_DELIVERIES = 500
"""Of one trigger, remembered so that none of them runs its job twice."""
DELIVERY_SECONDS = 7 * 86400
"""How long a delivery is remembered: as long as senders try again by themselves, and then some."""

_NAME = "^[A-Za-z_][A-Za-z0-9_]{0,63}$"
ParameterName = Annotated[Text, StringConstraints(pattern=_NAME), SchemaExtras({"pattern": _NAME})]
Scalar = (
    Annotated[str, StringConstraints(max_length=4096, strict=True)]
    | StrictBool
    | StrictInt
    | Annotated[float, Field(strict=True, allow_inf_nan=False)]
    | None
)


class TriggerProof(StrEnum):
    """How a sender proves that it knows the secret."""

    GITHUB = "github"
    GITLAB = "gitlab"
    STANDARD = "standard"
    BEARER = "bearer"


class PayloadCondition(BaseModel):
    """A value that the payload must have. Types matter: 1 is not "1"."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True, populate_by_name=True)

    path: PayloadPath
    equals: Scalar

    def holds(self, found: Any) -> bool:
        is_bool = isinstance(found, bool) or isinstance(self.equals, bool)
        return found == self.equals and (not is_bool or type(found) is type(self.equals))


class TemplateTriggerRequest(BaseModel):
    """The body of ``POST /templates/{id}/triggers``.

    `paths` maps parameters to places in the payload, `values` gives fixed values to others, and `only` are
    conditions that must all hold.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", frozen=True, populate_by_name=True, defer_build=True
    )

    name: Name
    proof: TriggerProof
    paths: Annotated[dict[ParameterName, PayloadPath], Field(max_length=MOST_VALUES)] = Field(
        default_factory=dict
    )
    values: Annotated[dict[ParameterName, StrictStr | StrictInt], Field(max_length=MOST_VALUES)] = Field(
        default_factory=dict
    )
    only: Annotated[tuple[PayloadCondition, ...], Field(max_length=MOST_CONDITIONS)] = ()


class TriggerChange(BaseModel):
    """The body of ``PATCH /triggers/{id}``."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    enabled: StrictBool


class TriggerDelivery(BaseModel):
    """An accepted delivery: the key that identifies a repetition, its time, and its job."""

    model_config = ConfigDict(frozen=True)

    key: str
    at: int
    job: str


class TemplateTrigger(OwnedRecord):
    """A trigger as it is stored in ``Triggers/<TriggerID>.json``.

    Its jobs belong to its owner, ``UserID``, and run with their current rights.
    """

    trigger_id: Annotated[str, AfterValidator(lambda text: str(uuid.UUID(text)))]
    template_id: str
    name: str
    proof: TriggerProof
    paths: dict[str, str] = Field(default_factory=dict)
    values: dict[str, Any] = Field(default_factory=dict)
    only: tuple[PayloadCondition, ...] = ()
    enabled: bool = True
    sealed_secret: str
    created_at: UtcDatetime
    rotated_at: UtcDatetime
    deliveries: tuple[TriggerDelivery, ...] = ()

    @property
    def record_id(self) -> str:
        return self.trigger_id

    def delivered(self, key: str) -> TriggerDelivery | None:
        """The recent delivery with this `key`, if any."""
        return next((each for each in self.deliveries if each.key == key), None)

    def remembering(self, delivery: TriggerDelivery) -> TemplateTrigger:
        """A copy with one more delivery, without those that are too old or too many."""
        kept = [each for each in self.deliveries if each.at > delivery.at - DELIVERY_SECONDS]
        return self.model_copy(update={"deliveries": (*kept, delivery)[-MOST_DELIVERIES:]})

    def wait_seconds(self, now: datetime, most_per_minute: int) -> int:
        """The number of seconds until another delivery is accepted; 0 means now."""
        recent = [each.at for each in self.deliveries if each.at > now.timestamp() - 60]
        if len(recent) < most_per_minute:
            return 0
        return max(1, int(recent[-most_per_minute] + 60 - now.timestamp()) + 1)
