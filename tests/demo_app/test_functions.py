"""The demo's own functions as jobs: who sees which, and what becomes of each."""

from __future__ import annotations

from typing import Any

from tests.conftest import Caller

from .conftest import Demo, SignIn

PASSWORD = "a-suppliers-password"


async def ended(caller: Caller, name: str, **values: Any) -> dict[str, Any]:
    """The result of a run that must be accepted."""
    answer = await caller.request("POST", f"/functions/{name}/run?wait=40", json={"values": values})
    assert answer.status == 200, answer.body
    result: dict[str, Any] = answer.body["result"]
    return result


async def until(caller: Caller, job_id: str, event: str) -> None:
    """Wait until the job's stream tells this."""
    async with caller.session.get(f"{caller.base}/jobs/{job_id}/events") as stream:
        async for line in stream.content:
            if line.decode().strip() == f"event: {event}":
                return
    raise AssertionError(f"no event {event} came")


async def test_who_is_signed_in_sees_the_functions_that_their_roles_may_run(
    demo: Demo, sign_in: SignIn
) -> None:
    for name, modes in (
        ("viewer", {"sales_report": ["Runspace", "BackgroundJob"]}),
        ("operator", {"tidy_archive": ["Runspace"], "fetch_prices": ["BackgroundJob"]}),
        ("admin", {"tidy_archive": ["Runspace", "MainLoop"]}),
    ):
        answer = await (await sign_in(demo, name)).request("GET", "/functions")
        shown = {each["Name"]: each["Modes"] for each in answer.body["functions"]}
        assert shown == {**shown, **modes}, name
        assert ("fetch_prices" in shown) == (name != "viewer")


async def test_somebody_who_may_run_no_command_gets_a_report(demo: Demo, sign_in: SignIn) -> None:
    result = await ended(await sign_in(demo, "viewer"), "sales_report", region="north", months=2, price=10)
    assert result["Status"] == "Succeeded", result["Output"]
    assert "225 sold in north\n" in result["Output"]
    assert result["ReturnValue"] == [
        {"month": 1, "sold": 95, "revenue": 950},
        {"month": 2, "sold": 130, "revenue": 1300},
    ]


async def test_what_takes_a_minute_shows_how_far_it_is_and_can_be_cancelled(
    demo: Demo, sign_in: SignIn
) -> None:
    caller = await sign_in(demo, "operator")
    job_id = (await caller.request("POST", "/functions/tidy_archive/run", json={})).body["jobId"]
    await until(caller, job_id, "progress")
    job = (await caller.request("GET", f"/jobs/{job_id}")).body["job"]
    assert job["Progress"]["Text"].endswith("of 60")
    assert (await caller.request("POST", f"/jobs/{job_id}/cancel", json={})).status == 202
    await until(caller, job_id, "end")
    result = (await caller.request("GET", f"/results/{job_id}")).body["result"]
    assert (result["Status"], result["CancelledBy"]) == ("Cancelled", "operator")
    assert "the rest is as it was." in result["Output"]


async def test_a_failure_shows_the_functions_own_lines_and_no_secret(demo: Demo, sign_in: SignIn) -> None:
    caller = await sign_in(demo, "operator")
    result = await ended(caller, "fetch_prices", supplier="Acme", password=PASSWORD)
    assert (result["Status"], result["ExitCode"]) == ("Failed", 1)
    output = result["Output"]
    assert "Asking Acme with a password …\n" in output
    assert "[ERROR] ConnectionError: Acme does not answer; this demo has no suppliers\n" in output
    assert "demo_app/functions.py" in output
    assert "aiohttp_jobs" not in output
    assert PASSWORD not in str(result)
