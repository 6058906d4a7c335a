"""What schemathesis needs to know beside the document: loaded by it, not by pytest.

JSON Schema cannot say what a cron line is, nor that one field must be later than another.
"""

from __future__ import annotations

from typing import Any

import schemathesis
from hypothesis import strategies as st

_CRON = ("*/5 * * * *", "0 3 * * 1-5", "@daily", "@hourly", "30 2 29 2 *", "59 23 31 12 *")
_ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata")

schemathesis.openapi.format("cron", st.sampled_from(_CRON))
schemathesis.openapi.format("time-zone", st.sampled_from(_ZONES))


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """A schedule that is meant to be right ends after it starts, and not in the past."""
    body = case.body
    is_right = case.meta is not None and case.meta.generation.mode.is_positive
    if is_right and "/schedules" in case.path and isinstance(body, dict) and body.get("endAt"):
        case.body = {**body, "startAt": None, "endAt": "2199-01-01T00:00:00Z"}
