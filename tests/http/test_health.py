"""``/healthz``, ``/readyz`` and ``/api/v1/health``: who is told what, and when a host is not ready."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import ClientSession

from ..conftest import Host
from ..engines import BOTH
from ..gate import PATIENCE_SECONDS, until_answered
from ..hosts.process import ROOT
from ..ports import free_port

NOT_READY = {"success": False, "error": "This server takes no jobs now.", "code": "not_ready"}
StartHost = Callable[..., Awaitable[Host]]


async def asked(host: Host, path: str) -> tuple[int, dict[str, object]]:
    answer = await host.stranger().request("GET", f"{host.address}{host.config.prefix}{path}")
    return answer.status, answer.body


async def not_ready(host: Host, *faults: str) -> None:
    async def is_so() -> bool:
        status, body = await asked(host, "/readyz")
        # No word more: who asks is unknown.
        return status == 503 and body == {**NOT_READY, "faults": list(faults)}

    await until_answered(is_so, f"the faults {faults}")


@BOTH
async def test_a_host_lives_and_is_ready(host: Host) -> None:
    assert await asked(host, "/healthz") == (200, {"success": True})
    assert await asked(host, "/readyz") == (200, {"success": True})
    answer = await host.caller("task_manager").request("GET", "/health")
    assert answer.body["ready"] is True
    assert {each["Name"] for each in answer.body["findings"]} == {
        "server", "draining", "disk", "keys", "database", "queue",
    }  # fmt: skip
    assert (await host.caller("viewer").request("GET", "/health")).status == 403


async def test_strangers_are_told_the_names_of_faults_and_those_who_look_after_it_why(host: Host) -> None:
    (host.base_dir / "Secrets" / "api-keys.json").write_text("damaged")
    await not_ready(host, "keys")
    assert await asked(host, "/healthz") == (200, {"success": True})
    signed_in = await host.signed_in("system_admin")
    findings = (await signed_in.request("GET", "/health")).body["findings"]
    (fault,) = [each for each in findings if not each["Good"]]
    assert fault["Name"] == "keys"
    assert "cannot be checked" in fault["Message"]


async def test_little_room_and_a_file_that_says_so_turn_it_off(start_host: StartHost) -> None:
    host = await start_host()
    (host.base_dir / "draining").touch()
    await not_ready(host, "draining")
    assert (await host.caller("debug").run("true"))["Success"] is True
    (host.base_dir / "draining").unlink()

    async def is_ready() -> bool:
        return (await asked(host, "/readyz"))[0] == 200

    await until_answered(is_ready, "being ready again")


DRAINING = """
import sys
from aiohttp import web
import aiohttp_jobs

app = web.Application()
aiohttp_jobs.setup(app, aiohttp_jobs.JobsConfig(data_dir="data", readiness_drain=60, shutdown_grace=0.1))
web.run_app(
    app, host="127.0.0.1", port=int(sys.argv[1]),
    print=lambda text: print(text, flush=True), shutdown_timeout=0.1,
)
"""


@pytest.mark.slow
async def test_after_sigterm_it_answers_that_it_is_not_ready_until_the_time_is_over(tmp_path: Path) -> None:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DRAINING, str(port), cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE_SECONDS), ClientSession() as session:
            while "Running on" not in (line := (await process.stdout.readline()).decode()):
                assert line
            url = f"http://127.0.0.1:{port}/apps/WebHostTaskManagement"
            process.send_signal(signal.SIGTERM)
            while True:
                async with session.get(f"{url}/readyz") as answer:
                    if answer.status == 503:
                        assert (await answer.json())["faults"] == ["server"]
                        break
            process.send_signal(signal.SIGTERM)  # not to wait for the minute
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
