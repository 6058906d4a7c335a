"""What `notify` may say, and what fires."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from aiohttp_jobs.model.job import JobStatus
from aiohttp_jobs.model.notice_events import Event, event_for, needs_previous
from aiohttp_jobs.model.notice_rules import NotifyRules

from .support import email

rules = TypeAdapter(NotifyRules)
S, F, C = JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED


LABEL = "b" * 61 + "."
LONGEST = "a" * 64 + "@" + LABEL * 3 + "c" * 3
"""An address of 254 characters (RFC 5321, errata 1690), its name of 64."""


@pytest.mark.parametrize("address", ["a@b.c", "root@localhost", "first.last+tag@sub.example.org", LONGEST])
def test_plain_addresses_are_taken(address: str) -> None:
    (rule,) = rules.validate_python([{"channel": "email", "to": [address]}])
    assert rule.target == address


@pytest.mark.parametrize(
    "address",
    [
        "", "a", "@b.c", "a@", "a b@c.d", "a@b c", "a@b.c\nBcc: x@y.z", "a@b.c\r\n", "a@b.c, d@e.f",
        "a..b@c.d",
        ".a@b.c", "a.@b.c", '"a b"@c.d', "Name <a@b.c>", "a@[127.0.0.1]", "a@-b.c", "a@b..c", "ä@b.c",
        "a@ä.c",
        "a@b.c\0", "a" * 65 + "@b.c", "a@" + "b" * 64 + ".c", LONGEST + "c", "a@" + "b.c" * 100, 5, None,
        ["a@b.c"],
    ],
)  # fmt: skip
def test_nothing_else_is_an_address(address: Any) -> None:
    with pytest.raises(ValidationError):
        rules.validate_python([{"channel": "email", "to": [address]}])


@pytest.mark.parametrize(
    "url",
    [
        "", "example.org", "ftp://example.org/", "file:///etc/passwd", "http://", "http:///x",
        "javascript:alert(1)",
        "http://user:secret@example.org/", "http://user@example.org/", "http://@example.org/", "http://a b/",
        "http://example.org/\r\nX: y", "http://example.org\\@evil.test/", "http://example.org:99999/",
        "http://example.org:0/", "http://exämple.org/", "http://example.org/" + "x" * 2048, 5, None,
    ],
)  # fmt: skip
def test_bad_urls_are_refused(url: Any) -> None:
    with pytest.raises(ValidationError):
        rules.validate_python([{"channel": "webhook", "url": url}])


def test_an_at_sign_in_a_path_is_no_user_name() -> None:
    rules.validate_python([{"channel": "webhook", "url": "https://example.org/@team/hook?to=a@b.c"}])


@pytest.mark.parametrize(
    "rule",
    [
        {}, {"channel": "pigeon"}, {"channel": "email"}, {"channel": "email", "to": []},
        {"channel": "email", "to": "a@b.c"}, {"channel": "email", "to": ["a@b.c"] * 21},
        {"channel": "email", "to": ["a@b.c"], "url": "https://example.org"}, {"channel": "webhook"},
        {"channel": "email", "to": ["a@b.c"], "on": []}, {"channel": "email", "to": ["a@b.c"], "on": "never"},
        {"channel": "email", "to": ["a@b.c"], "on": None}, "email", 5, None,
    ],
)  # fmt: skip
def test_bad_rules_are_refused(rule: Any) -> None:
    with pytest.raises(ValidationError):
        rules.validate_python([rule])


def test_there_are_at_most_ten_rules() -> None:
    rule = {"channel": "email", "to": ["a@b.c"]}
    rules.validate_python([rule] * 10)
    with pytest.raises(ValidationError):
        rules.validate_python([rule] * 11)


def test_on_is_one_word_or_a_list_and_an_address_is_written_to_once() -> None:
    (one, many) = rules.validate_python(
        [
            {"channel": "email", "to": ["a@b.c", "a@b.c"], "on": "failure"},
            {"channel": "email", "to": ["a@b.c"], "on": ["failure", "recovery", "failure"]},
        ]
    )
    assert (one.on, one.target) == (("failure",), "a@b.c")
    assert many.on == ("failure", "recovery")


@pytest.mark.parametrize(
    ("on", "status", "previous", "event"),
    [
        ("always", S, None, Event.SUCCESS),
        ("always", F, None, Event.FAILURE),
        ("always", C, F, Event.CANCELLED),
        ("failure", S, None, None),
        ("failure", C, None, None),
        ("failure", JobStatus.TIMED_OUT, F, Event.FAILURE),
        ("failure", JobStatus.INTERRUPTED, F, Event.FAILURE),
        ("failure", JobStatus.REJECTED, F, Event.FAILURE),
        ("first_failure", F, None, Event.FIRST_FAILURE),
        ("first_failure", F, S, Event.FIRST_FAILURE),
        ("first_failure", F, C, Event.FIRST_FAILURE),
        ("first_failure", F, JobStatus.TIMED_OUT, None),
        ("first_failure", S, S, None),
        ("recovery", S, F, Event.RECOVERY),
        ("recovery", S, JobStatus.INTERRUPTED, Event.RECOVERY),
        ("recovery", S, S, None),
        ("recovery", S, None, None),
        ("recovery", F, F, None),
        (["first_failure", "recovery"], S, F, Event.RECOVERY),
        (["failure", "first_failure"], F, F, Event.FAILURE),
    ],
)
def test_an_outcome_fires_what_asked_for_it(
    on: Any, status: JobStatus, previous: JobStatus | None, event: Event | None
) -> None:
    assert event_for(email("a@b.c", on=on), status, previous) == event


def test_the_outcome_before_is_only_looked_up_for_those_who_ask() -> None:
    assert not needs_previous([email("a@b.c"), email("a@b.c", on="failure")], F)
    assert needs_previous([email("a@b.c"), email("a@b.c", on="recovery")], S)
    assert not needs_previous([email("a@b.c", on="recovery")], C)
