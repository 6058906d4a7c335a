from __future__ import annotations

import asyncio

import pytest

from aiohttp_jobs.system.owned_tasks import OwnedTasks


async def test_each_task_is_waited_for_also_one_that_another_started() -> None:
    tasks, done = OwnedTasks("a test"), []

    async def second() -> None:
        done.append("second")

    async def first() -> None:
        await asyncio.sleep(0)
        tasks.start(second())
        done.append("first")

    tasks.start(first())
    assert len(tasks) == 1
    await tasks.wait()
    assert done == ["first", "second"]
    assert len(tasks) == 0


async def test_one_that_fails_is_logged_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    tasks, done = OwnedTasks("a test"), asyncio.Event()

    async def fail() -> None:
        raise LookupError("nothing there")

    async def succeed() -> None:
        done.set()

    tasks.start(fail())
    tasks.start(succeed())
    await tasks.wait()
    assert done.is_set()
    assert [(record.getMessage(), record.exc_info is not None) for record in caplog.records] == [
        ("A task of a test failed", True)
    ]


async def test_what_does_not_end_in_time_is_cancelled_and_its_end_waited_for() -> None:
    tasks, ended = OwnedTasks("a test"), asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()

    tasks.start(hang())
    await asyncio.sleep(0)
    await tasks.close(0.0)
    assert ended.is_set()
    assert len(tasks) == 0
