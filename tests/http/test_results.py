"""``/api/v1/results`` as its users meet it: pages, search, statistics, deletion, and who may do what."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from aiohttp_jobs.model.job import LONG_FIELDS, format_utc
from tests.conftest import Answer, Caller, Host
from tests.gate import until_answered

from ..engines import BOTH

COMPLETED = datetime.now(UTC) - timedelta(hours=5)


@pytest.fixture
async def alice(host: Host) -> Caller:
    return host.caller("task_manager")


def put(host: Host, minute: float = 0, **fields: Any) -> str:
    """A result file as a job leaves it; the job's id."""
    completed = COMPLETED + timedelta(minutes=minute)
    record = {
        "JobID": str(uuid4()),
        "UserID": "alice",
        "SessionID": "s",
        "JobName": "put",
        "Command": "true",
        "Description": "",
        "ExecutionMode": "BackgroundJob",
        "DateStarted": format_utc(completed - timedelta(seconds=2)),
        "DateCompleted": format_utc(completed),
        "Runtime": 2.0,
        "Output": "something",
        "Success": True,
        "Status": "Succeeded",
        "TemplateID": "t-1",
        **fields,
    }
    (host.base_dir / "JobResults" / f"{record['JobID']}.json").write_text(json.dumps(record))
    return str(record["JobID"])


async def listed(caller: Caller, query: str = "") -> list[str]:
    answer = await caller.request("GET", f"/results{query}")
    assert answer.status == 200, answer.body
    assert answer.body["success"] is True
    assert answer.body["count"] == len(answer.body["results"])
    return [record["JobID"] for record in answer.body["results"]]


async def known(caller: Caller, count: int, query: str = "") -> list[str]:
    """The list, once it has as many results."""
    ids: list[str] = []

    async def are_listed() -> bool:
        ids[:] = await listed(caller, query)
        return len(ids) == count

    await until_answered(are_listed, f"a list of {count} results")
    return ids


def faults(answer: Answer) -> list[str]:
    assert answer.status == 422, answer.body
    assert answer.body["code"] == "invalid_fields"
    return [detail["field"] for detail in answer.body["details"]]


async def test_a_result_is_listed_without_its_output(alice: Caller) -> None:
    whole = await alice.run("echo hello")
    answer = await alice.request("GET", "/results")
    assert answer.body == {
        "success": True,
        "count": 1,
        "results": [{name: value for name, value in whole.items() if name not in LONG_FIELDS}],
        "nextCursor": None,
        "indexing": False,
    }


@BOTH
async def test_it_is_there_once_the_job_shows_as_ended(alice: Caller) -> None:
    for _ in range(5):
        job_id = await alice.submit("true")
        status = ""
        while status != "Succeeded":
            status = (await alice.request("GET", f"/jobs/{job_id}")).body["job"]["Status"]
        assert (await listed(alice))[0] == job_id


async def test_pages_follow_one_another(host: Host, alice: Caller) -> None:
    ids = [put(host, minute) for minute in range(7)][::-1]
    await known(alice, 7)
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = await alice.request("GET", f"/results?limit=3{cursor and '&cursor=' + cursor}")
        found += [record["JobID"] for record in answer.body["results"]]
        cursor = answer.body["nextCursor"]
    assert found == ids


async def test_filters_and_search(host: Host, alice: Caller) -> None:
    good = put(host, 1, JobName="nightly", Output="a line\nwith a needle, in the haystack\nand more")
    bad = put(host, 2, JobName="nightly 2", Success=False, Status="Failed", ExecutionMode="Runspace")
    await known(alice, 2)
    assert await listed(alice, "?status=Failed,TimedOut") == [bad]
    assert await listed(alice, "?status=Failed&status=Succeeded") == [bad, good]
    assert await listed(alice, "?mode=Runspace") == [bad]
    assert await listed(alice, "?name=nightly") == [good]
    assert await listed(alice, "?name=night*") == [bad, good]
    assert await listed(alice, "?success=true") == [good]
    assert await listed(alice, "?sort=completed") == [good, bad]
    moment = format_utc(COMPLETED + timedelta(minutes=2))
    assert await listed(alice, f"?from={moment}") == [bad]
    assert await listed(alice, f"?to={moment}") == [good]
    assert await listed(alice, "?from=2001-01-01") == [bad, good]
    assert await listed(alice, "?from=2001-01-01T00:00:00+02:00") == [bad, good]
    answer = await alice.request("GET", "/results?q=NEEDLE")
    (found,) = answer.body["results"]
    assert (found["JobID"], found["TemplateID"]) == (good, "t-1")
    assert found["Snippet"] == "a line with a needle, in the haystack and more"
    assert "Output" not in found


async def test_a_bad_query_names_the_field(alice: Caller) -> None:
    for query, field in (
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("status=Running", "status"),
        ("mode=Thread", "mode"),
        ("name=", "name"),
        ("name=%00", "name"),
        ("from=yesterday", "from"),
        ("to=2026-13-01", "to"),
        ("from=0001-01-01T00:00:00%2B14:00", "from"),
        ("success=maybe", "success"),
        ("sort=size", "sort"),
        ("scope=none", "scope"),
        ("q=", "q"),
        ("q=--", "q"),
        ("q=a*", "q"),
        ("q=" + "x" * 1001, "q"),
        ("user=", "user"),
        ("colour=red", "colour"),
        ("cursor=", "cursor"),
        ("cursor=abc", "cursor"),
        ("cursor=" + "A" * 4001, "cursor"),
    ):
        assert faults(await alice.request("GET", f"/results?{query}")) == [field], query


async def test_a_cursor_of_another_list_is_refused(host: Host, alice: Caller) -> None:
    for minute in range(3):
        put(host, minute)
    await known(alice, 3)
    cursor = (await alice.request("GET", "/results?limit=1")).body["nextCursor"]
    assert await listed(alice, f"?cursor={cursor}")
    for query in ("sort=name", "status=Failed", "q=something"):
        assert faults(await alice.request("GET", f"/results?{query}&cursor={cursor}")) == ["cursor"]
    bob = host.caller("task_manager", user_id="bob")
    assert faults(await bob.request("GET", f"/results?cursor={cursor}")) == ["cursor"]


async def test_others_results_are_for_administrators(host: Host, alice: Caller) -> None:
    job_id = put(host)
    bob, admin = host.caller("debug", user_id="bob"), host.caller("system_admin", user_id="root")
    assert await known(alice, 1) == [job_id]
    assert await listed(bob) == []
    assert await listed(bob, "?q=something") == []
    assert await listed(bob, "?user=bob") == []
    for query in ("scope=all", "user=alice", "user=alice&q=something"):
        assert (await bob.request("GET", f"/results?{query}")).status == 403
    assert await listed(admin) == []
    assert await listed(admin, "?scope=all") == await listed(admin, "?user=alice&q=something") == [job_id]
    assert (await bob.request("GET", "/results/stats?scope=all")).status == 403
    assert (await bob.request("GET", f"/results/{job_id}")).status == 403
    assert (await admin.request("GET", f"/results/{job_id}")).status == 200


async def test_nobody_gets_anything(host: Host) -> None:
    stranger = host.stranger()
    for method, path in (
        ("GET", "/results"),
        ("GET", "/results/stats"),
        ("POST", "/results/delete"),
        ("GET", "/results/1fb44c2a-58c0-4dc3-8bd7-827040ac0686"),
    ):
        answer = await stranger.request(method, path)
        assert (answer.status, answer.body["code"]) == (401, "not_authenticated"), path


async def test_roles_may_be_needed(start_host: Any) -> None:
    rows = {"list_results": frozenset({"reader"}), "delete_results": frozenset({"cleaner"})}
    host = await start_host(endpoint_roles=rows)
    other = host.caller("debug")
    body = {"jobIds": [str(uuid4())]}
    assert (await other.request("GET", "/results")).status == 403
    assert (await other.request("GET", "/results/stats")).status == 403
    assert (await other.request("POST", "/results/delete", json=body)).status == 403
    assert (await host.caller("reader").request("GET", "/results")).status == 200
    assert (await host.caller("cleaner").request("POST", "/results/delete", json=body)).status == 200


# --- statistics


async def test_statistics(host: Host, alice: Caller) -> None:
    put(host, 1)
    put(host, 2, Success=False, Status="Failed", Runtime=8.0)
    put(host, 3, UserID="bob")
    await known(alice, 2)
    stats = (await alice.request("GET", "/results/stats?bucket=hour")).body["stats"]
    assert len(stats["buckets"]) in {48, 49}
    assert set(stats["buckets"][0]) == {
        "Start", "Succeeded", "Failed", "TimedOut", "Cancelled", "Interrupted", "Rejected",
    }  # fmt: skip
    assert sum(bucket["Succeeded"] for bucket in stats["buckets"]) == 1
    assert stats["runtime"] == {"Count": 2, "P50": 2.0, "P90": 8.0, "P99": 8.0, "Max": 8.0}
    assert stats["names"] == [{"JobName": "put", "Count": 2, "Failed": 1, "P50": 2.0}]
    admin = host.caller("site_admin", user_id="root")
    everyone = (await admin.request("GET", "/results/stats?scope=all")).body["stats"]
    assert everyone["runtime"]["Count"] == 3
    none = (await alice.request("GET", "/results/stats?name=other")).body["stats"]
    assert none["runtime"]["Count"] == 0


async def test_bad_statistics_queries_are_refused(alice: Caller) -> None:
    for query in (
        "bucket=week",
        "from=x",
        "from=2026-01-02&to=2026-01-01",
        "from=2020-01-01&to=2026-01-01&bucket=hour",
        "to=0001-01-01",
        "from=9999-12-31",
        "name=",
        "scope=some",
        "user=alice",
    ):
        assert faults(await alice.request("GET", f"/results/stats?{query}")), query


# --- deletion


async def test_results_are_deleted_by_their_ids(host: Host, alice: Caller, tmp_path: Path) -> None:
    done = (await alice.run("echo gone"))["JobID"]
    kept, gone = put(host, 1), put(host, 2)
    await known(alice, 3)
    answer = await alice.request(
        "POST", "/results/delete", json={"jobIds": [done, gone.upper(), str(uuid4())]}
    )
    assert (answer.status, answer.body) == (200, {"success": True, "deleted": 2, "more": False})
    assert await listed(alice) == [kept]
    assert not list(host.base_dir.glob(f"JobOutput/*{done}*"))
    assert (await alice.request("GET", f"/results/{done}")).status == 404


async def test_with_one_result_of_somebody_else_none_is_deleted(host: Host, alice: Caller) -> None:
    mine, theirs = put(host, 1), put(host, 2, UserID="bob")
    for caller in (alice, host.caller("system_admin")):
        answer = await caller.request("POST", "/results/delete", json={"jobIds": [mine, theirs]})
        assert (answer.status, answer.body["code"]) == (403, "forbidden")
    assert {path.stem for path in (host.base_dir / "JobResults").glob("*.json")} == {mine, theirs}


async def test_results_are_deleted_by_a_filter_in_bounded_steps(host: Host, alice: Caller) -> None:
    for minute in range(510):
        put(host, minute / 10, Status="Failed", Success=False, Output="boom")
    kept, theirs = put(host, 99), put(host, 99, UserID="bob", Status="Failed", Success=False)
    await known(alice, 511, "?limit=1000")
    request = {"filter": {"status": ["Failed"], "q": "boom"}}
    first = await alice.request("POST", "/results/delete", json=request)
    assert first.body == {"success": True, "deleted": 500, "more": True}
    second = await alice.request("POST", "/results/delete", json=request)
    assert second.body == {"success": True, "deleted": 10, "more": False}
    assert await listed(alice) == [kept]
    assert await known(host.caller("debug", user_id="bob"), 1) == [theirs]


async def test_bad_deletions_are_refused(alice: Caller) -> None:
    bodies: list[Any] = [
        {},
        {"jobIds": []},
        {"jobIds": ["x"]},
        {"jobIds": ["1fb44c2a-58c0-4dc3-8bd7-827040ac0686"] * 1001},
        {"jobIds": "x"},
        {"jobIds": ["1fb44c2a-58c0-4dc3-8bd7-827040ac0686"], "filter": {"name": "x"}},
        {"filter": {}},
        {"filter": {"user": "bob"}},
        {"filter": {"scope": "all"}},
        {"filter": {"status": "Failed"}},
        {"filter": {"q": "--"}},
        {"filter": {"from": 5}},
        {"filter": {"name": None}},
        {"filter": {"status": []}},
        {"filter": []},
        {"other": 1},
    ]
    for body in bodies:
        assert faults(await alice.request("POST", "/results/delete", json=body)), body


async def test_bodies_that_are_no_json_are_refused(alice: Caller) -> None:
    for data, content_type, status in ((b"{", "application/json", 400), (b"{}", "text/plain", 415)):
        headers = {"Content-Type": content_type}
        assert (await alice.request("POST", "/results/delete", data=data, headers=headers)).status == status
