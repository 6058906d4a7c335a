"""The cluster on one machine: it says where to look, runs jobs on its workers, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
from aiohttp import ClientSession

from ..gate import PATIENCE_SECONDS
from ..postgres import PostgresServer


async def test_hosts_and_workers_share_the_work_and_end_together(
    postgres_server: PostgresServer, postgres: str, tmp_path: Path
) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIOHTTP_JOBS_")}
    cluster = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "demo_app.cluster", "--port", "0", "--data-dir", str(tmp_path / "data"),
        "--dsn", postgres, stdout=-1, env=environment,
    )  # fmt: skip
    try:
        assert cluster.stdout is not None
        async with asyncio.timeout(2 * PATIENCE_SECONDS):
            said = (await cluster.stdout.readuntil(b"Ctrl+C to stop.")).decode()
        first, second = re.findall(r"^  (http\S+)/$", said, re.MULTILINE)
        children = psutil.Process(cluster.pid).children(recursive=True)
        key = (tmp_path / "data" / "demo-api-key").read_text().strip()
        async with ClientSession(headers={"Authorization": f"Bearer {key}"}) as session:
            body: dict[str, object] = {
                "jobName": "where",
                "command": "echo here",
                "executionMode": "BackgroundJob",
            }
            body |= {"labels": ["gpu"]}
            async with session.post(f"{first}/api/v1/jobs/submit?wait=60", json=body) as response:
                result = (await response.json())["result"]
                assert result["Output"] == "here\n", json.dumps(result)
            found: list[dict[str, Any]] = []
            async with asyncio.timeout(PATIENCE_SECONDS):
                while len(found) < 4:  # it says where to look before all of them are there
                    await asyncio.sleep(0.1)
                    async with session.get(f"{second}/api/v1/workers") as response:
                        found = [each for each in (await response.json())["workers"] if each["Alive"]]
        assert sorted(each["Kind"] for each in found) == ["host", "host", "worker", "worker"]
        assert {each["Name"] for each in found if each["Labels"]} == {"worker-1", "worker-2"}
    finally:
        cluster.send_signal(signal.SIGINT)
        async with asyncio.timeout(2 * PATIENCE_SECONDS):
            await cluster.communicate()
    assert cluster.returncode == 0
    _, alive = psutil.wait_procs(children, timeout=PATIENCE_SECONDS)
    assert not alive
