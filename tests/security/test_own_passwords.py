"""What a reader of the log, the data folder or the API would want: the host's own passwords and keys."""

from __future__ import annotations

import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ..conftest import Host
from ..gate import until_answered

StartHost = Callable[..., Awaitable[Host]]
PASSWORD, SIGNING = "the-mail-server's-pässword", "the-secret-that-webhooks-are-signed-with"


async def test_whoever_reads_log_files_and_answers_learns_a_password(
    start_host: StartHost, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with socket.socket() as nobody:  # bound, and never listening: every attempt fails, and is told
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        host = await start_host(
            smtp_host="127.0.0.1",
            smtp_port=port,
            smtp_security="tls",
            smtp_username="jobs",
            smtp_password=PASSWORD,
            smtp_from="jobs@example.org",
            webhook_secret=SIGNING,
            webhook_allow_private=True,
            webhook_allowed_ports=[port],
        )
        alice, admin = host.caller("debug"), host.caller("debug", "system_admin", user_id="admin")
        rules: list[dict[str, Any]] = [
            {"channel": "email", "to": ["ops@example.org"], "on": "always"},
            {"channel": "webhook", "url": f"http://127.0.0.1:{port}/", "on": "always"},
        ]
        result = await alice.run("env; exit 1", notify=rules)

        async def have_failed() -> bool:
            found = (await alice.request("GET", "/notices")).body["notices"]
            return len(found) == 2 and all(each["LastError"] for each in found)

        await until_answered(have_failed, "the notices' failure")
        told = [str(result), repr(host.config), caplog.text]
        for path in ("/notices", "/me", f"/jobs/{result['JobID']}", "/queue", "/openapi.json", "/api-keys"):
            told += [str((await caller.request("GET", path)).body) for caller in (alice, admin)]
    await host.stop()
    files = [path for path in host.config.data_dir.rglob("*") if path.is_file()]
    stored = [path for path in files if "Secrets" not in path.parts]
    assert len(stored) > 1
    told += [path.read_bytes().decode("utf-8", "replace") for path in stored]
    assert [text for text in told if PASSWORD in text or SIGNING in text] == []
    # Keys of the plugin's own, and of its callers, are nowhere but in Secrets either.
    own = [path.read_text().strip() for path in files if path.suffix == ".key"]
    assert own
    assert [text for text in told if any(key in text for key in own)] == []
