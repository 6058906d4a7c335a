"""API keys, sessions and doctor on a database, for whoever has its dsn and its secret."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from aiohttp_jobs.cli import app

from ..engine.postgres.support import SECRET, installation

RUNNER = CliRunner()


@pytest.fixture
def env(postgres: str) -> dict[str, str]:
    return {"AIOHTTP_JOBS_DSN": postgres, "AIOHTTP_JOBS_SECRET": SECRET, "COLUMNS": "200"}


def told(*arguments: str, env: dict[str, str]) -> Any:
    done = RUNNER.invoke(app, [*arguments, "--json"], env=env)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_api_keys_are_made_and_disabled_on_a_database(env: dict[str, str], postgres: str) -> None:
    made = told("api-key", "create", "--name", "n", "--user", "u", "--role", "debug", env=env)
    kept = installation(postgres)
    kept.open()
    assert kept.api_keys.read().find(made["ApiKey"], None) is not None
    (listed,) = told("api-key", "list", env=env)
    assert "ApiKey" not in listed
    told("api-key", "disable", made["KeyID"][:8], env=env)
    assert kept.api_keys.read().find(made["ApiKey"], None) is None
    told("api-key", "enable", made["KeyID"], env=env)
    assert kept.api_keys.read().find(made["ApiKey"], None) is not None
    told("api-key", "delete", made["KeyID"], env=env)
    assert told("api-key", "list", env=env) == []
    kept.close()


def test_sessions_are_ended_on_a_database(env: dict[str, str], postgres: str) -> None:
    kept = installation(postgres)
    kept.open()
    kept.sessions.add("alice")
    at = ("--dsn", postgres)
    (session,) = told("session", "list", *at, env=env)
    assert session["UserID"] == "alice"
    told("session", "revoke", session["SessionID"], *at, env=env)
    assert told("session", "revoke-all", *at, env=env) == {"revoked": 0}
    assert kept.sessions.all() == []
    kept.close()


def test_who_has_not_the_secret_makes_no_key(env: dict[str, str], postgres: str) -> None:
    kept = installation(postgres)
    kept.open()
    make = ["api-key", "create", "--name", "n", "--user", "u"]
    for secret, said in (
        ("", "set AIOHTTP_JOBS_SECRET"),
        ("x" * 32, "hosts and workers with another secret"),
    ):
        done = RUNNER.invoke(app, make, env={**env, "AIOHTTP_JOBS_SECRET": secret})
        assert done.exit_code == 1
        assert said in done.output
    assert kept.api_keys.all() == []
    kept.close()


def test_a_folder_that_is_named_counts_although_there_is_a_database(
    env: dict[str, str], tmp_path: Any
) -> None:
    told("api-key", "create", "--name", "n", "--user", "u", "--data-dir", str(tmp_path), env=env)
    assert (tmp_path / "apps/WebHostTaskManagement/Secrets/api-keys.json").exists()
    assert told("api-key", "list", env=env) == []
    nowhere = RUNNER.invoke(app, ["api-key", "list"], env={})
    assert "Say where the keys are: --data-dir" in nowhere.output


def test_doctor_looks_at_a_database(env: dict[str, str], postgres: str, bare_postgres: str) -> None:
    def checks(**changes: str) -> dict[str, str]:
        done = RUNNER.invoke(app, ["doctor", "--json"], env={**env, **changes})
        return {
            each["check"]: f"{each['status']}: {each['message']}"
            for each in json.loads(done.stdout)["checks"]
        }

    kept = installation(postgres)
    kept.open()
    found = checks()
    assert "hosts and workers that live: 1." in found["database"]
    assert found["secret"].startswith("ok")
    assert not {"database_tls", "database_role"} & set(found)
    assert checks(AIOHTTP_JOBS_SECRET="y" * 32)["secret"].startswith("problem: The database belongs to")
    assert "Run 'aiohttp-jobs db upgrade'" in checks(AIOHTTP_JOBS_DSN=bare_postgres)["database"]
    kept.close()
