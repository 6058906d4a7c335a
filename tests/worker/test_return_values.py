"""What a function returns: kept as JSON within bounds, and without secrets; or a sentence says why not."""

from __future__ import annotations

import dataclasses
import enum
import math
import uuid
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from aiohttp_jobs.worker.output.masking import MASK, Masker
from aiohttp_jobs.worker.return_values import (
    MOST_BYTES,
    MOST_DEEP,
    NOTHING,
    KeptValue,
    ReturnValue,
    as_json,
    kept_value,
)

MASKED = MASK.decode()
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)
JSON = st.recursive(
    PLAIN | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


class Model(BaseModel):
    name: str
    password: SecretStr


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Row:
    count: int


def kept(value: Any, *secrets: str) -> KeptValue:
    return kept_value(as_json(value), Masker(secrets) if secrets else None)


@given(JSON)
def test_json_is_kept_as_it_is(value: Any) -> None:
    assert kept(value) == (value, None)
    assert kept(value, "never said anywhere") == (value, None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, 2), [1, 2]),
        ({1: "a"}, {"1": "a"}),
        ({3}, [3]),
        (date(2030, 1, 31), "2030-01-31"),
        (datetime(2030, 1, 31, tzinfo=UTC), "2030-01-31T00:00:00Z"),
        (Decimal("1.50"), "1.50"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Colour.RED, "red"),
        (Row(3), {"count": 3}),
        (Model(name="a", password=SecretStr("p")), {"name": "a", "password": "**********"}),
        ([Row(1), {"at": Row(2)}], [{"count": 1}, {"at": {"count": 2}}]),
    ],
)
def test_objects_that_stand_for_json_are_kept_as_that(value: Any, expected: Any) -> None:
    assert kept(value) == (expected, None)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (object(), "object is not, or has in it what is not, JSON"),
        ([{"deep": lambda: 1}], "list is not, or has in it what is not, JSON"),
        (b"\xff", "bytes is not"),
        ("\ud800", "str is not"),
        (math.nan, "NaN, which is no number in JSON"),
        ({"a": [math.inf]}, "Infinity, which is no number in JSON"),
        (2**64, "whole numbers of more than 64 bits"),
        (10**400, "whole numbers of more than 64 bits"),
        ("x" * (MOST_BYTES - 1), f"it takes {MOST_BYTES + 1:,} bytes as JSON, and at most {MOST_BYTES:,}"),
        ("€" * MOST_BYTES, f"it takes {3 * MOST_BYTES + 2:,} bytes"),
    ],
)
def test_what_cannot_be_kept_is_told(value: Any, said: str) -> None:
    stored, fault = kept(value)
    assert stored is None
    assert fault is not None
    assert fault.startswith("The return value was not kept: ")
    assert said in fault
    assert fault.endswith(".")


def test_as_much_as_may_be_is_kept() -> None:
    text = "x" * (MOST_BYTES - 2)
    assert kept(text) == (text, None)


def test_what_contains_itself_or_is_too_deep_is_told() -> None:
    endless: list[Any] = []
    endless.append(endless)
    deep: Any = 1
    for _ in range(MOST_DEEP + 1):
        deep = [deep]
    assert kept(deep[0]) == (deep[0], None)
    for value in (endless, deep):
        stored, fault = kept(value)
        assert (stored, bool(fault)) == (None, True)


def test_nothing_is_nothing() -> None:
    assert as_json(None) is NOTHING
    assert kept(None) == (None, None)


@pytest.mark.parametrize("text", [b"", b"{", b"nonsense", b"[" * 60_000, b'"\xff"', b"x" * (MOST_BYTES + 1)])
def test_what_a_worker_makes_up_is_not_kept(text: bytes) -> None:
    value, fault = kept_value(ReturnValue(text), None)
    assert value is None
    assert fault is not None


def test_secrets_are_masked_wherever_they_are() -> None:
    value = {"a": "my hunter2!", "hunter2": ["hunter2", 7, None, True], "n": 9123456, "f": 1.5, "other": "x"}
    assert kept(value, "hunter2", "1234").value == {
        "a": f"my {MASKED}!",
        MASKED: [MASKED, 7, None, True],
        "n": MASKED,
        "f": 1.5,
        "other": "x",
    }


def test_a_secret_is_not_seen_across_two_texts() -> None:
    value = ["hun", "ter2"]
    assert kept(value, "hunter2").value == value


def test_an_output_goes_on_being_masked_after_a_value_was() -> None:
    masker = Masker(["hunter2"])
    shown = masker.feed(b"hun")
    assert kept_value(as_json(["hunter2"]), masker).value == [MASKED]
    assert shown + masker.feed(b"ter2") + masker.end() == MASK
