"""Mounting the plugin: alone, beside others, by hand, twice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import aiohttp_jobs
from aiohttp_jobs import ConfigurationError, JobsConfig

from .conftest import Host, serve
from .processes import printed_by_new_python

StartHost = Callable[..., Awaitable[Host]]
MakeConfig = Callable[..., JobsConfig]


def test_the_public_face_is_all_there_and_imports_no_more_than_is_asked_for() -> None:
    assert all(hasattr(aiohttp_jobs, name) for name in aiohttp_jobs.__all__)
    assert set(dir(aiohttp_jobs)) == set(aiohttp_jobs.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        aiohttp_jobs.nothing  # noqa: B018
    code = "import sys, aiohttp_jobs.cli; print('aiohttp_jobs.assembly.app' in sys.modules)"
    assert printed_by_new_python(code) == "False\n"


@pytest.mark.slow
def test_a_host_loads_nothing_that_its_settings_do_not_ask_for() -> None:
    code = (
        "import sys\n"
        "from aiohttp import web\n"
        "import aiohttp_jobs\n"
        "aiohttp_jobs.setup(web.Application(), aiohttp_jobs.JobsConfig(data_dir='not-made'))\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
        "print(*sorted(name for name in sys.modules if name.startswith('aiohttp_jobs.')))\n"
    )
    libraries, own = (set(line.split()) for line in printed_by_new_python(code).splitlines())
    assert "pydantic" in libraries
    assert not libraries & {"aiosmtplib", "prometheus_client", "psutil", "psycopg", "typer", "rich"}
    assert "aiohttp_jobs.http.jobs" in own
    assert not {
        name for name in own if name.startswith(("aiohttp_jobs.http.mcp", "aiohttp_jobs.engine.postgres"))
    }
    assert not own & {
        "aiohttp_jobs.http.openapi.document",
        "aiohttp_jobs.http.openapi.records",
        "aiohttp_jobs.monitoring.metrics",
        "aiohttp_jobs.monitoring.tracing",
    }


async def test_the_hosts_own_routes_and_errors_are_untouched(start_host: StartHost) -> None:
    async def page(_request: web.Request) -> web.Response:
        return web.Response(text="the host's page")

    app = web.Application()
    app.router.add_get("/", page)
    host = await start_host(app)
    caller = host.stranger()
    assert (await caller.request("GET", f"{host.address}/")).body == "the host's page"
    missing = await caller.request("GET", f"{host.address}/missing")
    assert (missing.status, missing.body) == (404, "404: Not Found")


async def test_a_host_may_mount_the_application_itself(make_config: MakeConfig) -> None:
    app, config = web.Application(), make_config(prefix="/ops/jobs")
    app.add_subapp("/ops/jobs", aiohttp_jobs.create_jobs_app(config))
    host = await serve(app, config)
    try:
        caller = host.caller("debug")
        result = await caller.run("id(app)", "MainLoop", interpreter="python")
        assert result["Output"] == f"{id(app)}\n"
    finally:
        await host.stop()


async def test_two_plugins_in_one_host_do_not_meet(make_config: MakeConfig, tmp_path: Path) -> None:
    app = web.Application()
    one = make_config(prefix="/one", data_dir=tmp_path / "one")
    other = make_config(prefix="/other", data_dir=tmp_path / "other")
    aiohttp_jobs.setup(app, one)
    aiohttp_jobs.setup(app, other)
    host = await serve(app, one)
    second = Host(app, host.runner, other, host.address)
    try:
        first_result = await host.caller("debug").run("echo one")
        second_result = await second.caller("debug").run("echo other")
        assert (first_result["Output"], second_result["Output"]) == ("one\n", "other\n")
        assert (await host.caller("debug").results()) == [first_result]
        assert (await second.bearer("x").request("GET", "/jobs/results")).status == 401
        signed_in = await host.signed_in("debug", user_id="carol")
        assert (await signed_in.request("GET", f"{second.api}/jobs/results")).status == 200
    finally:
        for session in second.sessions:
            await session.close()
        await host.stop()


@pytest.mark.slow
async def test_two_hosts_on_one_folder_run_each_job_once(start_host: StartHost, tmp_path: Path) -> None:
    hosts = [await start_host(), await start_host(), await start_host()]
    callers = [host.caller("debug") for host in hosts]
    jobs = [await callers[n % 3].submit(f"echo {n} >> {tmp_path}/ran") for n in range(45)]
    for job_id in jobs:
        assert (await callers[0].result(job_id))["Success"] is True
    assert sorted(map(int, (tmp_path / "ran").read_text().split())) == list(range(45))


async def test_one_prefix_is_mounted_once(make_config: MakeConfig) -> None:
    app = web.Application()
    aiohttp_jobs.setup(app, make_config())
    with pytest.raises(ConfigurationError, match="already mounted at /apps/WebHostTaskManagement"):
        aiohttp_jobs.setup(app, make_config())


@pytest.mark.parametrize(
    "bad",
    [
        {"prefix": "jobs"},
        {"prefix": "/"},
        {"prefix": "/{x}"},
        {"poll_interval": 0},
        {"max_parallel_runspace": 0},
        {"default_timeout": 10, "max_timeout": 5},
        {"endpoint_roles": {"sumbit": ["x"]}},
        {"unknown_setting": 1},
    ],
)
def test_bad_settings_are_refused(make_config: MakeConfig, bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad)).split("_")[0]):
        make_config(**bad)


def test_settings_come_from_the_environment_too(tmp_path: Path) -> None:
    environ = {
        "AIOHTTP_JOBS_DATA_DIR": str(tmp_path),
        "AIOHTTP_JOBS_POLL_INTERVAL": "5",
        "AIOHTTP_JOBS_ENVIRONMENT_ALLOW": '["PATH"]',
        "AIOHTTP_JOBS_MODE_ROLES": '{"MainLoop": ["root"]}',
    }
    config = JobsConfig.from_environment(environ, max_timeout=90000)
    assert (config.data_dir, config.poll_interval, config.max_timeout) == (tmp_path, 5, 90000)
    assert config.environment_allow == {"PATH"}
    assert config.mode_roles["MainLoop"] == {"root"}  # type: ignore[index]
    with pytest.raises(ConfigurationError, match="AIOHTTP_JOBS_POLL_INTERVAL"):
        JobsConfig.from_environment({**environ, "AIOHTTP_JOBS_POLL_INTERVAL": "soon"})


async def test_roles_are_the_hosts_to_choose(start_host: StartHost) -> None:
    host = await start_host(
        mode_roles={"BackgroundJob": {"operator"}}, endpoint_roles={"submit": {"operator"}}
    )
    assert (await host.caller("operator").run("true"))["Success"] is True
    body = {"jobName": "j", "command": "true", "executionMode": "BackgroundJob"}
    assert (await host.caller("debug").request("POST", "/jobs/submit", json=body)).status == 403


@pytest.mark.parametrize("when", ["on_startup", "cleanup_ctx", "afterwards"])
async def test_mounting_too_late_says_so(make_config: MakeConfig, when: str) -> None:
    app, config = web.Application(), make_config()
    late = pytest.raises(ConfigurationError, match=r"Call aiohttp_jobs\.setup before the application starts")

    async def mount(app: web.Application) -> None:
        with late:
            aiohttp_jobs.setup(app, config)

    async def mount_and_yield(app: web.Application) -> AsyncIterator[None]:
        await mount(app)
        yield

    if when == "on_startup":
        app.on_startup.append(mount)
    elif when == "cleanup_ctx":
        app.cleanup_ctx.append(mount_and_yield)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        if when == "afterwards":
            await mount(app)
        assert app.middlewares == []
    finally:
        await runner.cleanup()


def test_a_session_key_that_is_none_is_refused_before_anything_starts(make_config: MakeConfig) -> None:
    app, config = web.Application(), make_config(session_key="too short")
    with pytest.raises(ConfigurationError, match="session_key must be 32 bytes in base64url"):
        aiohttp_jobs.setup(app, config)


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"engine": "postgres"}, "dsn is needed with engine 'postgres'"),
        ({"dsn": "postgresql://alice:swordfish@/jobs"}, "dsn is for engine 'postgres'"),
        ({"engine": "postgres", "dsn": "postgresql://alice:swordfish@/jobs"}, "secret is needed with engine"),
        ({"secret": "swordfish"}, "at least 32 characters"),
    ],
)
def test_an_engine_and_its_database_go_together(
    make_config: MakeConfig, settings: dict[str, str], fault: str
) -> None:
    with pytest.raises(ValueError, match=fault) as refused:
        make_config(**settings)
    assert "swordfish" not in str(refused.value)


def test_no_secret_is_shown_with_the_settings(make_config: MakeConfig) -> None:
    config = make_config(engine="postgres", dsn="postgresql://alice:swordfish@/jobs", secret=32 * "swordfish")
    assert "swordfish" not in repr(config)
