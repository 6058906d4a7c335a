"""Templates from the command line, and secrets that never stand on it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import typer

from aiohttp_jobs.cli.values import collect

from ..conftest import Host
from .command import access_to, run

PARAMETERS = [
    {"name": "host", "type": "string", "required": True},
    {"name": "count", "type": "int"},
    {"name": "password", "type": "secret", "required": True},
]


def test_values_get_their_types_and_secrets_come_from_files_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("open sesame\n")
    found = collect(PARAMETERS, ["host=-x=y", "count=3"], [f"password={tmp_path / 'secret'}"], [])
    assert found == {"host": "-x=y", "count": 3, "password": "open sesame"}
    monkeypatch.setenv("MY_SECRET", "s3")
    assert collect(PARAMETERS, [], [], ["password=MY_SECRET"]) == {"password": "s3"}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (["password=geheim"], "ps shows options to everybody"),
        (["count=three"], "must be a whole number"),
        (["nothing=1"], "no parameter 'nothing'"),
        (["host"], "write NAME="),
        (["host=a", "host=b"], "given twice"),
        (["host=a"], "password is a secret: give --secret-file"),
    ],
)
def test_a_bad_value_is_named(
    values: list[str], sentence: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(typer.Exit):
        collect(PARAMETERS, values, [], [])
    assert sentence in capsys.readouterr().err


async def test_a_template_is_made_run_and_deleted(host: Host, tmp_path: Path) -> None:
    env = access_to(host, "debug")

    async def ok(*arguments: str) -> str:
        code, out, err = await run("template", *arguments, env=env)
        assert (code, err) == (0, "")
        return out

    file = tmp_path / "greet.toml"
    file.write_text(
        "name = 'greet'\nexecutionMode = 'BackgroundJob'\n"
        'command = \'echo "hello $PARAM_who"; echo "$PARAM_pw"\'\n'
        "runRoles = ['authenticated']\n[[parameters]]\nname = 'who'\ntype = 'string'\nrequired = true\n"
        "allowLeadingDash = true\n[[parameters]]\nname = 'pw'\ntype = 'secret'\nrequired = true\n"
    )
    template_id = (await ok("create", "--from", str(file))).strip()
    assert "greet" in await ok("list")
    assert "who" in await ok("show", template_id)
    (tmp_path / "pw").write_text("opensesame\n")
    out = await ok("run", "greet", "--value", "who=-n", "--secret-file", f"pw={tmp_path / 'pw'}", "--wait")
    assert (out.splitlines()[0], "opensesame" in out) == ("hello -n", False)
    await ok("replace", "greet", str(file))
    assert json.loads(await ok("delete", "greet", "--json")) == {"templateId": template_id}


async def test_a_small_template_is_made_from_options(host: Host) -> None:
    env = access_to(host, "debug")
    options = ("--name", "say", "--parameter", "word", "--parameter", "n:int", "--run-role", "viewer")
    code, out, err = await run("template", "create", *options, "--json", "echo hi", env=env)
    assert (code, err) == (0, "")
    record = json.loads(out)
    assert [(each["name"], each["type"]) for each in record["Parameters"]] == [
        ("word", "string"),
        ("n", "int"),
    ]
    assert record["RunRoles"] == ["viewer"]
