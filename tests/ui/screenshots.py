"""Pictures of every view, light, dark and on a phone, into docs/_static/screenshots: ``make screenshots``."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

from aiohttp import web
from playwright.async_api import BrowserContext, Page, async_playwright

import aiohttp_jobs
from aiohttp_jobs import JobsConfig
from demo_app import functions
from tests.conftest import QUICK, Host, serve

from .conftest import ARGUMENTS, CHROMIUM

FOLDER = Path(__file__).parents[2] / "docs" / "_static" / "screenshots"
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 360, "height": 740}, "color_scheme": "light"},
}
_COLOURS = r"""
for table in orders customers invoices payments; do
  printf '\033[2m%s\033[0m dump \033[36m%s\033[0m ' "$(date +%T)" $table
  sleep 0.1
  printf '\033[32mok\033[0m\n'
done
printf '\033]9;4;1;80;compressing\a'
"""
JOBS: list[dict[str, Any]] = [
    {"jobName": "Nightly backup", "command": f"#!/bin/sh{_COLOURS}sleep 600"},
    {"jobName": "Rebuild search index", "command": "sleep 600", "executionMode": "Runspace", "priority": 7},
    {"jobName": "Quarter report", "command": "sleep 600", "concurrencyKey": "reports"},
    {"jobName": "Month report", "command": "sleep 1", "concurrencyKey": "reports"},
    {"jobName": "Send newsletter", "command": "echo sent", "delaySeconds": 7200},
]
ENDED: list[dict[str, Any]] = [
    {"jobName": "Disk usage", "command": "df -h / && du -sh /usr/share/doc"},
    {"jobName": "Import prices", "interpreter": "python", "executionMode": "Runspace",
     "command": "rows = [('A-100', '12.50'), ('A-101', 'n/a')]\nfor article, price in rows:\n"
     "    print(article, float(price))"},
    {"jobName": "Check certificates", "command": "echo 'expires in 41 days'; sleep 0.4"},
    {"jobName": "Sync mirrors", "command": "echo 'mirror 2 does not answer'; exit 3",
     "retry": {"count": 2, "backoffSeconds": 0.3}},
    {"jobName": "Clean temporary files", "command": "sleep 5", "timeoutSeconds": 0.5},
    {"jobName": "Disk usage", "command": "df -h /"},
]  # fmt: skip
SCRIPT = """#!/bin/sh
# the five largest
for log in /var/log/*.log; do
  wc -c "$log"
done | sort -n | tail -5"""
SCHEDULES: list[dict[str, Any]] = [
    {"name": "Nightly backup", "cron": "30 2 * * *", "timezone": "Europe/Berlin"},
    {"name": "Check certificates", "cron": "0 8 * * 1-5", "timezone": "Europe/Berlin"},
    {"name": "Sync mirrors", "cron": "*/15 * * * *", "enabled": False},
]
TEMPLATE: dict[str, Any] = {
    "name": "Restart a service",
    "description": "Restarts one of the shop's services on a host, after draining it.",
    "command": 'printf "draining %s on %s\\n" "$PARAM_service" "$PARAM_host"',
    "executionMode": "BackgroundJob",
    "interpreter": "shell",
    "parameters": [
        {"name": "service", "type": "choice", "choices": ["shop", "search", "mail"], "required": True},
        {"name": "host", "type": "string", "description": "Its short name", "pattern": "[a-z0-9-]+"},
        {"name": "wait", "type": "int", "minimum": 0, "maximum": 600, "default": 30, "required": False},
    ],
    "runRoles": ["task_manager"],
}  # fmt: skip


async def main() -> int:
    if not CHROMIUM.exists():
        print(f"No screenshots: there is no {CHROMIUM} (apt-get install chromium).", file=sys.stderr)
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        app = web.Application()
        settings = {
            **QUICK,
            "data_dir": Path(folder),
            "max_parallel_background": 3,
            "ui_logout_url": "/logout",
        }
        config = JobsConfig(**settings, ui_login_url="/login")
        aiohttp_jobs.setup(app, config, functions=functions.jobs)
        host = await serve(app, config)
        try:
            await _photograph(host)
        finally:
            await host.stop()
    return 0


async def _photograph(host: Host) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        first = True
        for look, settings in LOOKS.items():
            context = await browser.new_context(
                locale="en-GB", timezone_id="Europe/Berlin", reduced_motion="reduce", **settings
            )
            page = await context.new_page()
            await page.goto(f"{host.address}{host.config.prefix}/")
            await page.get_by_text("You are not signed in").wait_for()
            await _shoot(page, "sign-in", look)
            await context.request.post(
                f"{host.address}/login", data={"user_id": "alice", "roles": ["debug", "system_admin"]}
            )
            if first:
                await _fill(context, host)
                first = False
            await _views(page, context, host, look)
            await context.close()
        await browser.close()


async def _fill(context: BrowserContext, host: Host) -> None:
    async def post(path: str, body: dict[str, Any]) -> None:
        await context.request.post(f"{host.api}/{path}", data=body)

    for job in ENDED:
        await post("jobs/submit", {"executionMode": "BackgroundJob", **job})
    await asyncio.sleep(4)
    await post("functions/sales_report/run", {"values": {"region": "north"}})
    await post("functions/tidy_archive/run", {"values": {"dry_run": True}, "executionMode": "MainLoop"})
    for job in JOBS:
        await post("jobs/submit", {"executionMode": "BackgroundJob", **job})
    for schedule in SCHEDULES:
        job = {"jobName": schedule["name"], "command": "echo run", "executionMode": "BackgroundJob"}
        await post("schedules", {**schedule, "job": job})
    await post("templates", TEMPLATE)
    await post("api-keys", {"name": "deploy pipeline", "roles": ["system_admin"]})
    await post("api-keys", {"name": "monitoring", "roles": [], "allowedIPs": ["10.0.0.0/8"]})


async def _views(page: Page, context: BrowserContext, host: Host, look: str) -> None:
    answer = await context.request.get(f"{host.api}/jobs?limit=100")
    jobs = {job["JobName"]: job["JobID"] for job in (await answer.json())["jobs"]}
    answer = await context.request.get(f"{host.api}/schedules")
    schedule = (await answer.json())["schedules"][0]["ScheduleID"]
    views = {
        "jobs": "#/jobs", "new-job": "#/new", "job": f"#/job/{jobs['Nightly backup']}",
        "failed-job": f"#/job/{jobs['Import prices']}", "retried-job": f"#/job/{jobs['Sync mirrors']}",
        "schedules": "#/schedules", "schedule": f"#/schedules/{schedule}", "templates": "#/templates",
        "queue": "#/queue", "runspaces": "#/runspaces", "history": "#/history", "notices": "#/notices",
        "functions": "#/functions", "function": "#/functions/sales_report",
        "function-job": f"#/job/{jobs['Sales report']}", "api-keys": "#/keys",
        "new-schedule": "#/schedules/new", "selected-jobs": "#/jobs",
    }  # fmt: skip
    answer = await context.request.get(f"{host.api}/templates")
    if answer.ok and (templates := (await answer.json())["templates"]):
        views["template"] = f"#/templates/{templates[0]['TemplateID']}"
    for name, address in views.items():
        await page.goto(f"{host.address}{host.config.prefix}/{address}")
        await page.reload()
        await page.locator("main h1").first.wait_for()
        if name == "new-job":
            await page.get_by_label("Name").fill("Largest logs")
            await page.get_by_label("Command", exact=True).fill(SCRIPT)
        if name == "selected-jobs":
            boxes = page.get_by_role("checkbox", name="Select")
            await boxes.nth(6).click()
            await boxes.nth(9).click(modifiers=["Shift"])
        await page.wait_for_timeout(900)
        await _shoot(page, name, look)


async def _shoot(page: Page, name: str, look: str) -> None:
    await page.screenshot(path=FOLDER / f"{name}-{look}.png")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
