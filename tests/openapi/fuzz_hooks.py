"""What schemathesis needs to know beside the document: loaded by it, not by pytest.

JSON Schema cannot say what a cron line is, nor that one field must be later than another.
"""

from __future__ import annotations

import re
from typing import Any

import schemathesis
from hypothesis import strategies as st

_CRON = ("*/5 * * * *", "0 3 * * 1-5", "@daily", "@hourly", "30 2 29 2 *", "59 23 31 12 *")
_ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata")

schemathesis.openapi.format("cron", st.sampled_from(_CRON))
schemathesis.openapi.format("time-zone", st.sampled_from(_ZONES))


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Mends what is meant to be valid and is not."""
    if case.meta is not None and case.meta.generation.mode.is_positive:
        _give_later_end(case)
        _drop_unfit_headers(case)


def _give_later_end(case: Any) -> None:
    """A schedule must end after it starts, and not in the past."""
    body = case.body
    if "/schedules" in case.path and isinstance(body, dict) and body.get("endAt"):
        case.body = {**body, "startAt": None, "endAt": "2199-01-01T00:00:00Z"}


def _drop_unfit_headers(case: Any) -> None:
    """schemathesis 4.32 sends ``0`` where a header's pattern asks for anything but letters and digits."""
    for parameter in case.operation.headers:
        pattern = parameter.definition.get("schema", {}).get("pattern")
        value = case.headers.get(parameter.name)
        if pattern and value is not None and not re.search(pattern, value):
            del case.headers[parameter.name]
