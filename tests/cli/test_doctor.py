"""``aiohttp-jobs doctor`` on real folders, real processes and a real proxy."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ..conftest import Host
from ..hosts.process import running
from .command import access_to, run

StartHost = Callable[..., Awaitable[Host]]


@pytest.fixture
async def data_dir(start_host: StartHost) -> Path:
    """The data folder of a host that ran a job and ended."""
    host = await start_host()
    await host.caller("debug").run("true")
    await host.stop()
    return host.config.data_dir


async def examined(*arguments: str, **env: str) -> tuple[int, dict[str, list[dict[str, str]]]]:
    """The exit code, and what was found, by check."""
    nowhere = {"XDG_CONFIG_HOME": "/nonexistent"}
    code, out, err = await run("doctor", "--json", *arguments, env=nowhere | env)
    assert "Traceback" not in err, err
    found: dict[str, list[dict[str, str]]] = {}
    answer = json.loads(out)
    for finding in answer["checks"]:
        found.setdefault(finding["check"], []).append(finding)
    statuses = [finding["status"] for finding in answer["checks"]]
    expected = next((each for each in ("problem", "warning") if each in statuses), "ok")
    assert answer["status"] == expected
    return code, found


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    states = {str(path): path.lstat() for path in (folder, *folder.rglob("*"))}
    return {path: (state.st_mtime_ns, state.st_ctime_ns, state.st_mode) for path, state in states.items()}


async def test_a_sound_folder_has_no_problem_and_is_not_changed(data_dir: Path) -> None:
    before = snapshot(data_dir)
    code, found = await examined("--data-dir", str(data_dir))
    assert code == 0
    assert snapshot(data_dir) == before
    sound = {"data_folder_access", "keys", "index", "processes", "foreign_entries", "damaged_entries"}
    sound |= {"file_times", "file_clock", "sqlite", "dependencies", "interpreter_shell", "interpreter_python"}
    assert {check for check in sound if [each["status"] for each in found[check]] != ["ok"]} == set()
    assert {"room", "file_system", "open_files", "inotify", "python"} <= set(found)


async def test_for_people_there_is_a_line_for_each_check(data_dir: Path) -> None:
    (data_dir / "apps" / "WebHostTaskManagement").chmod(0o777)
    code, out, _ = await run("doctor", "--data-dir", str(data_dir), env={})
    assert code == 2
    (line,) = (line for line in out.splitlines() if " data_folder_access " in line and "problem" in line)
    assert "may be written by every user of this machine. Run 'chmod go-w " in line


async def test_warnings_alone_are_an_exit_code_only_with_strict(data_dir: Path) -> None:
    (data_dir / "apps" / "WebHostTaskManagement" / "notes.txt").write_text("mine")
    code, found = await examined("--data-dir", str(data_dir))
    assert (code, found["foreign_entries"][0]["status"]) == (0, "warning")
    assert "notes.txt" in found["foreign_entries"][0]["message"]
    code, _ = await examined("--data-dir", str(data_dir), "--strict")
    assert code == 1


def spoil_a_key(base: Path) -> None:
    (base / "Secrets" / "template.key").write_bytes(b"")


def spoil_the_api_keys(base: Path) -> None:
    (base / "Secrets" / "api-keys.json").write_bytes(b"[{")


def show_a_key(base: Path) -> None:
    (base / "Secrets" / "session.key").chmod(0o644)


def spoil_a_result(base: Path) -> None:
    next((base / "JobResults").glob("*.json")).write_bytes(b'{"JobID":')


def put_a_pipe(base: Path) -> None:
    (base / "JobSubmission" / "alice").mkdir(exist_ok=True)
    os.mkfifo(base / "JobSubmission" / "alice" / "x.json")


def spoil_the_index(base: Path) -> None:
    path = base / "results.index.sqlite3"
    path.write_bytes(path.read_bytes()[:5000] + b"\xff" * 20_000)


@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        (spoil_a_key, "keys"),
        (spoil_the_api_keys, "keys"),
        (show_a_key, "data_folder_access"),
        (spoil_a_result, "damaged_entries"),
        (put_a_pipe, "damaged_entries"),
        (spoil_the_index, "index"),
    ],
)
async def test_what_is_wrong_is_found(data_dir: Path, spoil: Callable[[Path], None], check: str) -> None:
    spoil(data_dir / "apps" / "WebHostTaskManagement")
    code, found = await examined("--data-dir", str(data_dir))
    assert code == 2
    assert "problem" in {each["status"] for each in found[check]}


async def test_a_file_of_tomorrow_is_found(data_dir: Path) -> None:
    result = next((data_dir / "apps" / "WebHostTaskManagement" / "JobResults").glob("*.json"))
    tomorrow = datetime.now(UTC).timestamp() + 86400
    os.utime(result, (tomorrow, tomorrow))
    _, found = await examined("--data-dir", str(data_dir))
    assert found["file_times"][0]["status"] == "warning"
    assert result.name in found["file_times"][0]["message"]


async def test_a_process_that_died_is_told_from_one_that_lives(tmp_path: Path) -> None:
    with running(tmp_path) as host:
        _, found = await examined("--data-dir", str(tmp_path))
        assert found["processes"][0]["message"].startswith("1 processes use the data folder; none has died")
        assert found["index"][0]["status"] == "ok"
        host.kill()
    _, found = await examined("--data-dir", str(tmp_path))
    assert found["processes"][0]["status"] == "warning"
    assert "1 processes died" in found["processes"][0]["message"]


async def test_a_folder_that_is_not_there_is_a_warning_and_is_not_made(tmp_path: Path) -> None:
    code, found = await examined("--data-dir", str(tmp_path / "none"))
    assert (code, found["data_folder"][0]["status"]) == (0, "warning")
    assert not (tmp_path / "none").exists()


# --- the host


@asynccontextmanager
async def proxy(host: Host, *, passes_host: bool, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A reverse proxy before `host`; the plugin's address there."""

    async def forward(request: web.Request) -> web.Response:
        headers = {"Authorization": request.headers.get("Authorization", "")}
        if passes_host:
            headers["Host"] = request.host
        async with session.get(host.address + request.path_qs, headers=headers) as answer:
            kept = {"Content-Type": answer.headers["Content-Type"], "Date": answer.headers["Date"]}
            return web.Response(body=await answer.read(), status=answer.status, headers=kept)

    app = web.Application()
    app.router.add_get("/{path:.*}", forward)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    async with ClientSession() as session:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        try:
            scheme = "http" if tls is None else "https"
            yield f"{scheme}://127.0.0.1:{runner.addresses[0][1]}{host.config.prefix}"
        finally:
            await runner.cleanup()


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's context for 127.0.0.1, and the file that those who trust it name."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    chain = folder / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return context, chain


def key_of(host: Host) -> str:
    return access_to(host)["AIOHTTP_JOBS_API_KEY"]


async def of_host(url: str, **env: str) -> dict[str, dict[str, Any]]:
    _, found = await examined("--url", url, **env)
    return {check: findings[0] for check, findings in found.items()}


async def test_a_host_without_a_proxy_is_sound(host: Host) -> None:
    found = await of_host(host.address + host.config.prefix, AIOHTTP_JOBS_API_KEY=key_of(host))
    for check in ("host", "host_clock", "proxy", "session_cookie"):
        assert found[check]["status"] == "ok", found[check]
    assert f"as http://{host.address.removeprefix('http://')} from 127.0.0.1" in found["proxy"]["message"]


async def test_without_a_key_only_what_everybody_sees_is_looked_at(host: Host) -> None:
    found = await of_host(host.address + host.config.prefix)
    assert found["host"]["status"] == "ok"
    assert "proxy" not in found
    found = await of_host(host.address + host.config.prefix, AIOHTTP_JOBS_API_KEY="wrong")
    assert found["host"]["status"] == "problem"


async def test_a_proxy_that_hides_the_host_header_is_a_problem(host: Host) -> None:
    key = key_of(host)
    async with proxy(host, passes_host=False) as url:
        found = await of_host(url, AIOHTTP_JOBS_API_KEY=key)
        assert found["proxy_host"]["status"] == "problem"
        assert "trusted_origins" in found["proxy_host"]["advice"]
    async with proxy(host, passes_host=True) as url:
        assert (await of_host(url, AIOHTTP_JOBS_API_KEY=key))["proxy"]["status"] == "ok"


@pytest.mark.parametrize("secure", [True, False])
async def test_behind_https_the_scheme_and_the_cookie_are_looked_at(
    start_host: StartHost, tmp_path: Path, secure: bool
) -> None:
    host = await start_host(session_secure=secure)
    context, trusted = certificate(tmp_path)
    async with proxy(host, passes_host=True, tls=context) as url:
        found = await of_host(url, AIOHTTP_JOBS_API_KEY=key_of(host), SSL_CERT_FILE=str(trusted))
    assert "as http" in found["proxy_scheme"]["message"]
    assert found["session_cookie"]["status"] == ("ok" if secure else "problem")


async def test_the_hosts_clock_is_compared(host: Host) -> None:
    async def late(_request: web.Request) -> web.Response:
        return web.Response(headers={"Date": "Sat, 01 Jan 2000 00:00:00 GMT"}, status=401)

    app = web.Application()
    app.router.add_get("/{path:.*}", late)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        found = await of_host(f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()
    assert found["host_clock"]["status"] == "warning"
    assert "behind this machine's" in found["host_clock"]["message"]


async def test_a_host_that_is_not_there_is_a_problem() -> None:
    code, found = await examined("--url", "http://127.0.0.1:9/jobs")
    assert (code, found["host"][0]["status"]) == (2, "problem")


async def test_the_cookies_that_the_host_sets_are_looked_at() -> None:
    async def page(_request: web.Request) -> web.Response:
        response = web.Response()
        response.set_cookie("HOST", "1", httponly=False)
        return response

    app = web.Application()
    app.router.add_get("/{path:.*}", page)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        found = await of_host(f"http://127.0.0.1:{runner.addresses[0][1]}/jobs")
    finally:
        await runner.cleanup()
    assert found["cookies"]["message"] == "The cookie HOST that the host sets has no HttpOnly, SameSite."


@pytest.mark.parametrize(
    ("script", "status", "sentence"),
    [
        ("echo PowerShell 7.1.4", "problem", "is PowerShell 7.1.4, which is too old: jobs in it fail."),
        ("echo PowerShell 7.2.0", "ok", "7.2.0."),
        ("exit 3", "problem", "does not work: "),
        ("echo hello", "problem", "does not work: it does not tell its version."),
        (None, "ok", "powershell is not installed (there is no pwsh on the PATH); jobs cannot ask for it."),
    ],
)
async def test_a_powershell_that_jobs_cannot_run_in_is_a_problem(
    tmp_path: Path, script: str | None, status: str, sentence: str
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    if script is not None:
        (folder / "pwsh").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "pwsh").chmod(0o755)
    _, found = await examined(PATH=f"{folder}:/usr/bin:/bin")
    (finding,) = found["interpreter_powershell"]
    assert (finding["status"], sentence in finding["message"]) == (status, True), finding
    if status == "problem":
        assert str(folder / "pwsh") in finding["message"]
        assert "take it from the PATH" in finding["advice"]
