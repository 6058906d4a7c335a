"""Identity, then role, then the rest, on every route: who is refused costs nothing and learns nothing.

The routes come from the router of the mounted application, so that a new one is walked as well.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable

import pytest
from yarl import URL

from aiohttp_jobs.engine.embedded.api_keys import ApiKeys
from aiohttp_jobs.http.auth.middleware import is_public

from ..conftest import Host
from ..gate import PATIENCE_SECONDS
from ..raw_streams import connected
from ..routes import Route, walk

StartHost = Callable[..., Awaitable[Host]]
Crowd = dict[str, tuple[frozenset[str], dict[str, str]]]

UNKNOWN = "00000000-0000-4000-8000-000000000000"
ELEVATED = ("debug", "task_manager", "system_admin", "site_admin")
FOR_EVERYBODY_SIGNED_IN = {
    "GET /me",
    "GET /openapi.json",
    "GET /jobs/{job_id}",
    "GET /jobs/{job_id}/attempts",
    "GET /jobs/{job_id}/events",
    "GET /jobs/{job_id}/output",
    "GET /jobs/{job_id}/output/digest",
    "POST /jobs/{job_id}/rerun",
    "GET /schedules",
    "GET /schedules/preview",
    "GET /schedules/{schedule_id}",
    "PATCH /schedules/{schedule_id}",
    "DELETE /schedules/{schedule_id}",
    "GET /schedules/{schedule_id}/next",
    "GET /functions",
    "GET /functions/{name}",
    "POST /functions/{name}/run",
    "GET /templates",
    "GET /templates/{template_id}",
    "POST /templates/{template_id}/run",
    "GET /templates/{template_id}/triggers",
    "DELETE /triggers/{trigger_id}",
}
"""Whose own they are, or which roles may run them, is told by what they name and not by the route."""


class Wire:
    """Requests as a socket takes them: what is announced need not be sent."""

    def __init__(self, host: Host) -> None:
        self._port = int(host.address.rpartition(":")[2])

    async def ask(
        self, method: str, address: str, headers: dict[str, str], body: bytes = b"", announced: int = 0
    ) -> tuple[int, str]:
        """The status of the answer, and its ``code`` if it has one."""
        async with connected("127.0.0.1", self._port) as (reader, writer):
            lines = [f"{method} {address} HTTP/1.1", "Host: x", "Connection: close"]
            lines += [f"{name}: {value}" for name, value in headers.items()]
            if body or announced:
                lines.append(f"Content-Length: {announced or len(body)}")
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            async with asyncio.timeout(PATIENCE_SECONDS):
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                found = re.search(r"(?mi)^content-length: ([0-9]+)", head)
                text = await reader.readexactly(int(found[1])) if found else b""
            status = int(head.split()[1])
            return status, json.loads(text).get("code", "") if status >= 400 and text else ""


@pytest.fixture
async def crowd(host: Host) -> Crowd:
    """Everybody who may come: their roles, and the headers that prove them."""
    keys = ApiKeys.in_data_dir(host.config.data_dir)
    found: Crowd = {}
    for role in ("", "viewer", *ELEVATED):
        roles = (role,) if role else ()
        _, secret = keys.create(name="test", user_id="alice", roles=roles)
        found[f"key of {role or 'nobody'}"] = frozenset(roles), {"Authorization": f"Bearer {secret}"}
        caller = await host.signed_in(*roles)
        jar = caller.session.cookie_jar.filter_cookies(URL(host.address))
        cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in jar.items())
        proof = {"Cookie": cookie, "Sec-Fetch-Site": "same-origin"}
        found[f"session of {role or 'nobody'}"] = frozenset(roles), proof
    return found


JSON = {"Content-Type": "application/json"}
LONG = "x" * 4000


async def attempts(wire: Wire, route: Route, proof: dict[str, str]) -> list[tuple[int, str]]:
    """Answers to requests that nobody should judge who has not judged the caller yet."""
    bad, good = route.address("%2e%2e%2fno-id"), route.address(UNKNOWN)
    query = "?limit=no&count=-1&maxResults=no&wait=no&state=no&cursor=no&q=%22&jobId=no&unknown=1"
    has_body = route.method in {"POST", "PUT", "PATCH"}
    tries = [
        wire.ask(route.method, bad, proof),
        wire.ask(route.method, good + query, proof),
        wire.ask(route.method, f"{good}?limit={LONG}", proof),
    ]
    if has_body:
        tries += [
            wire.ask(route.method, good, {**proof, **JSON}, b"{"),
            wire.ask(route.method, good, {**proof, "Content-Type": "text/csv"}, b"a;b"),
            wire.ask(route.method, good, {**proof, **JSON}, b"{}", announced=10**9),
        ]
    tries.append(wire.ask(route.method, good, {**proof, **JSON}, b"", announced=1000))
    return list(await asyncio.gather(*tries))


async def test_a_stranger_is_turned_away_before_anything_else_is_looked_at(host: Host) -> None:
    wire = Wire(host)
    for route in walk(host):
        if is_public(route.handler):
            continue
        for proof in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": "PSWebSessionID=wrong"}):
            answers = set(await attempts(wire, route, proof))
            # Whoever guesses too many keys is not even told any more that they are wrong.
            assert answers <= {(401, "not_authenticated"), (429, "too_many_attempts")}, route.name


async def test_who_lacks_the_role_is_turned_away_before_anything_else_is_looked_at(
    host: Host, crowd: Crowd
) -> None:
    wire, refused = Wire(host), 0
    for route in walk(host):
        right = route.right
        if right is None:
            continue
        for who, (roles, proof) in crowd.items():
            is_allowed = all(
                "authenticated" in host.config.endpoint_roles[name]
                or roles & host.config.endpoint_roles[name]
                for name in right.endpoints
            ) and not (right.person and who.startswith("key"))
            if not is_allowed:
                answers = set(await attempts(wire, route, proof))
                assert answers == {(403, "forbidden")}, (route.name, who)
                refused += 1
    assert refused > 50


async def test_no_route_forgets_to_say_whom_it_is_for(host: Host) -> None:
    silent = [each.name for each in walk(host) if each.right is None and not is_public(each.handler)]
    assert not silent
    for_all = {each.name for each in walk(host) if each.right is not None and not each.right.endpoints}
    assert for_all == FOR_EVERYBODY_SIGNED_IN


async def test_a_role_that_a_host_takes_away_is_asked_for_on_every_route(start_host: StartHost) -> None:
    """Independent of what the routes say of themselves: nobody has any right, so nothing may be judged."""
    from aiohttp_jobs.model.roles import ENDPOINT_ROLES  # noqa: PLC0415 - the table that is overridden here

    host = await start_host(endpoint_roles=dict.fromkeys(ENDPOINT_ROLES, frozenset({"nobody has it"})))
    _, secret = ApiKeys.in_data_dir(host.config.data_dir).create(name="t", user_id="a", roles=ELEVATED)
    wire, proof = Wire(host), {"Authorization": f"Bearer {secret}"}
    for route in walk(host):
        if not is_public(route.handler) and route.name not in FOR_EVERYBODY_SIGNED_IN:
            assert set(await attempts(wire, route, proof)) == {(403, "forbidden")}, route.name


async def test_everybodys_things_are_refused_before_the_rest_of_the_query_is_judged(host: Host) -> None:
    viewer = host.caller()
    for path in (
        "/jobs?scope=all&limit=no", "/results?scope=all&limit=no", "/results?user=bob&limit=no",
        "/results/stats?scope=all&from=no", "/notices?scope=all&limit=no", "/jobs/feed?scope=all",
    ):  # fmt: skip
        answer = await viewer.request("GET", path)
        assert (answer.status, answer.body["code"]) == (403, "forbidden"), path


async def test_nobody_waits_for_the_body_of_a_change_to_something_there_is_not(
    host: Host, crowd: Crowd
) -> None:
    """Nor to something of somebody else's: what a body is for is looked up before it is read.

    But for what is delivered to a trigger, which is proven by its body.
    """
    wire = Wire(host)
    for route in walk(host):
        is_for_admins = route.right is not None and "manage_queue" in route.right.endpoints
        _, proof = crowd["session of system_admin" if is_for_admins else "session of debug"]
        if (
            route.has_id
            and not is_public(route.handler)
            and route.method in {"POST", "PUT", "PATCH", "DELETE"}
        ):
            status, _ = await wire.ask(
                route.method, route.address(UNKNOWN), {**proof, **JSON}, announced=1000
            )
            assert status == 404, route.name


async def test_who_may_not_run_a_template_is_told_so_before_its_values_are_read(host: Host) -> None:
    body = {"name": "t", "command": "true", "executionMode": "BackgroundJob"}
    made = await host.caller("task_manager").request("POST", "/templates", json=body)
    _, secret = ApiKeys.in_data_dir(host.config.data_dir).create(
        name="t", user_id="root", roles=["system_admin"]
    )
    path = f"{host.config.prefix}/api/v1/templates/{made.body['template']['TemplateID']}/run"
    proof = {"Authorization": f"Bearer {secret}", **JSON}
    assert await Wire(host).ask("POST", path, proof, announced=1000) == (403, "forbidden")


async def test_a_viewer_still_reads_in_the_specifications_words_which_role_a_mode_needs(host: Host) -> None:
    viewer = host.caller()
    body = {"jobName": "j", "command": "true", "executionMode": "MainLoop"}
    answer = await viewer.request("POST", "/jobs/submit", json=body)
    assert (answer.status, answer.body["error"]) == (403, "MainLoop execution mode requires 'debug' role")
