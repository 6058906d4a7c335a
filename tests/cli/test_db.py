"""``aiohttp-jobs db``: a database is made ready, and checked, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

from .command import run


async def test_a_database_is_made_ready(bare_postgres: str) -> None:
    env = {"AIOHTTP_JOBS_DSN": bare_postgres}
    code, shown, _ = await run("db", "check", env=env)
    assert (code, shown) == (
        2,
        "The database has no tables of aiohttp-jobs yet. Run 'aiohttp-jobs db upgrade'.\n",
    )
    code, shown, _ = await run("db", "upgrade", env=env)
    assert code == 0
    assert shown.startswith("The database was upgraded: 1 (installation), 2 (records)")
    assert await run("db", "upgrade", env=env) == (0, "The database was up to date.\n", "")
    assert await run("db", "check", env=env) == (0, "The database is up to date.\n", "")


async def test_scripts_get_json(bare_postgres: str) -> None:
    code, shown, _ = await run("db", "check", "--dsn", bare_postgres, "--json", env={})
    assert (code, list(json.loads(shown))) == (2, ["problem"])
    _, shown, _ = await run("db", "upgrade", "--dsn", bare_postgres, "--json", env={})
    assert "1 (installation)" in json.loads(shown)["steps"]


async def test_a_database_that_is_not_there_is_said_so_without_its_password(bare_postgres: str) -> None:
    away = bare_postgres.replace("jobs@", "jobs:hidden@").replace("host=", "host=/nowhere")
    code, shown, said = await run("db", "check", "--dsn", away, env={})
    assert (code, shown) == (1, "")
    assert said.startswith("aiohttp-jobs: The database cannot be used: ")
    assert "hidden" not in said


async def test_importing_says_what_it_needs(bare_postgres: str, tmp_path: Path) -> None:
    env = {"AIOHTTP_JOBS_DSN": bare_postgres}
    command = ("db", "import", "--data-dir", str(tmp_path))
    code, _, said = await run(*command, env=env)
    assert (code, "AIOHTTP_JOBS_SECRET" in said) == (1, True)
    code, _, said = await run(*command, env={**env, "AIOHTTP_JOBS_SECRET": "s" * 32})
    assert code == 1
    assert said.startswith(f"aiohttp-jobs: There is no installation below {tmp_path}")
