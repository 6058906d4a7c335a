"""``aiohttp_jobs.testing``: what hosts test their own functions with."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import aiohttp_jobs
from aiohttp_jobs import JobFailedError, JobsConfig
from aiohttp_jobs.errors import InvalidFieldsError
from aiohttp_jobs.testing import JobsOfTest, opened, run_function
from aiohttp_jobs.testing.fixtures import jobs

from . import sample, troublesome

__all__ = ["jobs"]


async def test_a_function_is_run_as_a_job() -> None:
    assert await run_function(sample.greet, "ann") == "host greets ann"
    assert await run_function(sample.rebuild, index="users") == {"rows": 3}


async def test_what_it_does_not_take_is_refused_as_anywhere() -> None:
    with pytest.raises(InvalidFieldsError, match=r"values\.index must be 'users' or 'orders'"):
        await run_function(sample.rebuild, index="x")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="missing a required argument"):
        await run_function(sample.rebuild)  # type: ignore[call-arg]


async def test_one_that_fails_is_told_with_its_result() -> None:
    with pytest.raises(JobFailedError, match="ended Failed: ValueError: nobody is called that") as caught:
        await run_function(troublesome.fail, "nobody is called that")
    assert "ValueError" in caught.value.result["Output"]


async def test_nothing_is_left_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    await run_function(sample.greet, "ann")
    assert list(tmp_path.iterdir()) == []


async def test_the_fixture_runs_functions_and_waits_for_jobs(jobs: JobsOfTest) -> None:
    assert await jobs.run(sample.greet.bind("ann"), user="bob") == "bob greets ann"
    handle = await jobs.submit(sample.rebuild.bind("users"), mode="BackgroundJob")
    later = await jobs.submit(sample.greet.bind("cat"), delay=3600)
    results = await jobs.wait()
    assert [each["FunctionValues"] for each in results] == [{"name": "ann"}, {"index": "users"}]
    assert results[1]["JobID"] == handle.id != later.id
    assert await handle == {"rows": 3}


async def test_it_waits_for_the_jobs_of_an_application(
    jobs: JobsOfTest, make_config: Callable[..., JobsConfig], aiohttp_client: Any
) -> None:
    async def greet(request: web.Request) -> web.Response:
        await aiohttp_jobs.submit(request.app, sample.greet.bind(request.match_info["name"]), user="web")
        return web.Response()

    app = web.Application()
    app.router.add_post("/greet/{name}", greet)
    aiohttp_jobs.setup(app, make_config(), functions=sample.jobs)
    client = await aiohttp_client(app)
    for name in ("ann", "bob"):
        assert (await client.post(f"/greet/{name}")).status == 200
    results = await jobs.of(app).wait()
    assert {each["ReturnValue"] for each in results} == {"web greets ann", "web greets bob"}


async def test_a_wait_that_takes_too_long_ends() -> None:
    async with opened(troublesome.jobs) as jobs:
        handle = await jobs.submit(troublesome.wait_for_ever.bind())
        with pytest.raises(TimeoutError):
            await jobs.wait(0.2)
        await handle.cancel()
        [result] = await jobs.wait()
        assert result["Status"] == "Cancelled"


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_a_project_of_its_own_has_the_fixture(tmp_path: Path, mode: str) -> None:
    (tmp_path / "shop.py").write_text(
        textwrap.dedent("""
            import aiohttp_jobs

            jobs = aiohttp_jobs.Functions()

            @jobs.function(mode="BackgroundJob")
            def double(number: int) -> int:
                return 2 * number
        """)
    )
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["aiohttp_jobs.testing.fixtures"]\n')
    (tmp_path / "test_shop.py").write_text(
        textwrap.dedent("""
            import pytest
            import shop

            @pytest.mark.asyncio
            async def test_double(jobs):
                assert await jobs.run(shop.double.bind(21)) == 42
        """)
    )
    (tmp_path / "pytest.ini").write_text(f"[pytest]\nasyncio_mode = {mode}\n")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "pytest_asyncio.plugin"],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
