"""What the index keeps of a result."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aiohttp_jobs.engine.searching import abridged, entry_of

from ..embedded.support import result


@given(st.text(max_size=100), st.text(max_size=100), st.integers(0, 40))
def test_of_a_result_with_less_of_long_texts_it_keeps_the_same(command: str, output: str, most: int) -> None:
    record = result(1, Command=command, Output=output)
    kept = entry_of(record, size=1, changed=2, search_bytes=most)
    assert kept is not None
    assert entry_of(abridged(record, most), size=1, changed=2, search_bytes=most) == kept


def test_a_long_text_is_not_held() -> None:
    record = result(1, Command="true", Output="x" * 100_000)
    assert abridged(record, 1000) == record | {"Output": f"{'x' * 1000}\n{'x' * 1000}"}
    assert record["Output"] == "x" * 100_000


def test_what_is_no_text_is_left_as_it_is() -> None:
    record = result(1, Command=None, Output=[1, 2, 3])
    assert abridged(record, 1) == record
