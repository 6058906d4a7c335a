"""The configurations of docs/how-to/deploy.md, each run by the server that it is for."""

from __future__ import annotations

import asyncio
import configparser
import os
import runpy
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession

from aiohttp_jobs import JobsConfig

from .conftest import API, Caller, Host, serve
from .gate import PATIENCE_SECONDS, Gate, until, until_answered
from .hosts.process import ROOT, new_key
from .ports import free_port
from .streams import Stream

EXAMPLES = ROOT / "docs" / "how-to" / "examples"
HOW_TO = ROOT / "docs" / "how-to" / "deploy.md"
StartHost = Callable[..., Awaitable[Host]]


def needs(program: str) -> pytest.MarkDecorator:
    found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:{Path(sys.executable).parent}")
    return pytest.mark.skipif(found is None, reason=f"{program} is not installed")


@asynccontextmanager
async def program(folder: Path, *command: str, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A server that runs in `folder`, and is ended with SIGTERM, in time."""
    variables = {
        "DATA_DIR": str(folder / "data"),
        "POLL_INTERVAL": "0.2",
        "SHUTDOWN_GRACE": "0.5",
        **settings,
    }
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin"
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={
            **os.environ,
            "PATH": path,
            "PYTHONPATH": str(ROOT),
            "HOME": str(folder),
            **{f"AIOHTTP_JOBS_{name}": value for name, value in variables.items()},
        },
        start_new_session=True,
    )
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), PATIENCE_SECONDS)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def answers(caller: Caller) -> None:
    """Wait until the server that it asks is up."""

    async def is_up() -> bool:
        try:
            return (await caller.request("GET", "/me")).status == 200
        except ClientError:
            return False

    await until_answered(is_up, "the server answering")


async def works_behind(caller: Caller, gate: Gate) -> None:
    """What proxies get wrong: streams that arrive at once, hosts that differ, bodies that are large."""
    job_id = await caller.submit(f"echo first; {gate.shell}; echo last")
    await gate.reached()
    stream = Stream(caller, job_id)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await stream.read(at_most=1)
    assert stream.text == "first\n"
    gate.open()
    await stream.read()
    assert stream.ended
    large = await caller.run("#" + "x" * 200_000, "Runspace")
    assert large["Success"] is True
    page = await caller.request("GET", caller.base.removesuffix("/api/v1") + "/")
    assert page.body.startswith("<!doctype html>")


def copied(name: str, folder: Path, **replaced: str) -> Path:
    """The example `name` in `folder`, with what a test cannot have as it stands (ports) replaced."""
    text = (EXAMPLES / name).read_text()
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    (folder / name).write_text(text)
    return folder / name


async def test_gunicorn_with_four_workers(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "host.py", tmp_path)
    port = free_port()
    copied("gunicorn.conf.py", tmp_path, **{"127.0.0.1:8080": f"127.0.0.1:{port}"})
    key = new_key(tmp_path / "data")
    command = (sys.executable, "-m", "gunicorn", "--config", "gunicorn.conf.py")
    # gunicorn closes connections that are idle for two seconds, just when one may be used again.
    headers = {"Authorization": f"Bearer {key}", "Connection": "close"}
    async with program(tmp_path, *command), ClientSession(headers=headers) as session:
        caller = Caller(f"http://127.0.0.1:{port}{API}", session, "alice")
        await answers(caller)
        body = {"jobName": "j", "command": "echo $AIOHTTP_JOBS_INSTANCE", "executionMode": "BackgroundJob"}
        asked = (caller.request("POST", "/jobs/submit?wait=50", json=body) for _ in range(40))
        for answer in await asyncio.gather(*asked):
            assert answer.body["result"]["Success"] is True


@needs("nginx")
async def test_the_example_for_nginx_passes_everything_on(start_host: StartHost, tmp_path: Path) -> None:
    host = await start_host()
    port = free_port()
    site = copied(
        "nginx.conf",
        tmp_path,
        **{"127.0.0.1:8080": host.address.removeprefix("http://"), "listen 80;": f"listen 127.0.0.1:{port};"},
    )
    temporary = " ".join(
        f"{each}_temp_path {tmp_path}/{each};"
        for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = tmp_path / "main.conf"
    main.write_text(
        f"pid {tmp_path}/pid; error_log stderr; daemon off; worker_processes 1;\n"
        f"{'user root;' if os.getuid() == 0 else ''} events {{}}\n"
        f"http {{ access_log off; {temporary} include {site}; }}\n"
    )
    async with program(tmp_path, "nginx", "-p", str(tmp_path), "-c", str(main)):
        await proxied(host, port, tmp_path)


@needs("caddy")
async def test_the_example_for_caddy_passes_everything_on(start_host: StartHost, tmp_path: Path) -> None:
    host = await start_host()
    port = free_port()
    copied(
        "Caddyfile",
        tmp_path,
        **{"127.0.0.1:8080": host.address.removeprefix("http://"), ":80 {": f"http://127.0.0.1:{port} {{"},
    )
    text = (tmp_path / "Caddyfile").read_text()
    (tmp_path / "Caddyfile").write_text("{\n\tadmin off\n}\n" + text)
    async with program(tmp_path, "caddy", "run", "--config", "Caddyfile", "--adapter", "caddyfile"):
        await proxied(host, port, tmp_path)


async def proxied(host: Host, port: int, folder: Path) -> None:
    """Everything through the proxy on `port`, with a key and as a browser with a session's cookie."""
    alice = host.caller("debug")
    alice.base = alice.base.replace(host.address, f"http://127.0.0.1:{port}")
    await answers(alice)
    await works_behind(alice, Gate(folder / "gate"))
    address, host.address = host.address, f"http://127.0.0.1:{port}"
    try:
        signed_in = await host.signed_in("debug")
        body = {"jobName": "j", "command": "true", "executionMode": "BackgroundJob"}
        headers = {"Origin": host.address}
        answer = await signed_in.request("POST", "/jobs/submit?wait=30", json=body, headers=headers)
        assert answer.body["result"]["Success"] is True
    finally:
        host.address = address


@needs("adev")
async def test_adev_runserver_ends_jobs_in_time(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "host.py", tmp_path)
    (console,) = [
        line for line in HOW_TO.read_text().splitlines() if "adev runserver" in line and "=" in line
    ]
    assert "AIOHTTP_JOBS_SHUTDOWN_GRACE=1" in console
    port, gate = free_port(), Gate(tmp_path / "gate")
    key = new_key(tmp_path / "data")
    command = ("adev", "runserver", "host.py", "--port", str(port), "--aux-port", str(free_port()))
    async with (
        program(tmp_path, *command, SHUTDOWN_GRACE="1", KILL_GRACE="1") as process,
        ClientSession(headers={"Authorization": f"Bearer {key}"}) as session,
    ):
        caller = Caller(f"http://127.0.0.1:{port}{API}", session, "alice")
        await answers(caller)
        job_id = await caller.submit(gate.shell)
        await gate.reached()
        # A change starts the application anew; the job is ended in order, and has not to be rescued.
        (tmp_path / "host.py").write_text((tmp_path / "host.py").read_text() + "\n")
        result = tmp_path / "data" / "apps" / "WebHostTaskManagement" / "JobResults" / f"{job_id}.json"
        await until(result.exists, "the result of the job that the change ended")
        await answers(caller)
        ended = await caller.result(job_id)
        assert "shut down" in ended["Output"]
        assert process.returncode is None


async def test_the_unit_for_systemd_is_one(tmp_path: Path) -> None:
    """systemd itself runs in no test; where its analyser is installed, that takes the file too."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(EXAMPLES / "aiohttp-jobs.service")
    assert unit["Service"]["KillMode"] == "mixed"
    # What it starts is what the other tests serve.
    assert unit["Service"]["ExecStart"].endswith("python host.py")
    assert (EXAMPLES / "host.py").exists()
    if shutil.which("systemd-analyze"):
        text = (
            (EXAMPLES / "aiohttp-jobs.service")
            .read_text()
            .replace("/srv/jobs/venv/bin/python", sys.executable)
        )
        (tmp_path / "aiohttp-jobs.service").write_text(text.replace("User=jobs\n", ""))
        async with asyncio.timeout(PATIENCE_SECONDS):
            process = await asyncio.create_subprocess_exec(
                "systemd-analyze", "verify", str(tmp_path / "aiohttp-jobs.service")
            )
            assert await process.wait() == 0


async def test_a_sub_application_of_a_sub_application(make_config: Callable[..., JobsConfig]) -> None:
    config = make_config(prefix="/jobs")
    app = runpy.run_path(str(EXAMPLES / "nested.py"))["make_app"](config)
    host = await serve(app, config)
    try:
        for caller in (host.caller("debug"), await host.signed_in("debug")):
            caller.base = f"{host.address}/internal/jobs/api/v1"
            assert (await caller.run("echo nested"))["Output"] == "nested\n"
            page = await caller.request("GET", f"{host.address}/internal/jobs/")
            assert page.body.startswith("<!doctype html>")
    finally:
        await host.stop()
