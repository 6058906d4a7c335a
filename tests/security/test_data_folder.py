"""Whoever else can write to a host's data folder, or read its keys, is found before the host starts."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

import aiohttp_jobs
from aiohttp_jobs import ConfigurationError, JobsConfig

from ..conftest import Host
from ..gate import PATIENCE_SECONDS
from ..hosts.process import ROOT

StartHost = Callable[..., Awaitable[Host]]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")

A_STRANGER = 54321
"""A user and a group without a name on this machine, which this process is not."""
ANOTHER = 1
"""A user, and a group with that user in it, that every Debian knows: daemon."""


@pytest.fixture
async def base(start_host: StartHost) -> Path:
    """The plugin's folder of a host that ran and ended."""
    host = await start_host()
    await host.caller("debug").run("true")
    await host.stop()
    return host.base_dir


async def refusal(start_host: StartHost) -> str:
    """Why the host does not start."""
    with pytest.raises(ConfigurationError) as refused:
        await start_host()
    return str(refused.value)


def warnings_in(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING)


@pytest.mark.parametrize(
    "folder",
    ["", "..", "../..", "JobSubmission", "JobOutput", "JobResults", "Running", "Schedules", "Templates"],
)
async def test_everybody_cannot_write_to_a_folder_of_the_host(
    base: Path, start_host: StartHost, folder: str
) -> None:
    path = (base / folder).resolve()
    path.chmod(0o777)
    said = await refusal(start_host)
    assert f"The folder {path} may be written by every user of this machine." in said
    assert f"chmod go-w {path}" in said
    assert "allow_shared_data_dir" in said
    path.chmod(0o700)
    await start_host()


async def test_everybody_cannot_put_another_folder_in_the_data_folders_place(
    tmp_path: Path, start_host: StartHost
) -> None:
    shared = tmp_path / "shared"
    (shared / "own").mkdir(parents=True, mode=0o700)
    shared.chmod(0o777)
    with pytest.raises(ConfigurationError, match=f"{shared} may be written by every user"):
        await start_host(data_dir=shared / "own")
    shared.chmod(0o1777)  # as /tmp is: nobody can rename what is another's
    await start_host(data_dir=shared / "own")


async def test_a_link_that_leads_to_a_shared_folder_does_not_hide_it(
    tmp_path: Path, start_host: StartHost
) -> None:
    shared = tmp_path / "shared"
    (shared / "own").mkdir(parents=True, mode=0o700)
    (tmp_path / "link").symlink_to("shared/own")
    await start_host(data_dir=tmp_path / "link")
    shared.chmod(0o777)
    with pytest.raises(ConfigurationError, match=f"{shared} may be written"):
        await start_host(data_dir=tmp_path / "link")


@needs_root
async def test_nobody_points_the_link_to_the_data_folder_elsewhere(
    tmp_path: Path, start_host: StartHost
) -> None:
    (tmp_path / "own").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("own")
    os.lchown(tmp_path / "link", A_STRANGER, -1)
    with pytest.raises(ConfigurationError, match=f"The link {tmp_path}/link belongs to user {A_STRANGER}"):
        await start_host(data_dir=tmp_path / "link")


@needs_root
@pytest.mark.parametrize("folder", ["", "..", "../..", "JobSubmission", "JobResults", "Secrets"])
async def test_another_user_does_not_own_a_folder_of_the_host(
    base: Path, start_host: StartHost, folder: str
) -> None:
    path = (base / folder).resolve()
    os.chown(path, A_STRANGER, -1)
    said = await refusal(start_host)
    assert f"The folder {path} belongs to user {A_STRANGER}, not to the user root." in said
    assert f"chown -R root {path}" in said


@needs_root
async def test_whoever_owns_the_folder_above_cannot_put_another_in_its_place(
    base: Path, tmp_path: Path, start_host: StartHost, caplog: pytest.LogCaptureFixture
) -> None:
    os.chown(tmp_path, ANOTHER, -1)
    assert f"The folder {tmp_path} belongs to the user daemon, who can put another" in await refusal(
        start_host
    )
    # A folder of the machine's that a container has mounted belongs to somebody who is nobody there.
    os.chown(tmp_path, A_STRANGER, -1)
    await start_host()
    assert f"belongs to user {A_STRANGER}, who is not known on this machine" in warnings_in(caplog)


@needs_root
async def test_a_group_with_others_in_it_cannot_write_to_the_host(base: Path, start_host: StartHost) -> None:
    os.chown(base, -1, ANOTHER)
    base.chmod(0o770)
    assert f"{base} may be written by the group daemon, which others are in" in await refusal(start_host)
    os.chown(base, -1, A_STRANGER)
    assert f"{base} may be written by group {A_STRANGER}, which others are in" in await refusal(start_host)


async def test_a_users_own_group_may_write_as_debian_has_it(
    base: Path, start_host: StartHost, caplog: pytest.LogCaptureFixture
) -> None:
    for path in (base, base.parent, base.parent.parent, base / "Secrets", base / "Secrets" / "session.key"):
        path.chmod(path.stat().st_mode | 0o070)
    await start_host()
    assert "may be" not in warnings_in(caplog)


@needs_root
def test_a_volume_of_kubernetes_with_an_fsgroup_works_and_is_mentioned_once(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for _ in range(2):
        # As the kubelet leaves the volume at each mount.
        for path in (tmp_path / "data", *(tmp_path / "data").rglob("*")):
            os.chown(path, -1, A_STRANGER)
            path.chmod(path.stat().st_mode | (0o2770 if path.is_dir() else 0o660))
        host = subprocess.Popen(
            [sys.executable, "-m", "tests.hosts.plain", str(tmp_path / "data"), "0"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, extra_groups=[A_STRANGER],
        )  # fmt: skip
        assert host.stdout is not None
        port = host.stdout.readline()
        host.terminate()
        _, said = host.communicate(timeout=PATIENCE_SECONDS)
        assert port, said
        assert host.returncode == 0, said
        assert said.count(f"group {A_STRANGER}, which has no name on this machine") == 1


@needs_root
async def test_a_group_may_drop_files_only_where_they_need_a_signature(
    base: Path, start_host: StartHost, caplog: pytest.LogCaptureFixture
) -> None:
    os.chown(base / "JobSubmission", -1, ANOTHER)
    (base / "JobSubmission").chmod(0o770)
    host = await start_host()
    assert "run only signed ones" in warnings_in(caplog)
    await host.stop()
    with pytest.raises(ConfigurationError, match="JobSubmission may be written by the group daemon"):
        await start_host(allow_unsigned_submissions=True)


async def test_who_shares_the_folder_on_purpose_is_warned(
    base: Path, start_host: StartHost, caplog: pytest.LogCaptureFixture
) -> None:
    base.chmod(0o777)
    (base / "Secrets").chmod(0o777)
    host = await start_host(allow_shared_data_dir=True)
    assert "may be written by every user of this machine" in warnings_in(caplog)
    assert "aiohttp-jobs doctor --data-dir" in warnings_in(caplog)
    assert (await host.caller("debug").run("true"))["Success"] is True


async def test_strangers_who_may_read_the_results_are_mentioned(
    base: Path, start_host: StartHost, caplog: pytest.LogCaptureFixture
) -> None:
    base.chmod(0o755)
    await start_host()
    assert f"{base} may be read by every user of this machine" in warnings_in(caplog)


async def test_a_folder_that_the_host_makes_itself_is_private_whatever_the_umask(
    tmp_path: Path, start_host: StartHost, caplog: pytest.LogCaptureFixture
) -> None:
    before = os.umask(0)
    try:
        for _ in range(2):
            host = await start_host(data_dir=tmp_path / "new" / "data")
            await host.caller("debug").run("true")
            await host.stop()
    finally:
        os.umask(before)
    assert "may be" not in warnings_in(caplog)


async def test_a_host_of_roots_says_so_once(
    make_config: Callable[..., JobsConfig], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = web.Application()
    for name in ("one", "two"):
        aiohttp_jobs.setup(app, make_config(prefix=f"/{name}", data_dir=tmp_path / name))
    runner = web.AppRunner(app)
    await runner.setup()
    await runner.cleanup()
    assert warnings_in(caplog).count("runs as root") == (1 if os.geteuid() == 0 else 0)


async def test_a_user_id_that_looks_like_a_path_stays_in_its_folder(host: Host) -> None:
    await host.caller("debug", user_id="../../etc").submit("echo hi", delaySeconds=3600)
    assert [path.name for path in (host.base_dir / "JobSubmission").iterdir()] == ["%2E.%2F..%2Fetc"]
