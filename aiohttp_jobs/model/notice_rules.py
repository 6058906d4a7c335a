"""The rules in a request's `notify`: which outcomes to report, and to whom. Does no I/O.

Imports little, because submissions contain these. Which outcome matches a rule is in ``notice_events``, which
webhook addresses are allowed in ``webhook_targets``.
"""

from __future__ import annotations

import re
from email.errors import MessageError
from email.headerregistry import Address
from enum import StrEnum
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel
from yarl import URL

from .schema_extras import HOST_VARIANTS, HostLimited, SchemaExtras, limited

MOST_RULES = 10
MOST_ADDRESSES = 20
MAX_URL_LENGTH = 2048
_MAX_ADDRESS_LENGTH = 254
_MAX_LOCAL_LENGTH = 64
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ATOM = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
# What HTML's <input type=email> takes, with single dots inside the name only (RFC 5322, dot-atom):
# no quoting, no comments, no route, nothing a header could break on.
_ADDRESS = rf"(?![^@]{{{_MAX_LOCAL_LENGTH + 1}}}){_ATOM}(\.{_ATOM})*@{_LABEL}(\.{_LABEL})*"
_URL = r"[Hh][Tt][Tt][Pp][Ss]?://[!-.0-?A-\[\]-~]+(/[!-\[\]-~]*)?"
_PRINTABLE = re.compile(r"[\x21-\x7e]+")


class Trigger(StrEnum):
    """The outcomes that a rule can report. A failure is any end but success or cancellation."""

    ALWAYS = "always"
    FAILURE = "failure"
    FIRST_FAILURE = "first_failure"
    RECOVERY = "recovery"


def email_address(text: str) -> str:
    """Validate one plain ASCII address such as ``ops@example.org``. Raises ``ValueError``."""
    try:
        if len(text) > _MAX_ADDRESS_LENGTH or not re.fullmatch(_ADDRESS, text):
            raise ValueError
        Address(addr_spec=text)
    except (ValueError, MessageError):
        raise ValueError("must be an e-mail address such as 'ops@example.org'") from None
    return text


def webhook_url(text: str) -> str:
    """Validate the form of a webhook's address. Raises ``ValueError``."""
    if len(text) > MAX_URL_LENGTH:
        raise ValueError(f"must have at most {MAX_URL_LENGTH} characters")
    if not _PRINTABLE.fullmatch(text) or "\\" in text:
        raise ValueError("must be ASCII without spaces, backslashes and control characters")
    try:
        url = URL(text)
        host = url.host  # decoded only now
    except ValueError:
        raise ValueError("must be an address such as 'https://example.org/hook'") from None
    if url.scheme not in {"http", "https"} or not host or not url.port:
        raise ValueError("must start with 'https://' or 'http://' and a host")
    if "@" in text.partition("//")[2].partition("/")[0]:
        raise ValueError("must not contain a user name or password; the signature tells who sends")
    return text


def _unique(items: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(items))


def _as_list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


_Strict = StringConstraints(strict=True)
EmailAddress = Annotated[
    str,
    _Strict,
    AfterValidator(email_address),
    SchemaExtras({"pattern": f"^{_ADDRESS}$", "maxLength": _MAX_ADDRESS_LENGTH}),
]
WebhookURL = Annotated[
    str,
    _Strict,
    AfterValidator(webhook_url),
    SchemaExtras({"format": "uri", "pattern": f"^{_URL}$", "maxLength": MAX_URL_LENGTH}),
]
_Some = Annotated[list[Trigger], Field(min_length=1, max_length=len(Trigger))]
Triggers = Annotated[
    tuple[Trigger, ...],
    Field(min_length=1, max_length=len(Trigger)),
    AfterValidator(_unique),
    BeforeValidator(_as_list, json_schema_input_type=Trigger | _Some),
]


class _Rule(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True, populate_by_name=True)

    on: Triggers = (Trigger.ALWAYS,)


class EmailRule(_Rule):
    """Sends one message to all of `to`, through the server's SMTP settings."""

    channel: Literal["email"]
    to: Annotated[
        tuple[EmailAddress, ...], Field(min_length=1, max_length=MOST_ADDRESSES), AfterValidator(_unique)
    ]

    @property
    def target(self) -> str:
        return ", ".join(self.to)


class WebhookRule(_Rule):
    """Sends a signed POST request to `url`."""

    channel: Literal["webhook"]
    url: WebhookURL

    @property
    def target(self) -> str:
        return self.url


Rule = EmailRule | WebhookRule
"""One of those that there are: each channel has one."""
CHANNELS: tuple[str, ...] = tuple(
    get_args(rule.model_fields["channel"].annotation)[0] for rule in get_args(Rule)
)

NotifyRule = Annotated[
    Rule,
    Field(discriminator="channel"),
    HostLimited({HOST_VARIANTS: "notice_channels"}),
]
NotifyRules = Annotated[
    tuple[NotifyRule, ...], Field(max_length=MOST_RULES), limited("maxItems", "max_notify_rules")
]
