"""What schemathesis needs to know beside the document: loaded by it, not by pytest.

JSON Schema cannot say what a cron line is, nor that one field must be later than another, nor that a
parameter's default must fit its pattern.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import strategies as st

ACCEPTED = Path("accepted.txt")
_CRON = ("*/5 * * * *", "0 3 * * 1-5", "@daily", "@hourly", "30 2 29 2 *", "59 23 31 12 *")
_ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata")

schemathesis.openapi.format("cron", st.sampled_from(_CRON))
schemathesis.openapi.format("time-zone", st.sampled_from(_ZONES))
schemathesis.openapi.format("search", st.sampled_from(("word", "two words", '"a phrase" 42', "begin*")))
schemathesis.openapi.format("re2", st.sampled_from(("a+", "[0-9]{1,5}", "(?i)yes|no", r"\w*")))
schemathesis.openapi.format(
    "ip-network", st.sampled_from(("127.0.0.1", "10.0.0.0/8", "::1", "2001:db8::/32"))
)
schemathesis.openapi.format("cursor", st.just("none"))  # is left out below: only the host can make one


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """Leaves out how long an e-mail address may be, and says alternatives where schemathesis looks for them.

    schemathesis finds no address of exactly so many characters, and takes a third of its time to find that
    out; ``tests/notify/test_rules.py`` tries both sides of the limit. It makes few requests that are valid
    by a ``then``, which is where the document has conditions on fields.
    """
    for rule in raw_schema["components"]["schemas"].values():
        if rule.get("if") is True:
            del rule["if"]
            rule.update(rule.pop("then"))
        addresses = rule.get("properties", {}).get("to", {}).get("items", {})
        if "maxLength" in addresses:
            del addresses["maxLength"]


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Mends what is meant to be valid and is not, and what would sign the sender out."""
    _stay_signed_in(case)
    if case.meta is not None and case.meta.generation.mode.is_positive:
        _give_later_end(case)
        _give_later_expiry(case)
        _give_time_span(case)
        _give_no_values(case)
        _give_consistent_parameters(case)
        case.query = {name: value for name, value in (case.query or {}).items() if name != "cursor"}
        _drop_unfit_headers(case)


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Note which jobs were accepted, as their results may be deleted."""
    if case.path.endswith("/jobs/submit") and response.status_code == 200:
        with ACCEPTED.open("a") as file:
            file.write(response.json()["jobId"] + "\n")


def _give_no_values(case: Any) -> None:
    """A trigger gives values to its template's own parameters only, which the document cannot know."""
    if case.path.endswith("/triggers") and isinstance(case.body, dict):
        case.body = {name: value for name, value in case.body.items() if name not in {"paths", "values"}}


def _give_later_end(case: Any) -> None:
    """A schedule must end after it starts, and not in the past."""
    body = case.body
    if "/schedules" in case.path and isinstance(body, dict) and body.get("endAt"):
        case.body = {**body, "startAt": None, "endAt": "2199-01-01T00:00:00Z"}


def _give_later_expiry(case: Any) -> None:
    """A key must not have expired when it is made."""
    if case.path.endswith("/api-keys") and isinstance(case.body, dict) and case.body.get("expiresAt"):
        case.body = {**case.body, "expiresAt": "2199-01-01T00:00:00Z"}


def _give_time_span(case: Any) -> None:
    """Statistics must be of a time that is not too long, and does not end before it starts."""
    if case.path.endswith("/results/stats") and "from" in (case.query or {}):
        case.query = {name: value for name, value in case.query.items() if name != "to"}


def _give_consistent_parameters(case: Any) -> None:
    """A template's parameters must have names of their own, and limits and defaults that go together."""
    parameters = case.body.get("parameters") if isinstance(case.body, dict) else None
    if "/templates" in case.path and parameters:
        kept = [
            {**each, "default": None, "maximum": None, "name": f"p{n}"} for n, each in enumerate(parameters)
        ]
        case.body = {**case.body, "parameters": kept}


def _drop_unfit_headers(case: Any) -> None:
    """schemathesis 4.32 sends ``0`` where a header's pattern asks for anything but letters and digits."""
    for parameter in case.operation.headers:
        pattern = parameter.definition.get("schema", {}).get("pattern")
        value = case.headers.get(parameter.name)
        if pattern and value is not None and not re.search(pattern, value):
            del case.headers[parameter.name]


def _stay_signed_in(case: Any) -> None:
    """Its own sessions are what it goes on with, whatever else is wrong with what it sends."""
    if case.path.endswith("/sessions/revoke") and isinstance(case.body, dict):
        keeps = case.body.get("keepCurrent", False)
        case.body = {**case.body, "keepCurrent": True if keeps is False else keeps}
    if case.method.upper() == "DELETE" and "/sessions/" in case.path:
        case.path_parameters = {"sessionId": "00000000-0000-4000-8000-000000000000"}
