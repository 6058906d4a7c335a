"""The how-to's files for many machines: what they start is there, with the options and variables given."""

from __future__ import annotations

import importlib
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from aiohttp_jobs import JobsConfig
from aiohttp_jobs.cli import app

EXAMPLES = Path(__file__).parent.parent / "docs/how-to/examples"
FILES = ["compose.yaml", "kubernetes.yaml", "Containerfile.host", "Containerfile.worker"]
yaml: Any = importlib.import_module("yaml")  # which has no types of its own
PREFIX = JobsConfig.model_fields["prefix"].default


def documents(name: str) -> list[Any]:
    return list(yaml.safe_load_all((EXAMPLES / name).read_text()))


def containers() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each container that the two files start, by a name for it."""
    (compose,) = documents("compose.yaml")
    yield from compose["services"].items()
    for document in documents("kubernetes.yaml"):
        pod = document["spec"].get("template", {}).get("spec", {})
        for container in (*pod.get("initContainers", ()), *pod.get("containers", ())):
            yield f"{document['metadata']['name']}/{container['name']}", container


def commands() -> dict[str, list[str]]:
    """What each container says to aiohttp-jobs, and what the first lines of the files have one type."""
    found: dict[str, list[str]] = {}
    for name, container in containers():
        is_worker = "worker" in json.dumps(container.get("build", container.get("image", "")))
        is_pods = "name" in container
        replaced = container.get("command" if is_pods else "entrypoint")
        given = container.get("args" if is_pods else "command", [])
        if replaced is not None and replaced[0] == "aiohttp-jobs":
            found[name] = replaced[1:]
        elif replaced is None and is_worker:
            found[name] = ["worker", *given]
    for name in FILES:
        text = (EXAMPLES / name).read_text()
        for line in re.findall(r"^#.* (?:--|host-1) (aiohttp-jobs .*)$", text, re.MULTILINE):
            found[f"{name}: {line}"] = shlex.split(line)[1:]
    return found


@pytest.mark.parametrize("name", sorted(commands()))
def test_each_command_has_the_options_that_it_is_given(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIOHTTP_JOBS_DSN", "postgresql://database/jobs")
    command: Any = get_command(app)
    words = commands()[name]
    while hasattr(command, "get_command"):
        command = command.get_command(typer.Context(command), words.pop(0))
    command.make_context("aiohttp-jobs", words)  # parses, and runs nothing


def test_hosts_workers_and_the_upgrade_are_all_there() -> None:
    said = [words[:2] for words in commands().values()]
    assert said.count(["db", "upgrade"]) == 2
    assert len([words for words in said if words[0] == "worker"]) == 3
    assert said.count(["api-key", "create"]) == 2
    assert len([name for name, _ in containers() if "host" in name and "upgrade" not in name]) == 3


@pytest.mark.parametrize("name", FILES)
def test_each_variable_is_one_of_a_setting(name: str) -> None:
    named = set(re.findall(r"\bAIOHTTP_JOBS_(\w+)", (EXAMPLES / name).read_text()))
    assert named
    assert {variable.lower() for variable in named} <= set(JobsConfig.model_fields)


@pytest.mark.parametrize("name", ["compose.yaml", "kubernetes.yaml"])
def test_what_is_asked_over_http_is_served(name: str) -> None:
    asked = re.findall(r"(?<!data)/apps/[\w/]*", (EXAMPLES / name).read_text())
    assert asked
    assert set(asked) <= {f"{PREFIX}/readyz", f"{PREFIX}/healthz"}


def test_what_stops_a_worker_is_longer_than_its_grace() -> None:
    (compose,) = documents("compose.yaml")
    pods = {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]
        for each in documents("kubernetes.yaml")
        if each["kind"] == "Deployment"
    }
    graces = {
        name: float(words[words.index("--grace") + 1])
        for name, words in commands().items()
        if "--grace" in words
    }
    assert set(graces) == {"worker-1", "worker-2", "jobs-worker/worker"}
    for name, grace in graces.items():
        pod = pods.get(name.split("/")[0])
        longest = (
            float(compose["services"][name]["stop_grace_period"].removesuffix("s"))
            if pod is None
            else pod["terminationGracePeriodSeconds"]
        )
        assert longest >= grace + JobsConfig.model_fields["kill_grace"].default + 15


def test_files_that_others_name_are_there() -> None:
    (compose,) = documents("compose.yaml")
    named = {each["build"]["dockerfile"] for each in compose["services"].values() if "build" in each}
    mounted = {volume.split(":")[0] for volume in compose["services"]["nginx"]["volumes"]}
    assert [name for name in (*named, *mounted) if not (EXAMPLES / name).is_file()] == []
    # What the command looks for in nginx.conf, to put the two hosts there.
    (looked_for,) = re.findall(r"s/(server [^/]*;)/", " ".join(compose["services"]["nginx"]["command"]))
    assert looked_for in (EXAMPLES / "nginx.conf").read_text()


def test_images_run_as_the_user_that_pods_ask_for() -> None:
    for document in documents("kubernetes.yaml"):
        if document["kind"] == "Deployment":
            user = document["spec"]["template"]["spec"]["securityContext"]["runAsUser"]
            for image in ("host", "worker"):
                assert f"--uid {user} " in (EXAMPLES / f"Containerfile.{image}").read_text()
