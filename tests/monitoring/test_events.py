"""Lines in the log about jobs: one for each event, with ids for programs, without what nobody may read."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from aiohttp_jobs.json_logs import JsonFormatter

from ..conftest import Host
from ..gate import until_answered

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SECRET = "do-not-tell"


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def log() -> Iterator[Lines]:
    logger, lines = logging.getLogger("aiohttp_jobs"), Lines()
    level = logger.level
    logger.addHandler(lines)
    logger.setLevel(logging.INFO)
    yield lines
    logger.removeHandler(lines)
    logger.setLevel(level)


async def test_each_event_is_a_line_that_programs_read(
    start_host: Callable[..., Awaitable[Host]], log: Lines
) -> None:
    host = await start_host(tracing_enabled=False)
    caller = host.caller("debug", user_id="alice\nroot")
    body = {
        "jobName": "logged", "command": f"echo {SECRET}; exit 3", "executionMode": "BackgroundJob",
        "description": SECRET, "retry": {"count": 1, "backoffSeconds": 0},
    }  # fmt: skip
    headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    job_id = (await caller.request("POST", "/jobs/submit?wait=60", json=body, headers=headers)).body["jobId"]
    cancelled = await caller.submit("true", delaySeconds=1000)
    await caller.request("POST", f"/jobs/{cancelled}/cancel")

    async def is_told() -> bool:
        return any("job_cancelled" in line for line in log.lines)

    await until_answered(is_told, "the line about the cancelled job")
    told: list[dict[str, Any]] = [json.loads(line) for line in log.lines]
    events = [each for each in told if each.get("job_id") == job_id]
    assert [each["event"] for each in events] == [
        "job_accepted", "job_started", "job_retried", "job_started", "job_ended",
    ]  # fmt: skip
    assert {each["trace_id"] for each in events} == {TRACE}
    assert {each["user_id"] for each in events} == {"alice\nroot"}
    assert events[-1]["status"] == "Failed"
    assert events[-1]["exit_code"] == 3
    assert events[-1]["attempt"] == 2
    assert all("\n" not in line and SECRET not in line for line in log.lines)


def test_json_lines_have_exceptions_and_what_is_no_json() -> None:
    formatter = JsonFormatter()
    try:
        raise KeyError("x")
    except KeyError as error:
        record = logging.LogRecord(
            "a", logging.ERROR, __file__, 1, "bad %s", ("thing",), (KeyError, error, None)
        )
    record.thing = {1, 2}
    told = json.loads(formatter.format(record))
    assert told["message"] == "bad thing"
    assert told["exception"].endswith("KeyError: 'x'")
    assert told["thing"] == "{1, 2}"
    assert told["time"].endswith("Z")
