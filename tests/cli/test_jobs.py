"""The command line over HTTP: a real process against a real host."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from yarl import URL

from ..conftest import Host
from ..gate import Gate
from ..processes import printed_by
from ..raw_streams import connected, serving
from .command import access_to, opened_terminal, run, start


async def test_submit_and_wait_shows_the_output_and_exits_as_the_job_does(host: Host) -> None:
    env = access_to(host, "debug")
    assert await run("submit", "--wait", "echo one; echo two >&2", env=env) == (0, "one\ntwo\n", "")
    code, out, _ = await run("submit", "--wait", env=env, stdin="echo from stdin; exit 7")
    assert (code, out.splitlines()[0]) == (7, "from stdin")
    code, out, _ = await run("submit", "--wait", "kill -9 $$", env=env)
    assert code == 137
    code, _, err = await run("submit", "--wait", "--timeout", "0.3", "sleep 9", env=env)
    assert (code, err) == (1, "aiohttp-jobs: the job ended as TimedOut\n")
    code, out, _ = await run("submit", "--wait", "--json", "echo hi", env=env)
    assert (code, json.loads(out)["Output"]) == (0, "hi\n")


async def test_jobs_are_listed_watched_and_cancelled(host: Host) -> None:
    env = access_to(host, "debug")
    _, out, _ = await run("submit", "--name", "nap", "echo up; sleep 60", env=env)
    job_id = out.strip()
    _, out, _ = await run("jobs", "--json", env=env)
    assert [job["JobID"] for job in json.loads(out)] == [job_id]
    watching = asyncio.create_task(run("watch", job_id, env=env))
    code, out, _ = await run("cancel", job_id, env=env)
    assert code == 0
    code, out, err = await watching
    assert (code, "cancelled by alice" in out, "Cancelled" in err) == (1, True, True)
    code, out, _ = await run("results", env=env)
    assert (code, "nap" in out, "Cancelled" in out) == (0, True, True)
    code, _, err = await run("cancel", job_id, env=env)
    assert (code, err) == (1, "aiohttp-jobs: The job has ended already (Cancelled).\n")


async def test_refusals_end_with_the_servers_sentence(host: Host) -> None:
    code, _, err = await run("submit", "true", env=access_to(host))
    assert (code, "requires elevated roles" in err, "Traceback" in err) == (1, True, False)
    nobody = {"AIOHTTP_JOBS_URL": "http://127.0.0.1:9", "AIOHTTP_JOBS_API_KEY": "k"}
    code, _, err = await run("jobs", env=nobody)
    assert (code, err.startswith("aiohttp-jobs: The server at http://127.0.0.1:9 cannot")) == (1, True)


async def test_a_command_that_starts_with_a_dash_is_no_option(host: Host) -> None:
    env = access_to(host, "debug")
    code, out, _ = await run("submit", "--wait", "--", "--help", env=env)
    assert (code, "--help" in out, "Usage" in out) == (127, True, False)
    code, out, _ = await run("submit", "--json", "--name=--json", "--description", "-d", "--", "-x", env=env)
    _, out, _ = await run("jobs", "--json", env=env)
    (job,) = (job for job in json.loads(out) if job["JobName"] == "--json")
    assert job["Description"] == "-d"


async def test_names_that_look_like_markup_or_control_a_terminal_are_only_shown(host: Host) -> None:
    env = access_to(host, "debug")
    for name in ("[/bold]", "[red]alarm[/red]"):
        await run("submit", "--name", name, "true", env=env)
    code, out, err = await run("jobs", env=env)
    assert (code, "[/bold]" in out, "[red]alarm[/red]" in out, err) == (0, True, True, "")


async def test_ctrl_c_leaves_the_job_running_and_says_how_to_come_back(host: Host, gate: Gate) -> None:
    env = access_to(host, "debug")
    process = await start("submit", "--wait", f"echo up; {gate.shell}", env=env)
    await gate.reached()
    process.send_signal(signal.SIGINT)
    _, err = await printed_by(process)
    (job,) = json.loads((await run("jobs", "--state", "running", "--json", env=env))[1])
    assert process.returncode == 130
    assert f"aiohttp-jobs watch {job['JobID']}" in err.decode()
    gate.open()
    assert await run("watch", job["JobID"], env=env) == (0, "up\n", "")


async def test_ctrl_c_cancels_if_that_was_asked_for(host: Host, gate: Gate) -> None:
    env = access_to(host, "debug")
    process = await start("submit", "--wait", "--cancel-on-interrupt", gate.shell, env=env)
    await gate.reached()
    process.send_signal(signal.SIGINT)
    _, err = await printed_by(process)
    assert (process.returncode, "ended as Cancelled" in err.decode()) == (130, True)


@pytest.mark.parametrize("option", ["--cancel-on-interrupt", "--no-cancel-on-interrupt"])
async def test_ctrl_c_before_the_server_has_answered_forgets_no_job(
    host: Host, gate: Gate, option: str
) -> None:
    held = asyncio.Event()
    async with answers_late(host, held) as url:
        env = access_to(host, "debug") | {"AIOHTTP_JOBS_URL": url}
        process = await start("submit", "--wait", option, gate.shell, env=env)
        await gate.reached()
        process.send_signal(signal.SIGINT)
        await asyncio.sleep(0.2)
        held.set()
        _, err = await printed_by(process)
    says = "ended as Cancelled" if option == "--cancel-on-interrupt" else "goes on"
    assert (process.returncode, says in err.decode()) == (130, True)
    gate.open()


@contextlib.asynccontextmanager
async def answers_late(host: Host, held: asyncio.Event) -> AsyncIterator[str]:
    """The address of a proxy that hands on what `host` answers only once `held` is set."""
    at_once = asyncio.Event()
    at_once.set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, go: asyncio.Event) -> None:
        while data := await reader.read(65536):
            await go.wait()
            writer.write(data)
        writer.close()

    async def hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        url = URL(host.address)
        async with connected(url.host, url.port) as there, asyncio.TaskGroup() as both:
            both.create_task(copy(reader, there[1], at_once))
            both.create_task(copy(there[0], writer, held))

    async with serving(hand_on) as port:
        yield f"http://127.0.0.1:{port}{host.config.prefix}"


async def test_a_terminal_shows_how_the_job_is_getting_on(host: Host, gate: Gate) -> None:
    with opened_terminal() as terminal:
        env = access_to(host, "debug")
        process = await start("submit", "--wait", gate.shell, env=env, stderr=terminal.theirs)
        await terminal.shows("Running")
        gate.open()
        await terminal.shows("Succeeded after")
        await printed_by(process)


async def test_an_output_is_printed_or_saved(host: Host, tmp_path: Path) -> None:
    env = access_to(host, "debug")
    job_id = (await run("submit", "--wait", "--json", "seq 1 50000", env=env))[1]
    job_id = json.loads(job_id)["JobID"]
    expected = "".join(f"{number}\n" for number in range(1, 50001))
    assert await run("output", job_id, env=env) == (0, expected, "")
    path = tmp_path / "saved"
    path.write_text(expected[:1000])
    code, out, _ = await run("output", job_id, "--save", str(path), "--json", env=env)
    assert (code, json.loads(out)["bytes"], path.read_text()) == (0, len(expected), expected)
    path.write_text("mine")
    _, out, _ = await run("output", job_id, "--save", str(path), env=env)
    assert ("was replaced" in out, path.read_text()) == (True, expected)
    code, _, err = await run("output", job_id, "--save", str(tmp_path), env=env)
    assert (code, "cannot be written" in err, "Traceback" in err) == (1, True, False)


async def test_attempts_are_shown(host: Host) -> None:
    env = access_to(host, "debug")
    out = (await run("submit", "--wait", "--json", "--retries", "1", "--backoff", "0", "exit 3", env=env))[1]
    _, out, _ = await run("attempts", json.loads(out)["JobID"], "--json", env=env)
    assert [attempt["ExitCode"] for attempt in json.loads(out)] == [3, 3]
    code, _, err = await run("submit", "--retries", "99", "true", env=env)
    assert (code, err.startswith("aiohttp-jobs: --retries must be less than or equal to 20")) == (1, True)


async def test_a_job_is_run_again(host: Host) -> None:
    env = access_to(host, "debug")
    out = (await run("submit", "--wait", "--json", "echo again", env=env))[1]
    assert await run("rerun", "--wait", json.loads(out)["JobID"], env=env) == (0, "again\n", "")


async def test_notices_are_asked_for_and_listed(host: Host) -> None:
    env = access_to(host, "debug")
    code, out, err = await run(
        "submit",
        "--notify-webhook",
        "http://192.0.2.1/x",
        "--notify-on",
        "failure,recovery",
        "false",
        env=env,
    )
    assert (code, err) in ((0, ""), (1, err))
    assert "Traceback" not in err
    code, out, _ = await run("notices", "--state", "sent", "--json", env=env)
    assert (code, json.loads(out)) == (0, [])
