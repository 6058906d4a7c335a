"""JobsClient against a real host: every resource, and refusals as errors with their details."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import ClientConnectionError, web
from pytest_aiohttp.plugin import AiohttpServer

from aiohttp_jobs.client import ClientError, JobsClient, SavedHow
from aiohttp_jobs.model.job import RetryPolicy

from ..conftest import Host
from ..gate import Gate, until_answered

JOB = {"jobName": "report", "command": "echo hello", "executionMode": "BackgroundJob"}
NO_ID = "00000000-0000-4000-8000-000000000000"


def client_of(host: Host, *roles: str, user_id: str = "alice") -> JobsClient:
    caller = host.caller(*roles, user_id=user_id)
    return JobsClient(host.address + host.config.prefix, session=caller.session)


@pytest.fixture
async def client(host: Host) -> AsyncIterator[JobsClient]:
    async with client_of(host, "debug", "system_admin") as client:
        yield client


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


async def test_the_client_waits_for_results_and_names_refusals(client: JobsClient) -> None:
    job_id = await client.submit("seq 1 100000", name="long")
    text = "".join([event.text async for event in client.follow(job_id)])
    result = await client.wait(job_id)
    assert text == result.output == await client.output(job_id)
    await client.delete_result(job_id)
    with pytest.raises(ClientError) as refused:
        await client.result(job_id)
    assert (refused.value.status, refused.value.code) == (404, "not_found")


async def test_a_job_is_run_in_one_request(client: JobsClient) -> None:
    result = await client.run("print(6 * 7)", name="sum", mode="Runspace", interpreter="python")
    assert (result.output, result.success) == ("42\n", True)
    assert (await client.run("exit 3", name="failing", timeout_seconds=20)).exit_code == 3


async def test_a_job_that_is_not_due_is_run_to_its_end_all_the_same(client: JobsClient) -> None:
    assert (await client.run("echo later", name="later", delay_seconds=0.2)).output == "later\n"


async def test_a_cron_line_is_tried(client: JobsClient) -> None:
    runs = await client.schedules.preview("30 4 * * *", timezone="Europe/Berlin", count=3)
    assert [run["Local"][11:16] for run in runs] == ["04:30"] * 3
    with pytest.raises(ClientError) as refused:
        await client.schedules.preview("61 * * * *")
    assert refused.value.status == 422


async def test_schedules_are_made_listed_changed_and_deleted(client: JobsClient) -> None:
    made = await client.schedules.create("nightly", "0 3 * * *", JOB, timezone="Europe/Berlin", enabled=False)
    schedule_id = made["ScheduleID"]
    assert (made["Timezone"], made["Enabled"], made["Job"]["Command"]) == (
        "Europe/Berlin",
        False,
        "echo hello",
    )
    assert [each["ScheduleID"] for each in await client.schedules.list()] == [schedule_id]
    changed = await client.schedules.update(schedule_id, {"enabled": True, "job": {"command": "echo bye"}})
    assert (changed["Enabled"], changed["Job"]["JobName"]) == (True, "report")
    assert await client.schedules.get(schedule_id) == changed
    assert len(await client.schedules.next_runs(schedule_id, 3)) == 3
    await client.schedules.delete(schedule_id)
    with pytest.raises(ClientError) as refused:
        await client.schedules.get(schedule_id)
    assert (refused.value.status, refused.value.code) == (404, "not_found")


async def test_a_refusal_names_the_fields_at_fault(client: JobsClient) -> None:
    with pytest.raises(ClientError) as refused:
        await client.schedules.create("bad", "61 * * * *", JOB)
    assert (refused.value.status, refused.value.code) == (422, "invalid_fields")
    assert [fault["field"] for fault in refused.value.details] == ["cron"]


async def test_attempts_of_a_job_are_listed(client: JobsClient, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    job_id = await client.submit(
        f"[ -e {mark} ] || {{ touch {mark}; exit 3; }}",
        name="flaky",
        retry=RetryPolicy(count=1, backoff_seconds=0),
    )
    result = await client.wait(job_id)
    assert (result.success, result.attempt) == (True, 2)
    attempts = await client.attempts(job_id)
    assert [(each["Attempt"], each["ExitCode"]) for each in attempts] == [(1, 3), (2, 0)]


async def test_an_output_is_saved_and_the_rest_of_it_later(
    client: JobsClient, tmp_path: Path, gate: Gate
) -> None:
    job_id = await client.submit(f"seq 1 200000; {gate.shell}; seq 1 200000", name="long")
    await gate.reached()
    half = "".join(f"{number}\n" for number in range(1, 200001)).encode()
    path = tmp_path / "output.txt"
    assert await client.save_output(job_id, path) == len(half)
    assert path.read_bytes() == half
    gate.open()
    await client.wait(job_id)
    inode = path.stat().st_ino
    assert await client.save_output(job_id, path) == 2 * len(half)
    assert (path.read_bytes(), path.stat().st_ino) == (half + half, inode)
    assert await client.save_output(job_id, path) == 2 * len(half)


@pytest.mark.parametrize("held", [b"something else of mine\n", b"x" * 3_000_000, b"1\n2\n3\n5\n", b"1\n2\n4"])
async def test_a_file_that_holds_something_else_is_replaced_and_never_mixed(
    client: JobsClient, tmp_path: Path, held: bytes
) -> None:
    job_id = (await client.run("seq 1 1000", name="short")).job_id
    path, link = tmp_path / "output.txt", tmp_path / "link"
    path.write_bytes(held)
    path.chmod(0o640)
    link.symlink_to(path)
    saved = await client.download_output(job_id, link)
    assert (saved.how, saved.size) == (SavedHow.REPLACED, path.stat().st_size)
    assert path.read_text() == await client.output(job_id)
    assert (link.is_symlink(), path.stat().st_mode & 0o777) == (True, 0o640)
    assert (await client.download_output(job_id, path)).how is SavedHow.UNCHANGED
    assert {entry.name for entry in tmp_path.iterdir()} >= {"output.txt", "link"}
    assert not list(tmp_path.glob(".*"))


async def until_printed(client: JobsClient, job_id: str, text: str) -> None:
    async def is_printed() -> bool:
        return await client.output(job_id) == text

    await until_answered(is_printed, f"that the job has printed {text!r}")


async def test_the_output_of_another_attempt_is_never_gone_on_with(
    client: JobsClient, tmp_path: Path, gate: Gate
) -> None:
    first, second = Gate(tmp_path / "first"), gate
    command = f"""echo of attempt $AIOHTTP_JOBS_ATTEMPT
        if [ $AIOHTTP_JOBS_ATTEMPT = 1 ]; then {first.shell}; exit 3; fi
        {second.shell}; echo the end of it"""
    job_id = await client.submit(command, name="flaky", retry=RetryPolicy(count=1, backoff_seconds=0))
    await first.reached()
    await until_printed(client, job_id, "of attempt 1\n")
    path = tmp_path / "output.txt"
    saved = await client.download_output(job_id, path)
    assert (path.read_text(), saved.attempt, saved.how) == ("of attempt 1\n", 1, SavedHow.NEW)
    first.open()
    await second.reached()
    await until_printed(client, job_id, "of attempt 2\n")
    saved = await client.download_output(job_id, path)
    assert (path.read_text(), saved.attempt, saved.how) == ("of attempt 2\n", 2, SavedHow.REPLACED)
    second.open()
    await client.wait(job_id)
    saved = await client.download_output(job_id, path)
    assert (path.read_text(), saved.how) == ("of attempt 2\nthe end of it\n", SavedHow.CONTINUED)


async def test_an_output_is_saved_into_what_is_no_file(client: JobsClient, tmp_path: Path) -> None:
    job_id = (await client.run("echo hello", name="short")).job_id
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = asyncio.create_task(asyncio.to_thread(pipe.read_text))
    assert (await client.download_output(job_id, pipe)).size == 6
    assert await reading == "hello\n"
    assert pipe.is_fifo()
    await client.save_output(job_id, Path("/dev/null"))
    assert Path("/dev/null").is_char_device()


async def test_what_is_kept_of_an_endless_output_is_saved_with_a_note_of_the_gap(
    start_host: Callable[..., Awaitable[Host]], tmp_path: Path
) -> None:
    host = await start_host(max_log_bytes=2 * 1024 * 1024)
    async with client_of(host, "debug") as client:
        job_id = await client.submit("head -c 9000000 /dev/zero | tr '\\0' x; echo end", name="endless")
        await client.wait(job_id)
        await client.save_output(job_id, tmp_path / "output.txt")
        text = (tmp_path / "output.txt").read_text()
        assert text == await client.output(job_id)
    assert "bytes of output left out" in text
    assert text.endswith("xend\n")


@pytest.mark.usefixtures("warm_workers")
async def test_the_queue_and_the_workers(client: JobsClient) -> None:
    await client.pause()
    job_id = await client.submit("true", name="later")
    queue = await client.queue()
    assert (queue["paused"], [job["JobID"] for job in queue["jobs"]]) == (True, [job_id])
    await client.resume()
    await client.pick_up()
    assert (await client.wait(job_id)).success
    assert {"Worker", "Busy", "JobsServed"} <= set((await client.runspaces())[0])


async def test_a_session_that_is_signed_in_may_be_used_and_stays_open(host: Host) -> None:
    caller = await host.signed_in("debug")
    async with JobsClient(host.address + host.config.prefix, session=caller.session) as client:
        job_id = await client.submit("echo hi", name="cookie")
        assert (await client.wait(job_id)).output == "hi\n"
        assert (await client.wait(await client.rerun(job_id))).output == "hi\n"
    assert not caller.session.closed
    with pytest.raises(ValueError, match="either"):
        JobsClient(host.address)


async def test_results_are_searched_page_after_page(client: JobsClient, host: Host) -> None:
    ids = [await client.submit(f"echo apple {n}; exit {n % 2}", name=f"fruit {n}") for n in range(6)]
    for job_id in ids:
        await client.wait(job_id)
    found = [record async for record in client.search_results("apple", status=["Failed"], sort="name")]
    assert [record["JobName"] for record in found] == ["fruit 1", "fruit 3", "fruit 5"]
    assert all("apple" in record["Snippet"] and "Output" not in record for record in found)
    assert len([record async for record in client.search_results(name="fruit*", limit=4)]) == 4
    stats = await client.result_stats(bucket="day")
    assert sum(bucket["Failed"] for bucket in stats["buckets"]) == 3
    assert await client.delete_results(where={"status": ["Failed"]}) == 3
    assert await client.delete_results(ids) == 3
    assert [record async for record in client.search_results()] == []


async def test_every_page_of_a_long_list_is_fetched(client: JobsClient, host: Host) -> None:
    ids = await asyncio.gather(*(client.submit("true", name="one of many") for _ in range(30)))
    for job_id in ids:
        await client.wait(job_id)
    found = [record["JobID"] async for record in client.search_results(page=7)]
    assert sorted(found) == sorted(ids)


async def test_a_job_is_run_again_with_the_rights_of_who_asks(client: JobsClient, host: Host) -> None:
    first = await client.submit("echo $AIOHTTP_JOBS_USER_ID", name="who")
    await client.wait(first)
    second = await client.rerun(first)
    assert second != first
    assert (await client.wait(second)).output == "alice\n"


TEMPLATE = {
    "name": "greet",
    "command": 'echo "$PARAM_name has $PARAM_secret"',
    "executionMode": "BackgroundJob",
    "parameters": [
        {"name": "name", "type": "string", "required": True},
        {"name": "secret", "type": "secret", "required": True},
    ],
    "runRoles": ["authenticated"],
}


async def test_templates_are_made_run_replaced_and_deleted(client: JobsClient, host: Host) -> None:
    made = await client.templates.create(TEMPLATE)
    template_id = made["TemplateID"]
    assert [each["TemplateID"] for each in await client.templates.list()] == [template_id]
    replaced = await client.templates.replace(template_id, {**TEMPLATE, "description": "says hello"})
    assert (await client.templates.get(template_id))["Description"] == replaced["Description"] == "says hello"
    async with client_of(host, user_id="bob") as bob:
        with pytest.raises(ClientError, match="must not start with '-'"):
            await bob.templates.run(template_id, {"name": "-n", "secret": "opensesame"})
        job_id = await bob.templates.run(template_id, {"name": "n", "secret": "opensesame"})
        result = await bob.wait(job_id)
    assert "opensesame" not in result.output
    await client.templates.delete(template_id)
    with pytest.raises(ClientError) as refused:
        await client.templates.get(template_id)
    assert refused.value.status == 404


async def test_notices_are_listed_sent_again_and_deleted(client: JobsClient, host: Host) -> None:
    assert await client.notices.list(state="failed") == []
    for refusal in (client.notices.retry(NO_ID), client.notices.delete(NO_ID)):
        with pytest.raises(ClientError) as refused:
            await refusal
        assert refused.value.status == 404


async def test_the_server_tells_who_one_is(client: JobsClient, host: Host) -> None:
    me = await client.me()
    assert (me["userId"], set(me["roles"]) >= {"debug"}, me["proof"]) == ("alice", True, "api_key")


async def test_keys_are_made_disabled_and_deleted_by_who_is_signed_in(client: JobsClient, host: Host) -> None:
    signed_in = await host.signed_in("debug")
    async with JobsClient(host.address + host.config.prefix, session=signed_in.session) as owner:
        key, secret = await owner.api_keys.create("ci", roles=["debug"])
        async with JobsClient(host.address + host.config.prefix, secret) as ci:
            assert (await ci.wait(await ci.submit("true", name="by key"))).success
        assert (await owner.api_keys.set_enabled(key["KeyID"], False))["Enabled"] is False
        assert key["KeyID"] in [each["KeyID"] for each in await owner.api_keys.list()]
        await owner.api_keys.delete(key["KeyID"])
    with pytest.raises(ClientError) as refused:
        await client.api_keys.create("a key's key")
    assert refused.value.status == 403


async def test_another_program_s_answers_are_not_taken_for_the_api_s(
    aiohttp_server: AiohttpServer, tmp_path: Path
) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<h1>Welcome</h1>", content_type="text/html")

    async def something(_: web.Request) -> web.Response:
        return web.json_response(["no", "record"])

    app = web.Application()
    app.router.add_route("*", "/page/{path:.*}", page)
    app.router.add_route("*", "/json/{path:.*}", something)
    server = await aiohttp_server(app)
    for place in ("page", "json"):
        async with JobsClient(str(server.make_url(f"/{place}")), "key") as client:
            for asking in (
                client.me(),
                client.output(NO_ID),
                client.save_output(NO_ID, tmp_path / "output"),
                anext(client.follow(NO_ID)),
            ):
                with pytest.raises(ClientError, match="answered 200 at http") as refused:
                    await asking
                assert refused.value.code == "not_aiohttp_jobs"
    assert not (tmp_path / "output").exists() or not (tmp_path / "output").stat().st_size


async def test_a_stream_of_events_that_breaks_off_every_time_is_given_up_at_last(
    aiohttp_server: AiohttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiohttp_jobs.client.events._RECONNECT_SECONDS", 0.0)

    async def broken_off(_: web.Request) -> web.Response:
        return web.Response(text=": nothing to tell\n\n", content_type="text/event-stream")

    app = web.Application()
    app.router.add_get("/jobs/api/v1/jobs/{id}/events", broken_off)
    server = await aiohttp_server(app)
    async with JobsClient(str(server.make_url("/jobs")), "key") as client:
        with pytest.raises(ClientConnectionError, match="broke off"):
            await anext(client.follow(NO_ID))
