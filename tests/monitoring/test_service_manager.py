"""What systemd hears, by its own protocol: a datagram for each state."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from aiohttp_jobs.monitoring.service_manager import ServiceManager

from ..conftest import Host
from ..gate import PATIENCE_SECONDS


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.setblocking(False)
        yield receiver


async def heard(receiver: socket.socket) -> str:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return (await asyncio.get_running_loop().sock_recv(receiver, 100)).decode()


async def test_a_host_says_when_it_is_ready_lives_and_stops(
    systemd: socket.socket, start_host: Callable[..., Awaitable[Host]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.getsockname())
    monkeypatch.setenv("WATCHDOG_USEC", "30000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    host = await start_host(systemd_notify=True)
    assert [await heard(systemd) for _ in range(3)] == ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]
    assert "NOTIFY_SOCKET" not in (await host.caller("debug").run("env"))["Output"]
    await host.stop()
    while (state := await heard(systemd)) == "WATCHDOG=1":
        pass
    assert state == "STOPPING=1"


async def test_the_watchdog_of_another_process_and_one_that_nobody_set_are_left_alone(
    systemd: socket.socket,
) -> None:
    address = systemd.getsockname()
    for more in ({"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}, {}, {"WATCHDOG_USEC": "no"}):
        manager = ServiceManager({"NOTIFY_SOCKET": address, **more})
        manager.ready()
        assert await heard(systemd) == "READY=1"
        await asyncio.sleep(0.01)
        with pytest.raises(BlockingIOError):
            systemd.recv(100)
        await manager.close()


async def test_a_name_in_the_kernels_own_space_is_one_and_nobody_there_hurts_nobody() -> None:
    name = f"aiohttp-jobs-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0{name}")
        receiver.setblocking(False)
        ServiceManager({"NOTIFY_SOCKET": f"@{name}"}).stopping()
        assert await heard(receiver) == "STOPPING=1"
    ServiceManager({"NOTIFY_SOCKET": f"@{name}"}).stopping()
    ServiceManager({}).ready()
