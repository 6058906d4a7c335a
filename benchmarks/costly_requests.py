"""The costliest requests of each route that are known, and what a host is filled with for them."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from aiohttp_jobs.system.app_folder import APP_FOLDER

from .costly import API, MEGABYTE, PAGE, Host, Request, unknown_ids

JOB: dict[str, Any] = {"jobName": "j", "command": "true", "executionMode": "BackgroundJob"}
_SCHEDULES = 98
_TEMPLATES = 97
_RESULTS = 1000
_LARGE = 60
_RARE = "59 23 29 2 1"
_SECRETS = [{"name": f"s{number}", "type": "secret"} for number in range(50)]
_VALUES = {each["name"]: f"secret{'x' * 500}{each['name']}" for each in _SECRETS}
_LOUD = """yes "$PARAM_s0 $PARAM_s7 $(printf %s "$PARAM_s9" | base64)" | head -c 1000000"""
_WORST = "[A-Za-z0-9_-]{1,1000}"


@dataclass
class Made:
    """What `prepare` has made."""

    job: str
    template: str
    matching: str
    schedule: str
    asset: str
    secrets: str
    loud: str


def prepare(host: Host) -> Made:
    """Fill the host: results, schedules, templates, jobs that wait."""
    for number in range(_SCHEDULES):
        job = {**JOB, "command": "x" * 100_000}
        made = host.json(
            "POST",
            "/schedules",
            {"name": f"s{number}", "cron": _RARE, "timezone": "Europe/Berlin", "job": job},
        )
    schedule = made["schedule"]["ScheduleID"]
    choices = [f"{number}" * 100 for number in range(200)]
    many = [{"name": f"p{number}", "type": "choice", "choices": choices} for number in range(10)]
    for number in range(_TEMPLATES):
        body = {"name": f"t{number}", "command": "x" * 50_000, "executionMode": "BackgroundJob"}
        made = host.json("POST", "/templates", {**body, "parameters": many})
    template = made["template"]["TemplateID"]
    patterns = [
        {"name": f"p{number}", "type": "string", "pattern": _WORST.replace("1000", str(1000 - number))}
        for number in range(20)
    ]
    matching = host.json(
        "POST",
        "/templates",
        {"name": "m", "command": "true", "executionMode": "Runspace", "parameters": patterns},
    )["template"]["TemplateID"]
    secrets = host.json(
        "POST",
        "/templates",
        {"name": "s", "command": "true", "executionMode": "Runspace", "parameters": _SECRETS},
    )["template"]["TemplateID"]
    values = {"values": _VALUES}
    host.json("POST", f"/templates/{secrets}/run?wait=20", values)
    loud = {"name": "l", "command": _LOUD, "executionMode": "Runspace", "parameters": _SECRETS}
    loud_id = host.json("POST", "/templates", loud)["template"]["TemplateID"]
    big = {**JOB, "command": "head -c 900000 /dev/zero | tr '\\0' 'x'; seq 100000"}
    job = host.json("POST", "/jobs/submit?wait=30", big)["jobId"]
    for _ in range(_LARGE):
        host.json("POST", "/jobs/submit", big)
    _wait_for_end(host)
    for _ in range(_RESULTS // 250):
        for _ in range(250):
            host.json("POST", "/jobs/submit", {**JOB, "executionMode": "Runspace", "command": "echo word"})
        _wait_for_end(host)
    page = host.ask(Request("", "GET", PAGE + "/"))[1].decode()
    asset = "ui/" + page.partition('src="ui/')[2].partition('"')[0]
    return Made(job, template, matching, schedule, asset, secrets, loud_id)


def fill_queue(host: Host) -> None:
    """Jobs that wait until the end."""
    host.json("POST", "/queue/pause")
    for _ in range(900):
        host.json("POST", "/jobs/submit", {**JOB, "description": "x" * 1000})


def _wait_for_end(host: Host) -> None:
    while True:
        queue = host.json("GET", "/queue")["queue"]
        if not queue["queued"] and not queue["running"]:
            return
        time.sleep(0.1)


def requests(made: Made, host: Host) -> Iterator[Request]:
    """The costliest that are known of each route."""
    yield Request(
        "POST /templates/{id}/run: 50 secrets, masked in 1 MB of output",
        "POST",
        f"{API}/templates/{made.loud}/run?wait=50",
        json.dumps({"values": _VALUES}).encode(),
    )
    fill_queue(host)
    yield from _refused(host.viewer)
    yield from _bodies(made)
    yield from _of_sessions(host)
    yield from _queries(made)
    yield from _lists(made)
    yield Request("GET /jobs/feed: 100 streams at once", "GET", f"{API}/jobs/feed", streams=100)
    yield from _many_keys(host)


def _of_sessions(host: Host) -> Iterator[Request]:
    cookie = host.cookie("bob")
    job = {**JOB, "command": "x" * 250_000}
    yield Request(
        "POST /schedules: a rare line, a command of 250 KB",
        "POST",
        f"{API}/schedules",
        json.dumps({"name": "s", "cron": _RARE, "timezone": "Europe/Berlin", "job": job}).encode(),
        cookie,
        key="",
    )
    addresses = [f"2001:db8:{number:x}::/48" for number in range(100)]
    yield Request(
        "POST /api-keys by a session: 100 addresses",
        "POST",
        f"{API}/api-keys",
        json.dumps({"name": "k", "allowedIPs": addresses}).encode(),
        cookie,
        key="",
    )

    def sign_in_50_times() -> str:
        return [host.cookie("carol") for _ in range(50)][-1]

    cookie = sign_in_50_times()
    yield Request("GET /sessions: 50 of them", "GET", f"{API}/sessions", headers=cookie, key="")
    yield Request(
        "POST /sessions/revoke: 50 sessions",
        "POST",
        f"{API}/sessions/revoke",
        b"{}",
        key="",
        prepare=sign_in_50_times,
    )


def _many_keys(host: Host) -> Iterator[Request]:
    path = host.folder / APP_FOLDER / "Secrets" / "api-keys.json"
    records = json.loads(path.read_bytes())
    for number in range(10_000):
        record = {**records[0], "KeyID": str(uuid.uuid4()), "UserID": f"user{number}"}
        records.append({**record, "SHA256": os.urandom(32).hex()})
    text = "[\n" + ",\n".join(json.dumps(record, separators=(",", ":")) for record in records) + "\n]\n"

    def write() -> str:
        news = path.with_suffix(".new")
        news.touch(0o600)
        news.write_text(text)
        news.replace(path)
        return ""

    yield Request("GET /me: 10,000 API keys that have changed", "GET", f"{API}/me", prepare=write)
    yield Request("GET /api-keys?scope=all: 10,000 API keys", "GET", f"{API}/api-keys?scope=all")


def _refused(viewer: str) -> Iterator[Request]:
    patterns = _template([rf"\PN{{1,{999 - number}}}" for number in range(50)])
    yield Request(
        "POST /templates by a viewer: 50 patterns `\\PN{1,999}`",
        "POST",
        f"{API}/templates",
        patterns,
        key=viewer,
    )
    yield Request(
        "POST /jobs/submit by a viewer: 1 MB", "POST", f"{API}/jobs/submit", _filled("0,"), key=viewer
    )
    yield Request("GET /me, a key of 8,000 characters", "GET", f"{API}/me", key="x" * 8000)
    cookie = f"Cookie: PSWebSessionID={'x' * 7900}\r\n"
    yield Request("GET /me, a cookie of 8,000 characters", "GET", f"{API}/me", headers=cookie, key="")


def _bodies(made: Made) -> Iterator[Request]:
    for name, unit in (("zeros", "0,"), ("lists", "[],"), ("objects", "{},"), ("texts", '"",')):
        yield Request(f"POST /jobs/submit: 1 MB of {name}", "POST", f"{API}/jobs/submit", _filled(unit))
    yield Request(
        "POST /jobs/submit: 1 MB of `[`", "POST", f"{API}/jobs/submit", b'{"a":' + b"[" * (MEGABYTE - 5)
    )
    yield Request(
        'POST /jobs/submit: 1 MB of `\\"`', "POST", f"{API}/jobs/submit", b'{"a":"' + b'\\"' * 524_000 + b'"}'
    )
    yield Request(
        "POST /jobs/submit: 24,000 zeros in lists of 1,000",
        "POST",
        f"{API}/jobs/submit",
        json.dumps({"notify": [[0] * 900] * 25}).encode(),
    )
    yield Request(
        "POST /jobs/submit: `on` with 1,000 faults",
        "POST",
        f"{API}/jobs/submit",
        json.dumps({**JOB, "retry": {"count": 1, "on": [0] * 1000}}).encode(),
    )
    yield Request(
        "POST /jobs/submit: 200 unknown fields of 5,000 characters",
        "POST",
        f"{API}/jobs/submit",
        json.dumps({"k" * 5000 + str(each): 0 for each in range(200)}).encode(),
    )
    yield Request(
        "POST /jobs/submit: 1,000 numbers of 1,000 digits",
        "POST",
        f"{API}/jobs/submit",
        b'{"a":[' + b",".join([b"9" * 1000] * 1000) + b"]}",
    )
    command = {**JOB, "command": ",[]{}:é" * 32_000}
    yield Request(
        "POST /jobs/submit: a command of 256 KB",
        "POST",
        f"{API}/jobs/submit",
        json.dumps(command, ensure_ascii=False).encode(),
    )
    yield Request(
        "POST /templates: 50 patterns `\\PN{1,999}`",
        "POST",
        f"{API}/templates",
        _template([rf"\PN{{1,{999 - number}}}" for number in range(50)]),
    )
    yield Request(
        "PUT /templates/{id}: 20 patterns, the costliest",
        "PUT",
        f"{API}/templates/{made.template}",
        _template([rf"(?i)\pL{{1,3}}@@{number}" for number in range(20)]),
    )
    choices = [f"choice {number}" for number in range(200)]
    parameters = [{"name": f"p{number}", "type": "choice", "choices": choices} for number in range(50)]
    yield Request(
        "PUT /templates: 50 x 200 choices",
        "PUT",
        f"{API}/templates/{made.template}",
        json.dumps(
            {
                "name": "t",
                "command": "x" * 250_000,
                "executionMode": "BackgroundJob",
                "parameters": parameters,
            }
        ).encode(),
    )
    faulty = [{"name": "p", "type": "choice", "choices": [0] * 450} for number in range(50)]
    yield Request(
        "PUT /templates: 22,500 faults",
        "PUT",
        f"{API}/templates/{made.template}",
        json.dumps({"parameters": faulty}).encode(),
    )
    values = {f"p{number}": "x" * 1600 for number in range(20)}
    yield Request(
        "POST /templates/{id}/run: 20 values against the costliest patterns",
        "POST",
        f"{API}/templates/{made.matching}/run",
        json.dumps({"values": values}).encode(),
    )
    yield Request(
        "POST /templates/{id}/run: 50 secrets",
        "POST",
        f"{API}/templates/{made.secrets}/run",
        json.dumps({"values": _VALUES}).encode(),
    )
    yield Request(
        "POST /templates/{id}/run: 200 unknown values",
        "POST",
        f"{API}/templates/{made.matching}/run",
        json.dumps({"values": {f"u{each}" * 500: 0 for each in range(200)}}).encode(),
    )
    schedule = {"name": "s", "cron": _RARE, "timezone": "Europe/Berlin", "job": JOB}
    yield Request(
        "POST /schedules: never fires",
        "POST",
        f"{API}/schedules",
        json.dumps({**schedule, "cron": "* * 31 2 *"}).encode(),
    )
    yield Request(
        "PATCH /schedules/{id}: ended by 2199",
        "PATCH",
        f"{API}/schedules/{made.schedule}",
        json.dumps({"cron": _RARE, "startAt": "2190-01-01T00:00:00Z"}).encode(),
    )
    yield Request(
        "POST /results/delete: 1,000 ids",
        "POST",
        f"{API}/results/delete",
        json.dumps({"jobIds": unknown_ids(1000)}).encode(),
    )
    yield Request(
        "POST /results/delete: 1,000 faults",
        "POST",
        f"{API}/results/delete",
        json.dumps({"jobIds": ["x"] * 1000}).encode(),
    )
    yield Request(
        "POST /results/delete: 30 beginnings",
        "POST",
        f"{API}/results/delete",
        json.dumps({"filter": {"q": "wo* " * 30, "to": "1971-01-01"}}).encode(),
    )
    yield Request(
        "POST /api-keys by a key: 100 addresses",
        "POST",
        f"{API}/api-keys",
        json.dumps({"name": "k", "allowedIPs": ["10.0.0.0/8"] * 100}).encode(),
    )


def _queries(made: Made) -> Iterator[Request]:
    preview = f"{API}/schedules/preview?count=100&timezone=Australia/Lord_Howe&cron="
    for line in (
        _RARE,
        "* * 31 2 *",
        "59 23 29 2 *",
        "*/7 */5 29 2 0",
        "0 0 31 2,4,6,9,11 *",
        "1,2,3-59 * 29 2 6",
    ):
        yield Request(f"GET /schedules/preview: `{line}`", "GET", preview + quote(line))
    long = ",".join(["0-59"] * 30)
    yield Request(
        "GET /schedules/preview: 150 characters of minutes", "GET", preview + quote(f"{long} * * * *")
    )
    yield Request(
        "GET /schedules/preview: starting in 2199",
        "GET",
        f"{preview}{quote(_RARE)}&startAt=2190-01-01T00:00:00Z",
    )
    yield Request(
        "GET /schedules/{id}/next?count=100", "GET", f"{API}/schedules/{made.schedule}/next?count=100"
    )
    for name, text in (
        ("30 beginnings", "wo* " * 30),
        ("a phrase of 30", '"' + "word " * 30 + '"'),
        ("30 words", "word " * 30),
    ):
        yield Request(f"GET /results?q=: {name}", "GET", f"{API}/results?limit=1000&q={quote(text)}")
    yield Request(
        "GET /results?name=: a beginning",
        "GET",
        f"{API}/results?limit=1000&sort=name&name={quote('%_' * 400)}*",
    )
    yield Request(
        "GET /results/stats: 1,000 buckets",
        "GET",
        f"{API}/results/stats?bucket=hour&from=2026-11-01&to=2026-12-12",
    )
    yield Request("GET /jobs?: 2,600 parameters", "GET", f"{API}/jobs?{'a=&' * 2600}")
    yield Request("GET /jobs?state=: 1,300 times", "GET", f"{API}/jobs?{'state=done&' * 700}limit=1")
    yield Request(
        "GET /jobs, 100 headers of 8 KB in all",
        "GET",
        f"{API}/jobs?limit=1",
        headers="".join(f"X-{each}: {'x' * 70}\r\n" for each in range(100)),
    )


def _lists(made: Made) -> Iterator[Request]:
    for path in (
        "/me",
        "/openapi.json",
        "/docs",
        "/docs/swagger-ui-bundle.js",
        "/queue",
        "/runspaces",
        "/jobs?limit=1000",
        "/jobs?scope=all&limit=1000&state=queued",
        "/jobs/results?maxResults=1000",
        "/results?limit=1000",
        "/results?limit=1000&q=word",
        "/schedules",
        "/schedules?scope=all",
        "/templates",
        "/notices?limit=1000",
    ):
        yield Request(f"GET {path}", "GET", API + path)
    job = f"{API}/jobs/{made.job}"
    for path in ("", "/attempts", "/output", "/output/digest", "/output?offset=0&limit=16777216"):
        yield Request(f"GET /jobs/{{id}}{path}", "GET", job + path)
    yield Request(
        "GET /jobs/{id}/output by Range", "GET", f"{job}/output", headers="Range: bytes=-16777216\r\n"
    )
    yield Request("GET /results/{id}", "GET", f"{API}/results/{made.job}")
    yield Request("GET /: the page", "GET", f"{PAGE}/", headers="Accept-Encoding: gzip\r\n", key="")
    yield Request(
        "GET /ui/…: an asset", "GET", f"{PAGE}/{made.asset}", headers="Accept-Encoding: gzip\r\n", key=""
    )


def _filled(unit: str) -> bytes:
    start, end = '{"retry":{"count":1,"on":[', "]}}"
    count = (MEGABYTE - len(start) - len(end)) // len(unit)
    return (start + (unit * count).rstrip(",") + end).encode()


def _template(patterns: list[str]) -> bytes:
    parameters = [
        {"name": f"p{number}", "type": "string", "pattern": pattern}
        for number, pattern in enumerate(patterns)
    ]
    body = {"name": "t", "command": "true", "executionMode": "BackgroundJob", "parameters": parameters}
    return json.dumps(body).encode()
