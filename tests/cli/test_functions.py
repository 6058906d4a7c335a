"""The host's functions from the command line: their parameters are options, and secrets never stand on it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from aiohttp_jobs.cli.function_options import option_lines, read_options
from aiohttp_jobs.cli.values import collect

from ..conftest import Host
from ..functions import sample
from ..gate import Gate, until
from ..processes import printed_by
from ..ui.functions import every_kind
from ..ui.functions import jobs as page_functions
from .command import access_to, opened_terminal, run, start

StartHost = Callable[..., Awaitable[Host]]
PARAMETERS = [each.to_json() for each in every_kind.signature.parameters]
TAKEN = {"--wait", "--no-wait", "--price"}
NEEDED = {"text": "ab", "count": 1, "colour": "red", "rows": [1]}


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        ("--text -x --count -2 --colour red", {"text": "-x", "count": -2, "colour": "red"}),
        ("--text=a=b --rows 1 --rows=2", {"text": "a=b", "rows": [1, 2]}),
        ("--ratio 1e3 --really --no-maybe", {"ratio": 1000.0, "really": True, "maybe": False}),
        ("--no-limit --size 2 --no-really", {"limit": None, "size": 2, "really": False}),
        ("--day 2027-02-03 --hour 04:05", {"day": "2027-02-03", "hour": "04:05"}),
        ('--span {"first":1} --words --text', {"span": {"first": 1}, "words": ["--text"]}),
    ],
)
def test_a_functions_parameters_are_options(arguments: str, values: dict[str, Any]) -> None:
    found = read_options(PARAMETERS, TAKEN, arguments.split())
    assert found == values
    every_kind.signature.validate({**NEEDED, **found})


def test_a_moment_without_a_zone_is_one_of_the_users_own() -> None:
    found = read_options(PARAMETERS, TAKEN, ["--at", "2027-02-03T04:05"])
    assert found["at"].startswith("2027-02-03T04:05:00")
    assert len(found["at"]) == len("2027-02-03T04:05:00+00:00")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--count one", "count must be a whole number, not 'one'"),
        ("--ratio nan", "ratio must be a number, not 'nan'"),
        ("--rows 1 --rows two", "rows must be a whole number, not 'two'"),
        ("--span {first:1}", "span must be JSON"),
        ("--count 1 --count 2", "count is given twice"),
        ("--really --no-really", "really is given twice"),
        ("--really=yes", "--really takes no value"),
        ("--text", "--text needs a value"),
        ("--nothing 1", "There is no option --nothing; this function has --text, "),
        ("nothing", "There is no option nothing"),
        (
            "--password geheim",
            "can read command lines: give this secret by --secret-file password=FILE.",
        ),
        ("--price 1", "There is no option --price"),
    ],
)
def test_an_option_that_cannot_be_read_is_named(
    arguments: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit):
        read_options(PARAMETERS, TAKEN, arguments.split())
    told = capsys.readouterr().err
    assert sentence in told
    assert "geheim" not in told


def test_what_has_no_option_is_given_by_name(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("open sesame\n")
    found = collect(
        PARAMETERS,
        ["price=0.10", "rows=2", "rows=3"],
        [f"password={tmp_path / 'pw'}"],
        [],
        {"text": "ab", "rows": [1]},
    )
    assert found == {"text": "ab", "rows": [1, 2, 3], "price": "0.10", "password": "open sesame"}


def test_the_help_says_how_each_is_given() -> None:
    told = "\n".join(option_lines(PARAMETERS, TAKEN))
    for part in (
        "--text TEXT                       With a letter in it. [matching [a-z], required]",
        "--count INT                       [from -3, to 9, required]",
        "--colour red|green",
        "--rows INT                        May be repeated.",
        "--value price=DECIMAL             [default",
        "--really / --no-really",
        "--limit INT / --no-limit          [default 5]",
        "--span JSON / --no-span",
        "--secret-file password=FILE       A secret",
    ):
        assert part in told


def test_the_help_has_nothing_that_a_terminal_would_obey() -> None:
    (line,) = option_lines([{"name": "a", "type": "string", "description": "one\n\x1b[31mtwo"}], ())
    assert line.split() == ["--a", "TEXT", "one", "\ufffd[31mtwo"]


@pytest.fixture
async def host(start_host: StartHost) -> Host:
    return await start_host(functions=sample.jobs)


async def test_functions_are_listed_shown_and_explained(host: Host) -> None:
    env = access_to(host, "librarian")
    code, out, err = await run("functions", env=env)
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == ["Name", "rebuild", "greet"]
    code, out, _ = await run("function", "reindex", env=env)
    assert code == 0
    assert "Read all rows again" in out
    assert "users, orders" in out
    code, out, _ = await run("run", "rebuild", "--help", env=env)
    assert code == 0
    assert "Usage: aiohttp-jobs run rebuild" in out
    assert "--index users|orders" in out
    assert "--dry-run / --no-dry-run" in out
    code, out, _ = await run("run", "--help", env=env)
    assert (code, "--cancel-on-interrupt" in out) == (0, True)


async def test_what_is_refused_is_told_in_the_servers_words(host: Host) -> None:
    env = access_to(host, "librarian")
    for arguments, sentence in [
        (["login", "--user", "x"], "There is no function login"),
        (["rebuild"], "index is required"),
        (["rebuild", "--index", "nothing"], "index must be 'users' or 'orders'"),
        (["rebuild", "--index", "users", "--mode", "MainLoop"], "must be one of this function's"),
        (["--index", "users"], "name comes before its options"),
        ([], "Say which function"),
    ]:
        code, out, err = await run("run", *arguments, env=env)
        assert (code, out) == (1, "")
        assert sentence in err


async def test_a_function_is_submitted_and_the_job_has_its_values(host: Host, tmp_path: Path) -> None:
    env = access_to(host, "task_manager", "librarian")
    later = ["--delay", "3600", "--no-wait"]
    code, out, err = await run("run", "rebuild", "--index", "users", "--dry-run", *later, env=env)
    assert (code, err) == (0, "")
    caller = host.caller("librarian")
    job = (await caller.request("GET", f"/jobs/{out.strip()}")).body["job"]
    assert job["FunctionValues"] == {"index": "users", "dry_run": True}
    (tmp_path / "pw").write_text("open sesame\n")
    arguments = ["run", "login", "--user", "me", "--secret-file", f"password={tmp_path / 'pw'}"]
    code, out, err = await run(*arguments, "--job-name", "In", "--json", *later, env=env)
    assert (code, err) == (0, "")
    job = (await caller.request("GET", f"/jobs/{json.loads(out)['jobId']}")).body["job"]
    assert (job["JobName"], job["FunctionValues"]) == ("In", {"user": "me"})


async def test_a_missing_secret_is_asked_for_without_being_shown(host: Host) -> None:
    env = access_to(host, "task_manager")
    with opened_terminal() as terminal:
        arguments = ["run", "login", "--user", "me", "--delay", "3600", "--no-wait"]
        process = await start(*arguments, env=env, forked=True, stdin=terminal.theirs, stderr=terminal.theirs)
        await terminal.shows("password")
        await terminal.hides_what_is_typed()  # what came before that would be forgotten
        terminal.type("open sesame\n")
        out, _ = await printed_by(process)
        assert process.returncode == 0
        assert b"sesame" not in terminal.shown
    caller = host.caller("task_manager")
    assert (await caller.request("GET", f"/jobs/{out.decode().strip()}")).status == 200


async def test_a_terminal_shows_a_bar_when_the_job_tells_how_far_it_is(host: Host, gate: Gate) -> None:
    command = rf"printf '\033]9;4;1;42;420%%20rows\a'; {gate.shell}; echo done"
    with opened_terminal() as terminal:
        env = access_to(host, "debug")
        process = await start("submit", "--wait", command, env=env, forked=True, stderr=terminal.theirs)
        await terminal.shows("42%")
        await terminal.shows("420 rows")
        gate.open()
        await terminal.shows("Succeeded after")
        out, _ = await printed_by(process)
        assert out == b"done\n"


async def test_on_a_terminal_the_bar_stands_below_whole_lines_of_the_output(host: Host, gate: Gate) -> None:
    shown = r"printf '\033]9;4;1;%s;here\a'"
    command = (
        f"echo first; {shown % 30}; printf 'half a '; {shown % 60}; echo line; {gate.shell}; {shown % 90}"
    )
    with opened_terminal() as terminal:
        env = access_to(host, "debug")
        process = await start(
            "submit", "--wait", command, env=env, forked=True, stdout=terminal.theirs, stderr=terminal.theirs
        )
        await terminal.shows("half a \x1b]9;4;1;60;here\x07line\r\n")
        await until(lambda: b"60%" in terminal.read().rpartition(b"line\r\n")[2], "the bar below the line")
        gate.open()
        await terminal.shows("Succeeded after")
        await printed_by(process)


async def test_a_function_is_scheduled_with_its_values(host: Host) -> None:
    env = access_to(host, "task_manager", "librarian")
    create = ["schedule", "create", "--cron", "0 3 * * *", "--name", "Nightly"]
    code, out, err = await run(
        *create,
        "--function",
        "rebuild",
        "--value",
        "index=users",
        "--value",
        "dry_run=yes",
        "--json",
        env=env,
    )
    assert (code, err) == (0, "")
    values = {"index": "users", "dry_run": True}
    assert json.loads(out)["Job"] == {"Function": "rebuild", "Values": values, "JobName": "Nightly"}
    change = ["schedule", "change", "Nightly"]
    assert (await run(*change, "--value", "index=orders", env=env))[0] == 0
    shown = json.loads((await run("schedule", "show", "Nightly", "--json", env=env))[1])
    assert shown["Job"]["Values"] == {"index": "orders", "dry_run": True}
    code, _, err = await run(*change, "--value", "table=orders", env=env)
    assert (code, err) == (
        1,
        "aiohttp-jobs: There is no parameter 'table'; there is index, since, dry_run.\n",
    )
    for arguments, sentence in [
        (["--function", "rebuild", "--value", "index=nothing"], "must be 'users' or 'orders'"),
        (["--function", "login", "--value", "password=geheim"], "is a secret"),
        (["--function", "login", "--value", "user=me"], "is required"),
        (["--function", "rebuild", "--interpreter", "bash"], "A function has no command, interpreter"),
        (["--value", "index=users", "true"], "give --function too"),
    ]:
        code, _, err = await run(*create, *arguments, env=env)
        assert (code, sentence in err, "geheim" in err) == (1, True, False), err


async def test_a_function_is_run_shown_and_exits_as_the_job_does(
    start_host: StartHost, tmp_path: Path
) -> None:
    env = access_to(await start_host(functions=page_functions), "task_manager")
    (tmp_path / "gate").touch()
    path = str(tmp_path / "gate")
    assert await run("run", "wait_for", "--path", path, env=env) == (0, "there it is\n", "")
    code, out, err = await run("run", "wait_for", "--path", path, "--json", env=env)
    assert (code, err) == (0, "")
    assert json.loads(out)["ReturnValue"] == [
        {"row": 1, "name": "<b>one</b>"},
        {"row": 2, "name": None, "more": [1, 2]},
    ]
    code, out, _ = await run("run", "fail", "--why", "the shelf is empty", env=env)
    assert code == 1
    assert "RuntimeError: the shelf is empty" in out
    with opened_terminal() as terminal:
        process = await start("run", "wait_for", "--path", path, env=env, forked=True, stderr=terminal.theirs)
        await terminal.shows('s and returned [{"row": 1, ')
        await printed_by(process)
