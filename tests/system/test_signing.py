"""Signatures of submission files."""

from __future__ import annotations

from typing import Any

import pytest

from aiohttp_jobs.system.signing import Signer

RECORD: dict[str, Any] = {"JobID": "1", "Command": "echo ü", "Roles": ["task_manager"], "TimeoutSeconds": 1.5}


def test_what_was_signed_is_valid_in_any_order() -> None:
    signer = Signer(b"k" * 32)
    signed = signer.sign(RECORD)
    assert signer.is_valid(dict(reversed(signed.items())))
    assert Signer(b"k" * 32).is_valid(signed)


@pytest.mark.parametrize(
    "change",
    [
        {"Command": "echo u"},
        {"Roles": ["debug"]},
        {"Extra": 1},
        {"TimeoutSeconds": 2},
        {"Signature": None},
        {"Signature": 5},
        {"Signature": "hmac-sha256:" + "0" * 64},
        {"Signature": "\ud800"},
    ],
)
def test_any_change_makes_it_invalid(change: dict[str, Any]) -> None:
    signer = Signer(b"k" * 32)
    assert not signer.is_valid(signer.sign(RECORD) | change)


def test_another_key_signs_differently() -> None:
    assert not Signer(b"a").is_valid(Signer(b"b").sign(RECORD))
