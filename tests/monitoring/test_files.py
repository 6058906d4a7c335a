"""The dashboard and the alert rules: Prometheus takes them, and what they ask for is what a host tells."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import Path

import pytest

from ..conftest import Host
from ..gate import PATIENCE_SECONDS

text_string_to_metric_families = pytest.importorskip(
    "prometheus_client.parser"
).text_string_to_metric_families
FILES = files("aiohttp_jobs.monitoring") / "files"
PROMTOOL = shutil.which("promtool")


async def test_every_metric_that_they_name_is_told_with_the_labels_that_they_ask_for(
    start_host: Callable[..., Awaitable[Host]],
) -> None:
    host = await start_host(metrics_enabled=True)
    answer = await host.caller("debug").request("GET", f"{host.address}{host.config.prefix}/metrics")
    told = {
        each.name: set(each.labels)
        for family in text_string_to_metric_families(answer.body)
        for each in family.samples
    }
    dashboard = json.loads((FILES / "grafana.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked += re.findall(r"expr: (.+)", (FILES / "alerts.yml").read_text())
    named = {name for text in asked for name in re.findall(r"aiohttp_jobs_\w+", text)}
    assert named - told.keys() == set()
    # What is told is shown, too.
    parts = re.compile("_(created|bucket|count|sum)$")
    assert {parts.sub("", name) for name in told if name.startswith("aiohttp_jobs_")} == {
        parts.sub("", name) for name in named
    }
    for text in asked:
        for name, selector in re.findall(r"(aiohttp_jobs_\w+){([^}]*)}", text):
            labels = set(re.findall(r"(\w+)=", selector)) - {"job", "instance"}
            assert labels <= told[name], text


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_promtool_takes_the_rules_and_they_fire_when_they_should(tmp_path: Path) -> None:
    shutil.copy(str(FILES / "alerts.yml"), tmp_path)
    shutil.copy(Path(__file__).with_name("alerts_test.yml"), tmp_path)
    for command in (("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")):
        ended = subprocess.run(
            [PROMTOOL or "", *command],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
