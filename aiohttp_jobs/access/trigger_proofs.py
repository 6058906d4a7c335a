"""Authenticates deliveries to a trigger, as GitHub, GitLab and others sign them, in constant time.

Also returns what identifies a repeated delivery. The caller supplies the secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from ..model.template_trigger import TriggerProof

TOLERANCE_SECONDS = 300
"""How far a signed timestamp may be from now (Standard Webhooks)."""
_PREFIX = "whsec_"
_BYTES = 32


def new_secret() -> str:
    """A new secret in the format of Standard Webhooks, which GitHub and all others accept as text."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_BYTES)).decode()


@dataclass(frozen=True, slots=True)
class Proven:
    """The key that identifies a repeated delivery: derived from what is signed, if anything is; ``None`` if
    there is none.
    """

    key: str | None


def prove(
    proof: TriggerProof, secret: str, headers: Mapping[str, str], body: bytes, now: float
) -> Proven | None:
    """Authenticate the request with `secret`; ``None`` if that fails.

    All methods are tried, whichever the trigger uses.
    """
    signed = _hub_signature(secret, body)
    is_github = _same(headers.get("X-Hub-Signature-256"), signed)
    is_standard = _is_standard(secret, headers, body, now)
    has_token = _same(headers.get("X-Gitlab-Token"), secret)
    is_bearer = _same(headers.get("Authorization"), f"Bearer {secret}")
    match proof:
        case TriggerProof.GITHUB:
            return Proven(_key(signed)) if is_github else None
        case TriggerProof.STANDARD:
            return Proven(_key(headers["webhook-id"])) if is_standard else None
        case TriggerProof.GITLAB if "webhook-signature" in headers:
            return Proven(_key(headers["webhook-id"])) if is_standard else None
        case TriggerProof.GITLAB:
            return _unsigned(headers) if has_token else None
        case TriggerProof.BEARER:
            return _unsigned(headers) if is_bearer else None


def _unsigned(headers: Mapping[str, str]) -> Proven:
    """Whoever knows the secret may send what they like: known again is only what they say is the same."""
    given = headers.get("Idempotency-Key")
    return Proven(_key(given) if given else None)


def _hub_signature(secret: str, body: bytes) -> str:
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


def _is_standard(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    given_id, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    signed = b"%s.%s.%s" % (given_id.encode("utf-8", "replace"), sent_at.encode("utf-8", "replace"), body)
    digest = hmac.new(_standard_key(secret), signed, hashlib.sha256).digest()
    expected = f"v1,{base64.b64encode(digest).decode()}"
    is_same = sum(_same(each, expected) for each in headers.get("webhook-signature", "").split(" ")[:10]) > 0
    is_now = sent_at.isdecimal() and len(sent_at) < 15 and abs(int(sent_at) - now) <= TOLERANCE_SECONDS
    return is_same and is_now and bool(given_id)


def _standard_key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return secret.encode()


def _same(given: str | None, expected: str) -> bool:
    return hmac.compare_digest((given or "").encode("utf-8", "replace"), expected.encode())


def _key(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]
