"""The name of a job for which nobody gave one; the page makes the same (``tests/ui/test_names.py``)."""

from __future__ import annotations

from typing import Any

import pytest

from aiohttp_jobs.cli.submission import name_of

from ..cases import cases


@pytest.mark.parametrize("case", cases("names"), ids=lambda case: case["name"])
def test_a_job_is_called_by_its_first_words(case: dict[str, Any]) -> None:
    assert name_of(case["command"]) == case["name"]
