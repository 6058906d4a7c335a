"""The tutorial about production is true: nginx, two workers, a Prometheus, an alert, and an agent."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest

from .ports import free_ports
from .test_tutorial import ROOT, SECONDS, Shell, shows, steps_of, substituted

PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin"
MISSING = [each for each in ("nginx", "prometheus", "promtool", "curl") if not shutil.which(each, path=PATH)]


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
async def test_the_commands_show_what_the_page_shows(tmp_path: Path) -> None:
    for each in ("prometheus_client", "mcp"):  # not above: it takes half a second of whoever only collects
        pytest.importorskip(each)
    ports = dict(zip(("8080", "8000", "9090"), map(str, free_ports(3)), strict=True))
    numbers = {name: int(port) for name, port in ports.items()}
    steps = steps_of("in-production", tmp_path)
    shutil.copy(ROOT / "docs/how-to/examples/agent.py", tmp_path)  # which the page has its reader save
    for file in tmp_path.iterdir():
        file.write_text(substituted(file.read_text(), numbers))
    if os.getuid() == 0:  # nginx's workers would be somebody else, who may not enter the test's folder
        (tmp_path / "nginx.conf").write_text("user root;\n" + (tmp_path / "nginx.conf").read_text())
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIOHTTP_JOBS_")},
        "PATH": PATH,
        "PYTHONPATH": str(ROOT),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "COLUMNS": "200",
        "AIOHTTP_JOBS_SHUTDOWN_GRACE": "0.2",
    }
    shell = Shell(tmp_path, environment)
    try:
        for step in steps:
            command = substituted(step.command, numbers)
            shown = await asyncio.wait_for(asyncio.to_thread(shell.run, command), SECONDS)
            assert shows(substituted(step.expected, numbers), shown), f"$ {command}\n{shown}"
    finally:
        shell.close()
        for log in tmp_path.glob("*.log"):
            print(log.name, log.read_text()[-2000:])
