"""Spans of jobs, by OpenTelemetry's SDK in memory: which there are, what is below what, what they tell."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from ..conftest import Caller, Host
from ..gate import until_answered

trace = pytest.importorskip("opentelemetry.trace")
pytest.importorskip("opentelemetry.sdk.trace")

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: E402
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: E402

StartHost = Callable[..., Awaitable[Host]]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
SECRET = "do-not-tell"


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Spans of this test: a provider for the process can be set only once."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    yield exporter
    provider.shutdown()


async def run(caller: Caller, command: str, **fields: Any) -> dict[str, Any]:
    body = {"jobName": "traced", "command": command, "executionMode": "BackgroundJob", **fields}
    headers = {"traceparent": PARENT, "tracestate": "vendor=opaque"}
    answer = await caller.request("POST", "/jobs/submit?wait=60", json=body, headers=headers)
    assert answer.status == 200, answer.body
    result: dict[str, Any] = answer.body["result"]
    return result


async def spans_of(exporter: InMemorySpanExporter, job_id: str) -> dict[str, ReadableSpan]:
    async def are_finished() -> bool:
        return any(each.name == "job finish" for each in exporter.get_finished_spans())

    await until_answered(are_finished, "the last span")
    found = exporter.get_finished_spans()
    return {each.name: each for each in found if (each.attributes or {}).get("aiohttp_jobs.job_id") == job_id}


@pytest.mark.slow
async def test_a_job_is_accepted_waits_runs_and_is_finished_in_the_trace_of_its_request(
    start_host: StartHost, exporter: InMemorySpanExporter
) -> None:
    host = await start_host()
    result = await run(
        host.caller("debug"), f"echo $TRACEPARENT $TRACESTATE; : {SECRET}; exit 3", description=SECRET
    )
    spans = await spans_of(exporter, result["JobID"])
    assert set(spans) == {"job accept", "job wait", "job run", "job finish"}
    accept, wait, ran, finish = (spans[f"job {name}"] for name in ("accept", "wait", "run", "finish"))
    assert {f"{each.context.trace_id:032x}" for each in spans.values()} == {TRACE}
    assert f"{accept.parent.span_id:016x}" == "00f067aa0ba902b7"
    assert {each.parent.span_id for each in (wait, ran, finish)} == {accept.context.span_id}
    # The command is below the run, and what is kept with the job is where it was accepted.
    assert result["Output"].startswith(f"00-{TRACE}-{ran.context.span_id:016x}-01 vendor=opaque")
    assert result["Traceparent"] == f"00-{TRACE}-{accept.context.span_id:016x}-01"
    assert (
        wait.start_time
        <= wait.end_time
        <= ran.start_time
        <= ran.end_time
        <= finish.start_time
        <= finish.end_time
    )
    assert ran.attributes["aiohttp_jobs.status"] == "Failed"
    assert ran.attributes["aiohttp_jobs.exit_code"] == 3
    assert ran.status.status_code is trace.StatusCode.ERROR
    assert not [each for each in exporter.get_finished_spans() if SECRET in each.to_json()]


async def test_code_in_mainloop_is_below_the_run_and_a_job_that_never_ran_has_one_all_the_same(
    start_host: StartHost, exporter: InMemorySpanExporter
) -> None:
    host = await start_host()
    caller = host.caller("debug")
    code = (
        "from opentelemetry.trace import get_current_span as span\nprint(span().get_span_context().span_id)"
    )
    result = await run(caller, code, executionMode="MainLoop", interpreter="python")
    ran = (await spans_of(exporter, result["JobID"]))["job run"]
    assert result["Output"].strip() == str(ran.context.span_id)
    exporter.clear()
    job_id = await caller.submit("true", delaySeconds=1000)
    await caller.request("POST", f"/jobs/{job_id}/cancel")
    spans = await spans_of(exporter, job_id)
    assert spans["job run"].attributes["aiohttp_jobs.status"] == "Cancelled"
    assert spans["job run"].parent.span_id == spans["job accept"].context.span_id
