"""With a user's cookie another site gets nothing done: neither by script, nor by a form of an old browser."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from ..conftest import Caller, Host

StartHost = Callable[..., Awaitable[Host]]

UNKNOWN = "00000000-0000-4000-8000-000000000000"
BODILESS = ("/queue/pause", "/queue/resume", f"/jobs/{UNKNOWN}/cancel", f"/jobs/{UNKNOWN}/rerun",
            f"/notices/{UNKNOWN}/retry")  # fmt: skip
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def status(caller: Caller, method: str, path: str, **headers: str) -> int:
    answer = await caller.request(method, path, headers=headers)
    if answer.status == 403:
        assert answer.body["code"] == "cross_origin"
    return answer.status


@pytest.mark.parametrize("path", BODILESS)
async def test_a_form_of_another_site_stops_nobodys_jobs(host: Host, path: str) -> None:
    """One that names its site is refused for that, one of a browser that names none for being a form."""
    admin = await host.signed_in("system_admin", "debug")
    for headers in (
        {},
        FORM,
        {"Content-Type": "text/plain"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "null"},
        {"Origin": "https://evil.example", "X-Requested-With": "x"},
        {"Sec-Fetch-Site": "cross-site", "Content-Type": "application/json"},
    ):
        assert await status(admin, "POST", path, **headers) == 403, headers


@pytest.mark.parametrize("path", BODILESS)
async def test_the_own_page_a_script_and_a_key_are_no_such_form(host: Host, path: str) -> None:
    admin = await host.signed_in("system_admin", "debug")
    for headers in (
        {"Content-Type": "application/json"},
        {"X-Requested-With": "curl"},
        {"Sec-Fetch-Site": "same-origin", **FORM},
        {"Origin": host.address, **FORM},
    ):
        assert await status(admin, "POST", path, **headers) in {200, 404}, headers
    assert (await host.caller("system_admin", "debug").request("POST", path)).status in {200, 404}


async def test_the_specifications_deletion_needs_nothing_but_the_cookie(host: Host) -> None:
    """No form can send DELETE, and a script of another site is asked about by every browser."""
    alice = await host.signed_in("debug")
    job_id = (await alice.run("true"))["JobID"]
    assert await status(alice, "DELETE", f"/jobs/results?jobId={job_id}") == 200
    assert (
        await status(alice, "DELETE", f"/jobs/results?jobId={job_id}", Origin="https://evil.example") == 403
    )


async def test_what_the_browser_says_counts_also_where_a_proxy_changes_the_host(
    start_host: StartHost, caplog: pytest.LogCaptureFixture
) -> None:
    host = await start_host()
    admin = await host.signed_in("system_admin")
    public = {"Host": "127.0.0.1:8080", "Origin": "https://jobs.example.org"}
    assert await status(admin, "POST", "/queue/pause", **public, **{"Sec-Fetch-Site": "same-origin"}) == 200
    assert await status(admin, "POST", "/queue/pause", **public) == 403
    (message,) = [record.getMessage() for record in caplog.records if "trusted_origins" in record.message]
    assert "https://jobs.example.org" in message
    assert "127.0.0.1:8080" in message


async def test_a_forwarded_host_is_believed_of_trusted_proxies_alone(start_host: StartHost) -> None:
    headers = {
        "Host": "backend",
        "Origin": "https://jobs.example.org",
        "X-Forwarded-Host": "jobs.example.org",
    }
    for proxies, expected in (((), 403), (("10.0.0.0/8",), 403), (("127.0.0.1/32", "::1"), 200)):
        host = await start_host(trusted_proxies=proxies)
        admin = await host.signed_in("system_admin")
        assert await status(admin, "POST", "/queue/pause", **headers) == expected
        evil = {**headers, "X-Forwarded-Host": "jobs.example.org, backend"}
        assert await status(admin, "POST", "/queue/pause", **evil) == 403
        await host.stop()


async def test_a_browser_is_told_by_the_answer_what_to_do(host: Host) -> None:
    answer = await (await host.signed_in("system_admin")).request("POST", "/queue/pause", headers=FORM)
    assert "X-Requested-With" in answer.body["error"]
