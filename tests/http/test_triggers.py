"""Triggers as their senders and owners meet them: real-shaped payloads, proven as their senders do."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from ..conftest import Answer, Caller, Host
from ..engines import BOTH

StartHost = Callable[..., Awaitable[Host]]
TEMPLATE: dict[str, Any] = {
    "name": "deploy",
    "command": 'echo "$PARAM_what $PARAM_who $PARAM_count"',
    "executionMode": "BackgroundJob",
    "parameters": [
        {"name": "what", "type": "string", "required": True, "pattern": "[A-Za-z0-9/_.-]+"},
        {"name": "who", "type": "string", "default": "nobody"},
        {"name": "count", "type": "int", "default": 0},
        {"name": "token", "type": "secret", "required": False},
    ],
}
GITHUB_PUSH: dict[str, Any] = {
    "ref": "refs/heads/main",
    "before": "6113728f27ae82c7b1a177c8d03f9e96e0adf246",
    "after": "59b20b8d5c6ff8d09518454d4dd8b7b30f095ab5",
    "repository": {"id": 186853002, "full_name": "Codertocat/Hello-World", "private": False},
    "pusher": {"name": "Codertocat", "email": "21031067+Codertocat@users.noreply.github.com"},
    "commits": [{"id": "59b20b8", "message": "$(touch /tmp/owned); echo", "added": ["a"], "removed": []}],
}
GITLAB_PUSH: dict[str, Any] = {
    "object_kind": "push",
    "event_name": "push",
    "ref": "refs/heads/main",
    "checkout_sha": "da1560886d4f094c3e6c9ef40349f7d38b5d27d7",
    "user_username": "jsmith",
    "project_id": 15,
    "project": {"path_with_namespace": "mike/diaspora", "default_branch": "main"},
    "total_commits_count": 4,
}
ALERT: dict[str, Any] = {
    "version": "4",
    "groupKey": '{}:{alertname="DiskFull"}',
    "truncatedAlerts": 0,
    "status": "firing",
    "receiver": "jobs",
    "groupLabels": {"alertname": "DiskFull"},
    "commonLabels": {"alertname": "DiskFull", "instance": "db1:9100"},
    "commonAnnotations": {},
    "externalURL": "http://alertmanager:9093",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "DiskFull", "instance": "db1:9100", "severity": "page"},
            "annotations": {"summary": "full"},
            "startsAt": "2026-01-23T10:30:00Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus:9090/graph",
            "fingerprint": "c5a2e8d1f4b37a60",
        }
    ],
}


class Sender:
    """Another program, which knows the address and the secret of a trigger."""

    def __init__(self, host: Host, path: str, secret: str) -> None:
        self._caller, self._address, self.secret = host.stranger(), f"{host.address}{path}", secret

    async def send(self, payload: Any, **headers: str) -> Answer:
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        given = {"Content-Type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
        return await self._caller.request("POST", self._address, data=body, headers=given)

    async def github(self, payload: Any) -> Answer:
        body = json.dumps(payload).encode()
        digest = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
        return await self.send(body, X_Hub_Signature_256=f"sha256={digest}", X_GitHub_Delivery=str(uuid4()))

    async def gitlab(self, payload: Any, sent: float | None = None, webhook_id: str | None = None) -> Answer:
        body, webhook_id, at = (
            json.dumps(payload).encode(),
            webhook_id or str(uuid4()),
            int(sent or time.time()),
        )
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        digest = hmac.new(key, f"{webhook_id}.{at}.".encode() + body, hashlib.sha256).digest()
        return await self.send(
            body,
            webhook_id=webhook_id,
            webhook_timestamp=str(at),
            webhook_signature=f"v1,AAAA v1,{base64.b64encode(digest).decode()}",
        )

    async def bearer(self, payload: Any, **headers: str) -> Answer:
        return await self.send(payload, Authorization=f"Bearer {self.secret}", **headers)


async def template_of(caller: Caller, **fields: Any) -> str:
    answer = await caller.request("POST", "/templates", json={**TEMPLATE, **fields})
    assert answer.status == 201, answer.body
    made: str = answer.body["template"]["TemplateID"]
    return made


async def make_sender(
    host: Host, caller: Caller, proof: str, template_id: str | None = None, **fields: Any
) -> Sender:
    template_id = template_id or await template_of(caller)
    body = {"name": "hook", "proof": proof, **fields}
    answer = await caller.request("POST", f"/templates/{template_id}/triggers", json=body)
    assert answer.status == 201, answer.body
    return Sender(host, answer.body["trigger"]["Path"], answer.body["secret"])


async def outcome(caller: Caller, answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer.body
    return await caller.result(answer.body["jobId"])


@BOTH
async def test_a_push_to_github_runs_a_template_as_the_triggers_owner(host: Host) -> None:
    alice = host.caller("task_manager")
    sender = await make_sender(
        host,
        alice,
        "github",
        paths={"what": "repository.full_name", "who": "pusher.name", "count": "repository.id"},
        only=[{"path": "ref", "equals": "refs/heads/main"}],
    )
    result = await outcome(alice, await sender.github(GITHUB_PUSH))
    assert (result["UserID"], result["Output"]) == ("alice", "Codertocat/Hello-World Codertocat 186853002\n")
    template = (await alice.request("GET", "/templates")).body["templates"][0]["TemplateID"]
    (trigger,) = (await alice.request("GET", f"/templates/{template}/triggers")).body["triggers"]
    assert (result["TriggerID"], trigger["LastJobID"]) == (trigger["TriggerID"], result["JobID"])
    assert trigger["CreatedAt"][:19] <= trigger["LastUsedAt"][:19] <= result["DateCompleted"][:19]

    again = await sender.github(GITHUB_PUSH)  # another X-GitHub-Delivery, which nothing signs
    assert (again.status, again.body["jobId"]) == (200, result["JobID"])
    assert again.body["message"] == "This delivery was received before"
    for other in ({**GITHUB_PUSH, "ref": "refs/heads/topic"}, {"zen": "Design for failure.", "hook_id": 1}):
        ignored = await sender.github(other)
        assert (ignored.status, ignored.body["jobId"]) == (200, None)
    assert len(await alice.results()) == 1


async def test_gitlab_proves_itself_by_its_token_or_by_its_signature(host: Host) -> None:
    alice = host.caller("task_manager")
    sender = await make_sender(
        host, alice, "gitlab",
        paths={"what": "project.path_with_namespace", "who": "user_username", "count": "total_commits_count"},
    )  # fmt: skip
    first = await outcome(alice, await sender.send(GITLAB_PUSH, X_Gitlab_Token=sender.secret))
    assert first["Output"] == "mike/diaspora jsmith 4\n"
    await outcome(alice, await sender.gitlab(GITLAB_PUSH, webhook_id="one"))
    repeated = await sender.gitlab(GITLAB_PUSH, webhook_id="one")
    assert repeated.body["message"] == "This delivery was received before"
    for sent in (time.time() - 301, time.time() + 900):  # which comes nearer while it is on its way
        assert (await sender.gitlab(GITLAB_PUSH, sent=sent)).status == 401
    # A signature that is there has to hold, whatever else is.
    both = await sender.send(
        GITLAB_PUSH, X_Gitlab_Token=sender.secret, webhook_id="two",
        webhook_timestamp=str(int(time.time())), webhook_signature="v1,AAAA",
    )  # fmt: skip
    assert both.status == 401


async def test_alertmanagers_alert_runs_a_template_while_it_fires(host: Host) -> None:
    alice = host.caller("task_manager")
    sender = await make_sender(
        host, alice, "bearer",
        paths={"what": "alerts[0].labels.alertname", "who": 'commonLabels["instance"]'},
        values={"count": 7},
        only=[{"path": "status", "equals": "firing"}, {"path": "truncatedAlerts", "equals": 0}],
    )  # fmt: skip
    assert (await outcome(alice, await sender.bearer(ALERT)))["Output"] == "DiskFull db1:9100 7\n"
    assert (await sender.bearer({**ALERT, "status": "resolved"})).body["jobId"] is None
    # What is sent again by somebody who may send anything is another delivery, unless it says that it is not.
    assert (await sender.bearer(ALERT)).body["message"] == "Job submitted successfully"
    keyed = [await sender.bearer(ALERT, Idempotency_Key="k1") for _ in range(2)]
    assert keyed[0].body["jobId"] == keyed[1].body["jobId"]


async def test_values_are_checked_by_the_template_and_never_code(host: Host) -> None:
    alice = host.caller("task_manager")
    message = await make_sender(host, alice, "github", paths={"what": "commits[0].message"})
    refused = await message.github(GITHUB_PUSH)
    assert (refused.status, refused.body["error"]) == (422, "values.what must match [A-Za-z0-9/_.-]+.")
    who = await make_sender(host, alice, "github", paths={"what": "after", "who": "commits[0].message"})
    result = await outcome(alice, await who.github(GITHUB_PUSH))
    assert result["Output"] == f"{GITHUB_PUSH['after']} $(touch /tmp/owned); echo 0\n"
    for path in ("nothing.there", "commits[7].id", "ref.x", "commits"):
        sender = await make_sender(host, alice, "github", paths={"what": path})
        assert (await sender.github(GITHUB_PUSH)).status == 422
    assert (await who.send(b"{", X_Hub_Signature_256="sha256=0")).status == 401


async def test_a_delivery_that_was_refused_may_come_again(start_host: StartHost) -> None:
    host = await start_host(max_pending_per_user=1)
    alice = host.caller("task_manager", "system_admin")
    sender = await make_sender(host, alice, "github", paths={"what": "ref"})
    await alice.request("POST", "/queue/pause")
    waiting = await alice.submit("true")
    assert (await sender.github(GITHUB_PUSH)).status == 429
    await alice.request("POST", f"/jobs/{waiting}/cancel")
    await alice.result(waiting)
    await alice.request("POST", "/queue/resume")
    assert (await outcome(alice, await sender.github(GITHUB_PUSH)))["Success"]


async def test_two_of_the_same_at_once_are_one_job_also_after_a_restart(start_host: StartHost) -> None:
    host = await start_host()
    alice = host.caller("task_manager")
    sender = await make_sender(host, alice, "github", paths={"what": "ref"})
    answers = await asyncio.gather(*(sender.github(GITHUB_PUSH) for _ in range(4)))
    (job_id,) = {answer.body["jobId"] for answer in answers}
    await alice.result(job_id)
    secret = sender.secret
    path = sender._address.removeprefix(host.address)
    await host.stop()
    host = await start_host()
    again = await Sender(host, path, secret).github(GITHUB_PUSH)
    assert (again.body["jobId"], again.body["message"]) == (job_id, "This delivery was received before")


async def test_too_many_in_a_minute_are_told_when_to_come_again(start_host: StartHost) -> None:
    host = await start_host(max_trigger_deliveries_per_minute=2)
    alice = host.caller("task_manager")
    sender = await make_sender(host, alice, "github", paths={"what": "after"})
    for number in range(3):
        answer = await sender.github({**GITHUB_PUSH, "after": f"c{number}"})
    assert (answer.status, answer.body["limit"]["name"]) == (429, "maxTriggerDeliveriesPerMinute")
    assert 1 <= int(answer.headers["Retry-After"]) <= 61
    assert (await sender.github({**GITHUB_PUSH, "after": "c0"})).status == 200  # known already


NO_TRIGGERS: list[tuple[dict[str, Any], str]] = [
    # fields of a trigger, and what is said of them
    ({"paths": {"whom": "ref"}}, "paths.whom is not a parameter of this template."),
    ({"paths": {"what": "ref"}, "values": {"what": "x"}}, "values.what has a path already."),
    (
        {"values": {"token": "x"}},
        "values.token is a secret, which a trigger cannot keep: give it a path.",
    ),
    ({"paths": {"what": "a..b"}}, "paths.what must be a path such as commits[0].author.name"),
    ({"paths": {"what": "$(x)"}}, "paths.what must be a path such as"),
    ({"only": [{"path": "ref", "equals": [1]}]}, "only.0.equals"),
    ({"proof": "password"}, "proof must be 'github', 'gitlab', 'standard' or 'bearer'"),
]


async def test_what_a_trigger_cannot_be_is_said(host: Host) -> None:
    alice = host.caller("task_manager")
    path = f"/templates/{await template_of(alice)}/triggers"
    for fields, said in NO_TRIGGERS:
        answer = await alice.request("POST", path, json={"name": "x", "proof": "github", **fields})
        assert answer.status == 422, fields
        assert said in answer.body["error"], fields


async def test_who_sees_and_removes_a_trigger(start_host: StartHost) -> None:
    host = await start_host()
    alice, carol = host.caller("task_manager"), host.caller("debug", user_id="carol")
    template = await template_of(alice, runRoles=["debug"])
    sender = await make_sender(host, carol, "bearer", template, paths={"what": "ref"})
    trigger = sender._address.rpartition("/")[2]
    listing = f"/templates/{template}/triggers"
    assert [each["UserID"] for each in (await alice.request("GET", listing)).body["triggers"]] == ["carol"]
    dave = host.caller("debug", user_id="dave")
    assert (await dave.request("GET", listing)).body["triggers"] == []
    for method, path in (("DELETE", f"/triggers/{trigger}"), ("POST", f"/triggers/{trigger}/rotate")):
        assert (await dave.request(method, path)).status == 404
    off = {"enabled": False}
    assert (await dave.request("PATCH", f"/triggers/{trigger}", json=off)).status == 404
    assert (await alice.request("PATCH", f"/triggers/{trigger}", json=off)).status == 403
    assert (await alice.request("POST", f"/triggers/{trigger}/rotate")).status == 403
    assert (await outcome(carol, await sender.bearer({"ref": "x"})))["UserID"] == "carol"
    assert (await alice.request("DELETE", f"/triggers/{trigger}")).status == 200
    assert (await sender.bearer({"ref": "x"})).status == 401


async def test_while_it_is_off_a_trigger_refuses_what_it_is_sent(host: Host) -> None:
    alice = host.caller("task_manager")
    sender = await make_sender(host, alice, "github", paths={"what": "ref"})
    path = f"/triggers/{sender._address.rpartition('/')[2]}"
    off = await alice.request("PATCH", path, json={"enabled": False})
    assert (off.status, off.body["trigger"]["Enabled"]) == (200, False)
    refused = await sender.github(GITHUB_PUSH)
    assert (refused.status, refused.body["error"]) == (403, "This trigger is switched off.")
    for wrong in ({"enabled": "yes"}, {}, {"enabled": True, "name": "other"}):
        assert (await alice.request("PATCH", path, json=wrong)).status == 422
    assert (await alice.request("PATCH", path, json={"enabled": True})).body["trigger"]["Enabled"]
    assert (await outcome(alice, await sender.github(GITHUB_PUSH)))["Success"]


async def test_a_new_secret_takes_the_old_ones_place_and_a_template_takes_its_triggers_with_it(
    host: Host,
) -> None:
    alice = host.caller("task_manager")
    template = await template_of(alice)
    sender = await make_sender(host, alice, "bearer", template, paths={"what": "ref"})
    trigger = sender._address.rpartition("/")[2]
    secret = (await alice.request("POST", f"/triggers/{trigger}/rotate")).body["secret"]
    assert (await sender.bearer({"ref": "x"})).status == 401
    sender.secret = secret
    assert (await sender.bearer({"ref": "x"})).status == 200
    assert (await alice.request("DELETE", f"/templates/{template}")).status == 200
    assert (await sender.bearer({"ref": "x"})).status == 401
    assert (await alice.request("DELETE", f"/triggers/{trigger}")).status == 404
