"""The keys of a data folder: read by nobody else, and refused when a crash or a hand has spoilt them."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import ClientSession

from aiohttp_jobs import ConfigurationError

from ..conftest import Host
from ..gate import PATIENCE_SECONDS
from ..hosts.process import Process, caller_of, new_key, running
from .test_data_folder import A_STRANGER, ANOTHER, needs_root

StartHost = Callable[..., Awaitable[Host]]
KEYS = ("session.key", "submission.key", "schedule.key", "template.key", "values.key", "webhook.key")
FILES = (*KEYS, "api-keys.json")


@pytest.fixture
async def secrets(start_host: StartHost) -> Path:
    """The keys of a host that ran and ended."""
    host = await start_host()
    host.caller("debug")
    await host.stop()
    folder = host.base_dir / "Secrets"
    assert set(FILES) <= {path.name for path in folder.iterdir()}
    return folder


async def refusal(start_host: StartHost, **settings: object) -> str:
    with pytest.raises(ConfigurationError) as refused:
        await asyncio.wait_for(start_host(**settings), PATIENCE_SECONDS)
    return str(refused.value)


@pytest.mark.parametrize("name", FILES)
async def test_everybody_cannot_read_a_key(secrets: Path, start_host: StartHost, name: str) -> None:
    (secrets / name).chmod(0o644)
    said = await refusal(start_host)
    assert f"The file {secrets / name} may be read by every user of this machine." in said
    assert f"chmod go-rwx {secrets / name}" in said
    (secrets / name).chmod(0o600)
    await start_host()


async def test_everybody_cannot_write_a_key(secrets: Path, start_host: StartHost) -> None:
    (secrets / "submission.key").chmod(0o602)
    assert "submission.key may be read and written by every user" in await refusal(start_host)


async def test_everybody_cannot_list_the_keys(secrets: Path, start_host: StartHost) -> None:
    secrets.chmod(0o755)
    assert f"The folder {secrets} may be read by every user of this machine." in await refusal(start_host)


@needs_root
async def test_a_group_with_others_in_it_cannot_read_a_key(secrets: Path, start_host: StartHost) -> None:
    os.chown(secrets / "session.key", -1, ANOTHER)
    (secrets / "session.key").chmod(0o640)
    assert "session.key may be read by the group daemon" in await refusal(start_host)


@needs_root
@pytest.mark.parametrize("name", FILES)
async def test_another_user_does_not_own_a_key(secrets: Path, start_host: StartHost, name: str) -> None:
    os.chown(secrets / name, A_STRANGER, -1)
    assert f"The file {secrets / name} belongs to user {A_STRANGER}" in await refusal(start_host)


async def test_the_keys_are_not_those_that_a_link_leads_to(
    secrets: Path, tmp_path: Path, start_host: StartHost
) -> None:
    shutil.move(secrets, tmp_path / "elsewhere")
    secrets.symlink_to(tmp_path / "elsewhere")
    assert f"{secrets} must be a folder, and is a link." in await refusal(start_host)


@pytest.mark.parametrize("name", KEYS)
async def test_a_key_is_not_what_a_link_leads_to(
    secrets: Path, tmp_path: Path, start_host: StartHost, name: str
) -> None:
    shutil.move(secrets / name, tmp_path / name)
    (secrets / name).symlink_to(tmp_path / name)
    assert f"{secrets / name} must be a file, and is a link." in await refusal(start_host)
    assert f"{secrets / name} must be a file" in await refusal(start_host, allow_shared_data_dir=True)


@pytest.mark.parametrize("name", KEYS)
async def test_a_pipe_in_a_keys_place_holds_up_no_start(
    secrets: Path, start_host: StartHost, name: str
) -> None:
    (secrets / name).unlink()
    os.mkfifo(secrets / name, 0o600)
    assert f"{secrets / name} must be a file, and is a pipe." in await refusal(start_host)
    assert f"{secrets / name} must be a file" in await refusal(start_host, allow_shared_data_dir=True)


@pytest.mark.parametrize("content", [b"", b"\n", b"ab", b"\xff\x00" * 40, b"x" * 1_000_000])
@pytest.mark.parametrize("name", [name for name in KEYS if name != "webhook.key"])
async def test_a_spoilt_key_signs_and_encrypts_nothing(
    secrets: Path, start_host: StartHost, name: str, content: bytes
) -> None:
    (secrets / name).write_bytes(content)
    said = await refusal(start_host)
    assert f"The key file {secrets / name} is {'damaged' if content.strip() else 'empty'}" in said
    assert "Put a backup of it back" in said
    (secrets / name).unlink()
    host = await start_host()
    assert (await host.caller("debug").run("true"))["Success"] is True


@pytest.mark.parametrize("name", KEYS)
async def test_half_a_key_signs_and_encrypts_nothing(secrets: Path, start_host: StartHost, name: str) -> None:
    whole = (secrets / name).read_bytes()
    (secrets / name).write_bytes(whole[:12])
    assert f"The key file {secrets / name} is damaged" in await refusal(start_host)
    (secrets / name).write_bytes(whole + b"\n")  # as an editor leaves it
    await start_host()


async def test_hosts_that_start_at_once_have_the_same_keys(tmp_path: Path) -> None:
    key = new_key(tmp_path)
    hosts: list[Process] = []
    starting = [asyncio.to_thread(lambda: hosts.append(Process(tmp_path))) for _ in range(4)]
    try:
        await asyncio.gather(*starting)
        for host in hosts:
            async with ClientSession() as session:
                caller = caller_of(host, key, session)
                jobs = [await caller.submit("true") for _ in range(4)]
                assert {(await caller.result(job_id))["Status"] for job_id in jobs} == {"Succeeded"}
    finally:
        for host in hosts:
            host.kill()
    folder = tmp_path / "apps" / "WebHostTaskManagement" / "Secrets"
    names = {path.name for path in folder.iterdir()}
    assert set(KEYS) <= names
    assert not [name for name in names if name.endswith(".tmp")]
    with running(tmp_path) as again:  # with those keys, whoever made them
        assert again.is_alive
