"""The door for other programs: what somebody would want of it who knows no secret, or no longer may."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest
from aiohttp import ClientSession, TCPConnector

from aiohttp_jobs.access.trigger_proofs import new_secret, prove
from aiohttp_jobs.http import triggers
from aiohttp_jobs.model.template_trigger import TriggerProof

from ..conftest import Host
from ..gate import PATIENCE_SECONDS
from ..http.test_triggers import GITHUB_PUSH, Sender, make_sender

StartHost = Callable[..., Awaitable[Host]]


async def test_a_wrong_secret_and_a_trigger_that_there_is_not_are_answered_alike(
    start_host: StartHost,
) -> None:
    host = await start_host(max_wrong_keys=1000)
    alice = host.caller("task_manager")
    for proof in TriggerProof:
        real = await make_sender(host, alice, proof, paths={"what": "ref"})
        path = real._address.removeprefix(host.address).rpartition("/")[0]
        answers = []
        for sender in (
            Sender(host, real._address.removeprefix(host.address), new_secret()),
            Sender(host, f"{path}/{uuid4()}", new_secret()),
            Sender(host, f"{path}/{uuid4()}", real.secret),
            Sender(host, f"{path}/nothing", real.secret),
        ):
            for send in (sender.github, sender.gitlab, sender.bearer, sender.send):
                answer = await send(GITHUB_PUSH)
                answers.append((answer.status, json.dumps(answer.body), sorted(answer.headers)))
        assert len(set(map(str, answers))) == 1
        assert answers[0][0] == 401


def test_a_proof_does_the_same_whichever_way_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    for name in ("new", "compare_digest"):
        real = getattr(hmac, name)
        monkeypatch.setattr(
            hmac, name, lambda *given, _name=name, _real=real: done.append(_name) or _real(*given)
        )
    secret, ways = new_secret(), []
    for proof in TriggerProof:
        for headers in ({}, {"Authorization": f"Bearer {secret[:-1]}x"}, {"X-Hub-Signature-256": "sha256=0"}):
            assert prove(proof, secret, headers, b"{}", time.time()) is None
            ways.append(tuple(done))
            done.clear()
    assert len(set(ways)) == 1


async def test_nobody_is_shut_out_by_others_who_guess_and_guessers_are_slowed_down(
    start_host: StartHost,
) -> None:
    host = await start_host(max_wrong_keys=3)
    alice = host.caller("task_manager")
    sender = await make_sender(host, alice, "bearer", paths={"what": "ref"})
    guesser = Sender(host, sender._address.removeprefix(host.address), new_secret())
    statuses = [(await guesser.bearer(GITHUB_PUSH)).status for _ in range(5)]
    assert statuses == [401, 401, 401, 429, 429]
    assert (await sender.bearer(GITHUB_PUSH)).status == 200


async def test_one_way_to_prove_a_secret_is_not_another(start_host: StartHost) -> None:
    host = await start_host(max_wrong_keys=1000)
    alice = host.caller("task_manager")
    for proof in TriggerProof:
        sender = await make_sender(host, alice, proof, paths={"what": "ref"})
        ways = {
            "github": await sender.github(GITHUB_PUSH),
            "bearer": await sender.bearer(GITHUB_PUSH),
            "token": await sender.send(GITHUB_PUSH, X_Gitlab_Token=sender.secret),
            "signature": await sender.gitlab(GITHUB_PUSH),
        }
        right = {"github": {"github"}, "bearer": {"bearer"}, "standard": {"signature"}}
        accepted = {way for way, answer in ways.items() if answer.status == 200}
        assert accepted == right.get(proof, {"token", "signature"})


async def test_what_was_changed_on_its_way_is_refused(start_host: StartHost) -> None:
    host = await start_host()
    sender = await make_sender(host, host.caller("task_manager"), "github", paths={"what": "ref"})
    signed: dict[str, str] = {}

    async def catch(_payload: object, **headers: str) -> object:
        signed.update(headers)
        return None

    real, sender.send = sender.send, catch  # type: ignore[method-assign,assignment]
    await sender.github(GITHUB_PUSH)
    sender.send = real  # type: ignore[method-assign]
    assert (await sender.send({**GITHUB_PUSH, "ref": "refs/heads/evil"}, **signed)).status == 401
    assert (await sender.send(GITHUB_PUSH, **signed)).status == 200


async def test_its_owners_rights_are_those_of_now(start_host: StartHost) -> None:
    roles: dict[str, set[str] | None] = {"alice": {"task_manager"}}

    async def now(user: str) -> set[str] | None:
        return roles[user]

    host = await start_host(roles_resolver=now, roles_cache_seconds=0)
    sender = await make_sender(host, host.caller("task_manager"), "bearer", paths={"what": "ref"})
    assert (await sender.bearer(GITHUB_PUSH)).status == 200
    for left in (set(), None):
        roles["alice"] = left
        assert (await sender.bearer(GITHUB_PUSH)).status == 403


async def test_a_key_that_is_no_more_takes_its_triggers_rights_with_it(start_host: StartHost) -> None:
    host = await start_host()
    alice = host.caller("task_manager")
    sender = await make_sender(host, alice, "bearer", paths={"what": "ref"})
    person = await host.signed_in("task_manager")
    (key,) = (await person.request("GET", "/api-keys")).body["apiKeys"]
    assert (await person.request("DELETE", f"/api-keys/{key['KeyID']}")).status == 200
    assert (await sender.bearer(GITHUB_PUSH)).status == 403


async def test_only_who_may_make_triggers_makes_one_and_only_of_what_they_may_run(
    start_host: StartHost,
) -> None:
    host = await start_host()
    alice, body = host.caller("task_manager"), {"name": "x", "proof": "bearer"}
    template = await make_sender(host, alice, "bearer")
    template_id = (await alice.request("GET", "/templates")).body["templates"][0]["TemplateID"]
    path = f"/templates/{template_id}/triggers"
    assert template.secret
    assert (await host.caller(user_id="eve").request("POST", path, json=body)).status == 403
    assert (await host.caller("task_manager", user_id="eve").request("POST", path, json=body)).status == 404
    admin = await host.caller("system_admin", user_id="root").request("POST", path, json=body)
    assert admin.status == 403  # may edit it, and not run it


async def test_no_secret_lies_in_the_data_folder_or_is_shown_again(start_host: StartHost) -> None:
    host = await start_host()
    alice = host.caller("task_manager")
    sender = await make_sender(host, alice, "bearer", paths={"what": "ref"})
    kept = [path.read_bytes() for path in host.base_dir.rglob("*") if path.is_file()]
    assert not [each for each in kept if sender.secret.removeprefix("whsec_").encode() in each]
    template_id = (await alice.request("GET", "/templates")).body["templates"][0]["TemplateID"]
    shown = await alice.request("GET", f"/templates/{template_id}/triggers")
    assert "ecret" not in str(shown.body)


async def test_a_trigger_that_was_written_by_hand_runs_nothing(start_host: StartHost) -> None:
    host = await start_host()
    alice = host.caller("task_manager")
    sender = await make_sender(host, alice, "bearer", paths={"what": "ref"})
    (file,) = (host.base_dir / "Triggers").glob("*.json")
    record = json.loads(file.read_text())
    file.write_text(json.dumps({**record, "UserID": "root"}))
    assert (await sender.bearer(GITHUB_PUSH)).status == 401


async def test_a_body_of_nobody_knows_whom_is_bounded(start_host: StartHost) -> None:
    host = await start_host(max_body_bytes=2000)
    sender = await make_sender(host, host.caller("task_manager"), "bearer", paths={"what": "ref"})
    assert (await sender.bearer({"x": "x" * 3000})).status == 413


async def test_slow_strangers_leave_places_for_others(
    start_host: StartHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bodies that never come hold the half of the places that one address may have, until they break off."""
    monkeypatch.setattr(triggers, "_BODY_SECONDS", 3600.0)  # it is not its end that makes room for others
    host = await start_host()
    only = [{"path": "ref", "equals": "nothing that comes"}]
    sender = await make_sender(host, host.caller("task_manager"), "bearer", paths={"what": "ref"}, only=only)
    port = int(host.address.rpartition(":")[2])
    begun = (
        f"POST {sender._address.removeprefix(host.address)} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
    )
    slow = [(await asyncio.open_connection("127.0.0.1", port))[1] for _ in range(64)]
    for writer in slow:
        writer.write(begun.encode())

    async def until(status: int) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await sender.bearer(GITHUB_PUSH)).status != status:
                await asyncio.sleep(0)

    await until(503)
    elsewhere = TCPConnector(local_addr=("127.0.0.2", 0))
    headers = {"Authorization": f"Bearer {sender.secret}"}
    async with (
        ClientSession(connector=elsewhere) as other,
        other.post(sender._address, json=GITHUB_PUSH, headers=headers) as answer,
    ):
        assert answer.status == 200
    for writer in slow:
        writer.close()
    await until(200)
