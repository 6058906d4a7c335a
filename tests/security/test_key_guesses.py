"""The door: API keys, tried one after the other; and the file that they lie in."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from aiohttp_jobs.engine.embedded import api_keys
from aiohttp_jobs.engine.embedded.api_keys import ApiKeys
from aiohttp_jobs.errors import TooManyAttemptsError
from aiohttp_jobs.http.auth.wrong_keys import WrongKeys

from ..conftest import Answer, Caller, Host

StartHost = Callable[..., Awaitable[Host]]
SECONDS = 120.0


async def guess(host: Host, secret: str) -> Answer:
    return await host.bearer(secret).request("GET", "/me")


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "wrong API key" in record.getMessage()]


# --- throttling


async def test_keys_are_guessed_as_fast_as_the_server_answers(
    start_host: StartHost, caplog: pytest.LogCaptureFixture
) -> None:
    host = await start_host(max_wrong_keys=5)
    with caplog.at_level(logging.WARNING, "aiohttp_jobs"):
        answers = [await guess(host, f"guess-{number}") for number in range(20)]
        assert [answer.status for answer in answers] == [401] * 5 + [429] * 15
        assert {answer.body["code"] for answer in answers[5:]} == {"too_many_attempts"}
        assert {answer.headers["Retry-After"] for answer in answers[5:]} == {"60"}
        assert len(lines(caplog)) == 1
        assert "127.0.0.1" in lines(caplog)[0]
        await host.stop()
    assert len(lines(caplog)) == 2
    assert lines(caplog)[1].startswith("20 wrong API keys came from the address 127.0.0.1")
    assert "guess-" not in caplog.text


async def test_wrong_keys_shut_out_the_right_ones_of_the_same_address(start_host: StartHost) -> None:
    host = await start_host(max_wrong_keys=1)
    right = host.caller("task_manager")
    key_id = ApiKeys.in_data_dir(host.config.data_dir).all()[0].key_id
    for number in range(5):
        await guess(host, f"{key_id}.{number}")
    assert (await guess(host, "wrong")).status == 429
    assert (await right.request("GET", "/me")).status == 200
    assert (await (await host.signed_in("task_manager")).request("GET", "/me")).status == 200


async def test_one_key_is_guessed_from_many_addresses(caplog: pytest.LogCaptureFixture) -> None:
    wrong = WrongKeys(5)
    with caplog.at_level(logging.WARNING, "aiohttp_jobs"):
        for number in range(5):
            wrong.note(f"192.0.2.{number}", "k1")
        for number in range(5, 50):
            with pytest.raises(TooManyAttemptsError):
                wrong.note(f"192.0.2.{number}", "k1")
        wrong.note("198.51.100.1", "k2")
        assert len(lines(caplog)) == 1
        assert "the key k1" in lines(caplog)[0]
        wrong.close()


async def test_an_ipv6_network_is_as_many_addresses_as_it_has(caplog: pytest.LogCaptureFixture) -> None:
    wrong = WrongKeys(5)
    for number in range(5):
        wrong.note(f"2001:db8::{number:x}", None)
    with pytest.raises(TooManyAttemptsError):
        wrong.note("2001:db8::ffff:ffff", None)
    wrong.note("2001:db8:0:1::1", None)
    wrong.note("::ffff:192.0.2.1", None)
    wrong.note(None, None)
    wrong.close()


async def test_a_hundred_thousand_addresses_fill_the_memory_and_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wrong = WrongKeys(1)
    with caplog.at_level(logging.WARNING, "aiohttp_jobs"):
        for number in range(30_000):
            address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
            wrong.note(address, None)
            with pytest.raises(TooManyAttemptsError):
                wrong.note(address, None)
        assert len(lines(caplog)) < 200
        assert len(vars(wrong)["_counts"]) <= 10_000
        wrong.close()


async def test_it_ends_when_they_stop_and_is_written_down(caplog: pytest.LogCaptureFixture) -> None:
    wrong = WrongKeys(1, seconds=2.0)  # longer than a busy machine pauses between two of them
    with caplog.at_level(logging.WARNING, "aiohttp_jobs"):
        wrong.note("192.0.2.1", None)
        with pytest.raises(TooManyAttemptsError):
            wrong.note("192.0.2.1", None)
        async with asyncio.timeout(SECONDS):
            while len(lines(caplog)) < 2:
                await asyncio.sleep(0.02)
        assert lines(caplog)[1].startswith("2 wrong API keys came from the address 192.0.2.1")
        wrong.note("192.0.2.1", None)
        wrong.close()
    assert len(lines(caplog)) == 2


async def test_a_key_of_an_older_release_goes_on_working(host: Host) -> None:
    caller = host.caller("task_manager")
    path = host.base_dir / "Secrets" / "api-keys.json"
    (record,) = json.loads(path.read_text())
    for new in ("DisabledBy", "Service"):
        del record[new]
    digest = hashlib.sha256(b"an-old-key-without-an-id").hexdigest()
    path.write_text(json.dumps([{**record, "SHA256": digest}]))
    assert (await guess(host, "an-old-key-without-an-id")).status == 200
    assert (await caller.request("GET", "/me")).status == 401


# --- how many there are


async def test_one_user_makes_keys_without_end(start_host: StartHost) -> None:
    host = await start_host(max_api_keys_per_user=2)
    alice, bob = await host.signed_in("task_manager"), await host.signed_in("task_manager", user_id="bob")
    answers = await asyncio.gather(
        *(alice.request("POST", "/api-keys", json={"name": str(number)}) for number in range(5))
    )
    assert sorted(answer.status for answer in answers) == [201, 201, 409, 409, 409]
    refused = next(answer for answer in answers if answer.status == 409)
    assert refused.body["limit"] == {"name": "maxApiKeysPerUser", "value": 2, "used": 2}
    assert (await bob.request("POST", "/api-keys", json={"name": "n"})).status == 201


# --- the file


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[" * 100_000, b"\xff\xfe\x00", b"null"])
async def test_a_damaged_file_of_keys_fails_every_request(
    host: Host, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    program, alice = host.caller("task_manager"), await host.signed_in("task_manager")
    path = host.base_dir / "Secrets" / "api-keys.json"
    good = path.read_bytes()
    path.write_bytes(content)
    with caplog.at_level(logging.ERROR, "aiohttp_jobs"):
        for _ in range(3):
            refused = await program.request("GET", "/me")
            assert (refused.status, refused.body["code"]) == (503, "rights_unavailable")
            assert "api-keys.json" in refused.body["error"]
            assert str(host.base_dir) not in refused.body["error"]
        assert len([record for record in caplog.records if str(path) in record.getMessage()]) == 1
    assert (await alice.request("GET", "/me")).status == 200
    assert (await alice.request("POST", "/api-keys", json={"name": "n"})).status == 503
    assert path.read_bytes() == content
    path.write_bytes(good)
    assert (await program.request("GET", "/me")).status == 200


async def test_keys_work_again_at_once_when_the_disk_gives_their_file(
    host: Host, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What the disk refused is not remembered: the file has not changed since."""
    program, path = host.caller("task_manager"), host.base_dir / "Secrets" / "api-keys.json"
    assert (await program.request("GET", "/me")).status == 200

    def refuse(path: Path, most: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    os.utime(path)
    with monkeypatch.context() as sick, caplog.at_level(logging.ERROR, "aiohttp_jobs"):
        sick.setattr(api_keys, "read_file", refuse)
        for _ in range(3):
            refused = await program.request("GET", "/me")
            assert (refused.status, refused.body["code"]) == (503, "rights_unavailable")
            assert "cannot be read (Input/output error)" in refused.body["error"]
        assert len([record for record in caplog.records if str(path) in record.getMessage()]) == 1
    assert (await program.request("GET", "/me")).status == 200


async def test_whoever_keeps_the_file_locked_holds_up_the_host(host: Host) -> None:
    alice = await host.signed_in("task_manager")
    assert (await alice.request("POST", "/api-keys", json={"name": "n"})).status == 201
    lock = host.base_dir / "Secrets" / "api-keys.lock"
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        changes = [
            asyncio.create_task(alice.request("POST", "/api-keys", json={"name": "n"})) for _ in range(2)
        ]
        assert (await alice.run("echo ran"))["Output"] == "ran\n"
        for refused in await asyncio.gather(*changes):
            assert (refused.status, refused.body["code"]) == (503, "rights_unavailable")
    assert (await alice.request("POST", "/api-keys", json={"name": "n"})).status == 201


async def test_one_damaged_key_stops_the_others(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    first, second = host.caller("task_manager"), host.caller("task_manager", user_id="bob")
    path = host.base_dir / "Secrets" / "api-keys.json"
    records = json.loads(path.read_text())
    records[0]["CreatedAt"] = "yesterday"
    path.write_text(json.dumps([*records, "nonsense", None, {}]))
    with caplog.at_level(logging.ERROR, "aiohttp_jobs"):
        assert (await first.request("GET", "/me")).status == 401
        assert (await first.request("GET", "/me")).status == 401
        assert (await second.request("GET", "/me")).status == 200
    assert len([each for each in caplog.records if records[0]["KeyID"] in each.getMessage()]) == 1
    bob = await host.signed_in("task_manager", user_id="bob")
    assert (await bob.request("POST", "/api-keys", json={"name": "n"})).status == 201
    assert json.loads(path.read_text())[:5] == [*records, "nonsense", None, {}]


async def test_a_file_that_cannot_be_read_is_a_sentence(host: Host) -> None:
    program: Caller = host.caller("task_manager")
    path = host.base_dir / "Secrets" / "api-keys.json"
    path.unlink()
    path.mkdir()
    assert (await program.request("GET", "/me")).status == 503
