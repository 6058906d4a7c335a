"""Where the address and the key come from, and that the file which holds them is private."""

from __future__ import annotations

import asyncio
import stat
import tomllib
from pathlib import Path

import pytest

from ..conftest import Host
from ..gate import PATIENCE_SECONDS
from .command import access_to, opened_terminal, run, start


def config_in(folder: Path) -> Path:
    return folder / "aiohttp-jobs" / "config.toml"


async def test_configure_tries_the_key_and_keeps_it_in_a_private_file(host: Host, tmp_path: Path) -> None:
    env = access_to(host, "debug")
    url, key = env["AIOHTTP_JOBS_URL"], env["AIOHTTP_JOBS_API_KEY"]
    mine = {"XDG_CONFIG_HOME": str(tmp_path / "new")}
    code, out, err = await run("configure", "--url", url, "--key-file", "-", env=mine, stdin=f"{key}\n")
    path = config_in(tmp_path / "new")
    assert (code, out, err) == (0, f"Kept in {path}.\n", "")
    assert tomllib.loads(path.read_text()) == {"url": url, "api_key": key}
    assert [stat.S_IMODE(each.stat().st_mode) for each in (path, path.parent)] == [0o600, 0o700]
    assert (await run("jobs", "--json", env=mine))[:2] == (0, "[]\n")

    code, _, err = await run("configure", "--key-file", "-", env=mine, stdin="wrong")
    assert (code, "valid API key" in err) == (1, True)
    assert tomllib.loads(path.read_text())["api_key"] == key


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o604])
async def test_a_file_that_others_can_read_is_refused(host: Host, tmp_path: Path, mode: int) -> None:
    env = access_to(host, "debug")
    path = config_in(tmp_path)
    path.parent.mkdir()
    path.write_text(f'url = "{env["AIOHTTP_JOBS_URL"]}"\napi_key = "{env["AIOHTTP_JOBS_API_KEY"]}"\n')
    path.chmod(mode)
    code, _, err = await run("jobs", env={"XDG_CONFIG_HOME": str(tmp_path)})
    assert (code, err) == (
        1,
        f"aiohttp-jobs: {path} holds a key and others can read it. Run: chmod 600 {path}\n",
    )
    path.chmod(0o600)
    assert (await run("jobs", "--json", env={"XDG_CONFIG_HOME": str(tmp_path)}))[0] == 0


async def test_without_address_and_key_it_says_where_they_may_be_given(tmp_path: Path) -> None:
    code, _, err = await run("jobs", env={"XDG_CONFIG_HOME": str(tmp_path)})
    assert (code, "aiohttp-jobs configure" in err) == (1, True)


async def test_a_damaged_file_and_a_key_that_is_none_are_named(host: Host, tmp_path: Path) -> None:
    path = config_in(tmp_path)
    path.parent.mkdir()
    path.write_text("url = ")
    path.chmod(0o600)
    code, _, err = await run("jobs", env={"XDG_CONFIG_HOME": str(tmp_path)})
    assert (code, "cannot be read" in err, "Traceback" in err) == (1, True, False)
    code, _, err = await run("jobs", env={**access_to(host), "AIOHTTP_JOBS_API_KEY": "a\nb"})
    assert (code, "no key has" in err) == (1, True)


async def test_the_key_is_asked_for_and_not_shown(host: Host, tmp_path: Path) -> None:
    env = access_to(host, "debug")
    key = env["AIOHTTP_JOBS_API_KEY"]
    with opened_terminal() as terminal:
        process = await start(
            "configure", "--url", env["AIOHTTP_JOBS_URL"], env={"XDG_CONFIG_HOME": str(tmp_path)},
            stdin=terminal.theirs, stdout=terminal.theirs, stderr=terminal.theirs, start_new_session=True,
        )  # fmt: skip
        await terminal.shows("API key")
        await terminal.hides_what_is_typed()
        terminal.type(f"{key}\n")
        await terminal.shows("Kept in")
        assert await asyncio.wait_for(process.wait(), PATIENCE_SECONDS) == 0
    assert key.encode() not in terminal.shown
    assert tomllib.loads(config_in(tmp_path).read_text())["api_key"] == key


@pytest.mark.parametrize("url", ["nonsense", "ftp://example.org", "http://", "http://[", "127.0.0.1:8080"])
async def test_what_is_no_url_is_not_asked(tmp_path: Path, url: str) -> None:
    code, _, err = await run("jobs", env={"AIOHTTP_JOBS_URL": url, "AIOHTTP_JOBS_API_KEY": "k"})
    assert (code, err) == (
        1,
        f"aiohttp-jobs: '{url}' is no URL: give one such as http://127.0.0.1:8080/apps/WebHostTaskManagement.\n",
    )


async def test_a_url_without_the_prefix_is_told_from_a_server_that_is_away(host: Host) -> None:
    env = access_to(host, "debug") | {"AIOHTTP_JOBS_URL": host.address}
    code, _, err = await run("jobs", env=env)
    assert code == 1
    assert err.startswith(
        f"aiohttp-jobs: The server answered 404 at {host.address}/api/v1/jobs, but not as aiohttp-jobs does"
    )
    assert "/apps/WebHostTaskManagement" in err
