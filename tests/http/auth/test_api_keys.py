"""API keys: made, checked, changed under a running host, never stored in the clear."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aiohttp_jobs.engine.embedded.api_keys import ApiKeys
from aiohttp_jobs.errors import TooManyKeptError
from aiohttp_jobs.model.job import utc_now

from ...conftest import Host
from ...gate import PATIENCE_SECONDS
from ...prefork import captured


@pytest.fixture
def keys(tmp_path: Path) -> ApiKeys:
    return ApiKeys.in_data_dir(tmp_path)


def make(keys: ApiKeys, **fields: Any) -> str:
    return keys.create(**{"name": "n", "user_id": "alice", "roles": ["debug"], **fields})[1]


def cli(data_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The real command in a process of its own, which is forked."""
    with captured("aiohttp_jobs.cli", ["api-key", *arguments, "--data-dir", str(data_dir)]) as (
        program,
        done,
    ):
        program.wait(PATIENCE_SECONDS)
        return done()


def test_only_a_digest_of_the_key_is_stored(keys: ApiKeys, tmp_path: Path) -> None:
    secret = make(keys)
    assert len(secret.partition(".")[2]) == 43
    (file,) = tmp_path.rglob("api-keys.json")
    assert secret not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    found = keys.find(secret, None)
    assert found is not None
    assert "sha256" not in {name.lower() for name in found.public()}


@pytest.mark.parametrize(
    ("allowed", "remote", "valid"),
    [
        ([], "203.0.113.9", True),
        (["10.0.0.0/8"], "10.1.2.3", True),
        (["10.0.0.0/8"], "11.1.2.3", False),
        (["10.0.0.1"], "10.0.0.1", True),
        (["10.0.0.1"], "10.0.0.2", False),
        (["10.0.0.0/8"], "::ffff:10.1.2.3", True),
        (["2001:db8::/32"], "2001:db8::5", True),
        (["2001:db8::/32", "10.0.0.0/8"], "10.9.9.9", True),
        (["10.0.0.0/8"], None, False),
        (["10.0.0.0/8"], "nonsense", False),
    ],
)
def test_a_key_works_from_its_addresses_only(
    keys: ApiKeys, allowed: list[str], remote: str | None, valid: bool
) -> None:
    secret = make(keys, allowed_ips=allowed)
    assert (keys.find(secret, remote) is not None) == valid


async def test_every_bad_key_gets_the_same_answer(host: Host) -> None:
    keys = ApiKeys.in_data_dir(host.config.data_dir)
    expired = make(keys, expires_at=utc_now() - timedelta(seconds=1))
    elsewhere = make(keys, allowed_ips=["203.0.113.0/24"])
    disabled, secret = keys.create(name="n", user_id="alice", roles=[])
    keys.set_enabled(disabled.key_id, False)
    answers = [
        await host.bearer(bad).request("GET", "/jobs/results")
        for bad in ("wrong", expired, elsewhere, secret, "", "a b", "x" * 5000)
    ]
    assert {answer.status for answer in answers} == {401}
    assert len({json.dumps(answer.body) for answer in answers}) == 1
    assert answers[0].headers["WWW-Authenticate"] == "Bearer"


async def test_a_running_host_sees_what_the_command_does_at_once(host: Host) -> None:
    data_dir = host.config.data_dir
    made = cli(data_dir, "create", "--name", "ci", "--user", "bob", "--role", "debug", "--json")
    assert made.returncode == 0, made.stderr
    key = json.loads(made.stdout)
    caller = host.bearer(key["ApiKey"])
    assert (await caller.request("GET", "/jobs/results")).status == 200
    assert cli(data_dir, "disable", key["KeyID"]).returncode == 0
    assert (await caller.request("GET", "/jobs/results")).status == 401
    listed = json.loads(cli(data_dir, "list", "--json").stdout)
    assert [(each["KeyID"], each["Enabled"]) for each in listed] == [(key["KeyID"], False)]
    assert key["ApiKey"] not in json.dumps(listed)
    assert cli(data_dir, "delete", key["KeyID"]).returncode == 0
    assert json.loads(cli(data_dir, "list", "--json").stdout) == []


async def test_the_command_disables_and_enables_and_shows_service_keys(host: Host) -> None:
    data_dir = host.config.data_dir
    made = cli(data_dir, "create", "--name", "ci", "--user", "ci-bot", "--service", "--json")
    key = json.loads(made.stdout)
    assert key["Service"] is True
    assert cli(data_dir, "disable", key["KeyID"]).returncode == 0
    (listed,) = json.loads(cli(data_dir, "list", "--json").stdout)
    assert listed["DisabledBy"].startswith("cli:")
    assert (await host.bearer(key["ApiKey"]).request("GET", "/me")).status == 401
    assert "is enabled" in cli(data_dir, "enable", key["KeyID"]).stdout
    assert (await host.bearer(key["ApiKey"]).request("GET", "/me")).status == 200
    assert "yes, by" in cli(data_dir, "list").stdout


def test_the_command_says_what_is_wrong_with_a_damaged_file(tmp_path: Path, keys: ApiKeys) -> None:
    make(keys)
    next(tmp_path.rglob("api-keys.json")).write_text("{")
    for arguments in (("list",), ("create", "--name", "n", "--user", "u"), ("disable", "k")):
        ended = cli(tmp_path, *arguments)
        assert ended.returncode == 1
        assert "Secrets/api-keys.json" in ended.stderr
        assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "--name", "n", "--user", "u", "--allowed-ip", "300.1.1.1"),
        ("create", "--name", "n", "--user", "u", "--expires", "tomorrow"),
        ("create", "--name", "", "--user", "u"),
        ("create", "--name", "n", "--user", ""),
        ("disable", "no-such-key"),
        ("delete", "no-such-key"),
    ],
)
def test_bad_arguments_end_with_a_sentence(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ended = cli(tmp_path, *arguments)
    assert ended.returncode != 0
    assert "Traceback" not in ended.stderr
    assert ended.stderr.startswith("aiohttp-jobs: ")


def test_keys_made_by_several_processes_at_once_are_all_kept(tmp_path: Path, keys: ApiKeys) -> None:
    code = (
        "import sys; from pathlib import Path; from aiohttp_jobs.engine.embedded.api_keys import ApiKeys\n"
        "for n in range(5):\n"
        "    ApiKeys.in_data_dir(Path(sys.argv[1])).create(name=str(n), user_id='u', roles=[])"
    )
    started = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(3)]
    assert [process.wait(PATIENCE_SECONDS) for process in started] == [0, 0, 0]
    assert len(keys.all()) == 15


def test_a_file_that_somebody_has_laid_out_otherwise_is_read_and_written(
    keys: ApiKeys, tmp_path: Path
) -> None:
    secrets = [make(keys, user_id=user) for user in ("alice", "alice", "bob")]
    (file,) = tmp_path.rglob("api-keys.json")
    records = json.loads(file.read_text())
    file.write_text(json.dumps([*records, "nonsense", {"UserID": ["alice"]}], indent=4))
    assert [key.user_id for key in keys.all()] == ["alice", "alice", "bob"]
    keys.set_enabled(records[1]["KeyID"], False, by="alice")
    keys.delete(records[0]["KeyID"])
    with pytest.raises(TooManyKeptError):
        make(keys, most=1)
    assert [keys.find(secret, None) is not None for secret in secrets] == [False, False, True]
    changed = {**records[1], "Enabled": False, "DisabledBy": "alice"}
    assert json.loads(file.read_text()) == [changed, records[2], "nonsense", {"UserID": ["alice"]}]
