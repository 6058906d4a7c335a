"""Signatures of submission files."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


TEXT = st.text(st.characters(exclude_categories=()), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)


@given(st.dictionaries(TEXT, VALUES, max_size=4))
def test_what_is_signed_is_the_json_of_the_standard_library(record: dict[str, Any]) -> None:
    record.pop("Signature", None)
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    expected = hmac.new(b"key", text.encode(), hashlib.sha256).hexdigest()
    assert Signer(b"key").signature(record) == f"hmac-sha256:{expected}"
