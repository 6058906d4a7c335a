"""JSON as orjson has it; and where that is stricter, as the standard library has it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiohttp_jobs.system.jsontext import dumps, indented, loads

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON)
def test_what_is_written_is_what_is_read(data: Any) -> None:
    assert json.loads(dumps(data)) == data
    assert json.loads(indented(data)) == data
    assert loads(json.dumps(data).encode()) == data


def test_a_lone_surrogate_is_escaped_or_becomes_a_question_mark() -> None:
    data = {"JobName": "\ud800", "é": 1}
    assert loads(dumps(data)) == data
    assert indented(data) == '{\n  "JobName": "?",\n  "é": 1\n}'.encode()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_what_other_programs_write_is_read(encoding: str) -> None:
    assert loads('{"Output": "é日\\ud800", "Runtime": NaN}'.encode(encoding))["Output"] == "é日\ud800"


@pytest.mark.parametrize("text", [b"", b"{", b'{"a": 1} x', b"\xff\xfe\xff"])
def test_what_is_not_json_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        loads(text)
