"""``/metrics``: who may read them, what they say, and that all processes say the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

import aiohttp_jobs

from ..conftest import Caller, Host, serve
from ..engines import BOTH
from ..gate import until_answered

openmetrics = pytest.importorskip("prometheus_client.openmetrics.parser").text_string_to_metric_families
prometheus = pytest.importorskip("prometheus_client.parser").text_string_to_metric_families
StartHost = Callable[..., Awaitable[Host]]
TOKEN = "a token of sixteen characters or more"
ON: dict[str, Any] = {"metrics_enabled": True, "metrics_token": TOKEN}


async def scraped(host: Host, accept: str = "") -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample, by its name and labels."""
    scraper = host.bearer(TOKEN)
    url = f"{host.address}{host.config.prefix}/metrics"
    async with scraper.session.get(url, headers={"Accept": accept}) as answer:
        assert answer.status == 200, await answer.text()
        parse = openmetrics if "openmetrics" in answer.headers["Content-Type"] else prometheus
        families = parse(await answer.text())
        return {
            (each.name, frozenset(each.labels.items())): each.value
            for family in families
            for each in family.samples
        }


async def until_ended(host: Host, jobs: int) -> None:
    """Who waits for a job may see its result in the database a moment before its host counts it."""

    async def all_counted() -> bool:
        found = await scraped(host)
        return sum(count for (name, _), count in found.items() if name.endswith("_ended_total")) == jobs

    await until_answered(all_counted, f"{jobs} jobs being counted as ended")


def labelled(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return f"aiohttp_jobs_{name}", frozenset(labels.items())


async def status_of(caller: Caller, host: Host) -> int:
    return (await caller.request("GET", f"{host.address}{host.config.prefix}/metrics")).status


@BOTH
async def test_what_jobs_did_is_counted_by_outcome_and_mode_in_both_formats(start_host: StartHost) -> None:
    host = await start_host(**ON)
    caller = host.caller("debug")
    await caller.run("true")
    await caller.run("exit 3")
    await caller.run("exit 3", retry={"count": 1, "backoffSeconds": 0})
    await caller.run("pass", "MainLoop", interpreter="python")
    await until_ended(host, 4)
    for accept in ("text/plain", "application/openmetrics-text; version=1.0.0"):
        found = await scraped(host, accept)
        background = {"mode": "BackgroundJob"}
        assert found[labelled("ended_total", outcome="Succeeded", **background)] == 1
        assert found[labelled("ended_total", outcome="Failed", **background)] == 2
        assert found[labelled("retried_total", **background)] == 1
        assert found[labelled("ended_total", outcome="Succeeded", mode="MainLoop")] == 1
        assert found[labelled("accepted_total", **background)] == 3
        # What has not been met is there from the start, or else nobody sees the first one as a change.
        assert found[labelled("ended_total", outcome="TimedOut", mode="Runspace")] == 0
        for name in ("wait", "run"):
            assert found[labelled(f"{name}_seconds_count", **background)] == 4
            assert found[labelled(f"{name}_seconds_bucket", le="+Inf", **background)] == 4
            assert 0 < found[labelled(f"{name}_seconds_sum", **background)] < 240
        assert found[labelled("results")] == 4
        assert found[labelled("running")] == found[labelled("queued")] == found[labelled("paused")] == 0
        assert found[labelled("processes")] == 1
        assert found[labelled("workers", state="idle")] >= 0
        assert 0 < found[labelled("disk_free_bytes")] <= found[labelled("disk_bytes")]
    assert not [labels for _, labels in found if any("alice" in value for _, value in labels)]


async def test_each_process_tells_what_all_have_counted_and_what_the_dead_have(start_host: StartHost) -> None:
    first, second = await start_host(**ON), await start_host(**ON)
    await first.caller("debug").run("true", "MainLoop", interpreter="shell")
    await second.caller("debug").run("true", "MainLoop", interpreter="shell")
    ended = labelled("ended_total", outcome="Succeeded", mode="MainLoop")

    async def both_agree() -> bool:
        return [(await scraped(each))[ended] for each in (first, second)] == [2, 2]

    await until_answered(both_agree, "both telling of two jobs")
    assert (await scraped(second))[labelled("processes")] == 2
    await first.stop()
    found = await scraped(second)
    assert found[ended] == 2
    assert found[labelled("processes")] == 1


async def test_two_plugins_in_one_host_do_not_see_each_other(
    make_config: Callable[..., Any], tmp_path: Any
) -> None:
    app = web.Application()
    one = make_config(data_dir=tmp_path / "one", prefix="/one", **ON)
    two = make_config(data_dir=tmp_path / "two", prefix="/two", **ON)
    for config in (one, two):
        aiohttp_jobs.setup(app, config)
    host = await serve(app, one)
    try:
        await host.caller("debug").run("true")
        await until_ended(host, 1)
        ended = labelled("ended_total", outcome="Succeeded", mode="BackgroundJob")
        assert (await scraped(host))[ended] == 1
        host.config = two
        assert (await scraped(host))[ended] == 0
    finally:
        await host.stop()


async def test_they_are_for_the_token_and_for_the_role(start_host: StartHost) -> None:
    host = await start_host(**ON)
    assert await status_of(host.caller("task_manager"), host) == 200
    assert await status_of(await host.signed_in("task_manager"), host) == 200
    assert await status_of(host.caller("viewer"), host) == 403
    assert await status_of(host.stranger(), host) == 401
    assert await status_of(host.bearer(TOKEN + "x"), host) == 401
    # The token is for nothing else.
    assert (await host.bearer(TOKEN).request("GET", "/me")).status == 401


async def test_a_host_that_counts_nothing_says_so(host: Host) -> None:
    assert await status_of(host.caller("debug"), host) == 404
    assert await status_of(host.bearer(TOKEN), host) == 401
    assert not (host.base_dir / "Metrics").exists()
