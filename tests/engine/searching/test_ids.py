"""Job ids as bytes: what ``uuid`` makes of them, for what is written as we write it."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from aiohttp_jobs.engine.searching import id_bytes, id_text


def test_they_are_those_of_the_standard_library() -> None:
    for _ in range(100):
        made = uuid4()
        assert id_bytes(str(made)) == made.bytes
        assert id_text(made.bytes) == str(made)


@pytest.mark.parametrize(
    "change", [str.upper, lambda text: text.replace("-", ""), lambda text: text + "\n", "{{{}}}".format]
)
def test_another_way_to_write_one_is_none(change: object) -> None:
    text = "ab0dc2ba-9f1d-4b7d-9c2e-0123456789ab"
    assert UUID(text)
    with pytest.raises(ValueError, match="not a job id"):
        id_bytes(change(text))  # type: ignore[operator]
