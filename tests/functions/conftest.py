"""Hosts whose functions are those of ``running``, and running these."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from ..conftest import Caller, Host
from . import running

StartHost = Callable[..., Awaitable[Host]]


@dataclass
class FunctionCaller:
    """Somebody who runs functions of a host."""

    caller: Caller

    async def start(self, name: str, mode: str | None = None, *, wait: int = 0, **run: Any) -> dict[str, Any]:
        """Have a function run; the answer. What is no value is an option: ``timeoutSeconds``."""
        options = {key: run.pop(key) for key in ("timeoutSeconds", "retry") if key in run}
        body = {"values": run, "executionMode": mode, **options}
        path = f"/functions/{name}/run" + (f"?wait={wait}" if wait else "")
        answer = await self.caller.request(
            "POST", path, json={k: v for k, v in body.items() if v is not None}
        )
        assert answer.status == 200, answer.body
        found: dict[str, Any] = answer.body
        return found

    async def submit(self, name: str, mode: str | None = None, **run: Any) -> str:
        """Its job's id."""
        return str((await self.start(name, mode, **run))["jobId"])

    async def run(self, name: str, mode: str | None = None, **run: Any) -> dict[str, Any]:
        """Its result."""
        answer = await self.start(name, mode, wait=60, **run)
        result: dict[str, Any] = answer["result"] or await self.caller.result(answer["jobId"])
        return result

    async def value(self, name: str, mode: str | None = None, **run: Any) -> Any:
        """What it returned."""
        result = await self.run(name, mode, **run)
        assert result["Status"] == "Succeeded", result
        return result["ReturnValue"]

    async def cancel(self, job_id: str) -> dict[str, Any]:
        """Its result after that."""
        assert (await self.caller.request("POST", f"/jobs/{job_id}/cancel")).status == 202
        return await self.caller.result(job_id)


@pytest.fixture
async def running_host(start_host: StartHost) -> Host:
    """Runs two functions at once in workers."""
    return await start_host(functions=running.jobs, max_parallel_runspace=2)


@pytest.fixture
async def alice(running_host: Host) -> FunctionCaller:
    return FunctionCaller(running_host.caller("debug"))


@pytest.fixture
async def bob(running_host: Host) -> FunctionCaller:
    return FunctionCaller(running_host.caller("debug", user_id="bob"))
