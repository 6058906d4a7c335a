"""The list of jobs as operations use it: filters of time and user, many jobs at once, restarts."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from aiohttp import web
from playwright.async_api import expect

import aiohttp_jobs
from tests.conftest import Host, login

from .conftest import Visit, Visitor

StartHost = Callable[..., Awaitable[Host]]


async def ended(visitor: Visitor, *jobs: tuple[str, str]) -> list[str]:
    """Submit jobs, each a name and a command, and wait for all."""
    job_ids = [await visitor.submit(command, name) for name, command in jobs]
    for job_id in job_ids:
        await visitor.host.caller("task_manager").result(job_id)
    return job_ids


async def test_many_are_selected_by_keyboard_and_mouse_and_deleted(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "task_manager")
    await ended(visitor, *((name, "true") for name in ("One", "Two", "Three", "Four")))
    page = await visitor.open()
    await expect(page.get_by_role("link", name="Four")).to_be_visible()
    await page.keyboard.press("j")
    await page.keyboard.press("x")
    await expect(page.get_by_text("1 job selected")).to_be_visible()
    await page.get_by_role("checkbox", name="Select").nth(3).click(modifiers=["Shift"])
    await expect(page.get_by_text("3 jobs selected")).to_be_visible()
    assert await visitor.accessibility_faults() == []
    await page.get_by_role("button", name="Delete 3").click()
    await page.get_by_role("button", name="Delete 3 results?").click()
    await expect(page.locator(".job-link")).to_have_count(1)
    assert len(await host.caller("task_manager").results()) == 1


async def test_failed_jobs_are_run_again_from_the_list(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "task_manager")
    await ended(visitor, ("Broken", "exit 3"), ("Broken too", "exit 4"), ("Fine", "true"))
    page = await visitor.open("#/jobs?state=Failed")
    await page.get_by_role("checkbox", name="Select every job shown").click()
    await page.get_by_role("button", name="Run 2 again").click()
    await expect(page.get_by_text("2 jobs were submitted again.")).to_be_visible()
    await expect(page.locator(".job-link")).to_have_count(4)


async def test_all_that_match_are_deleted_once_that_is_confirmed(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "task_manager")
    await ended(visitor, ("Broken", "exit 3"), ("Broken too", "exit 4"), ("Fine", "true"))
    page = await visitor.open("#/jobs?state=Failed")
    await page.get_by_role("button", name="Delete all that match").click()
    dialog = page.get_by_role("dialog", name="Delete results")
    await expect(dialog).to_contain_text("state Failed")
    await dialog.get_by_role("button", name="Keep them").click()
    await expect(page.locator(".job-link")).to_have_count(2)
    await page.get_by_role("button", name="Delete all that match").click()
    await dialog.get_by_role("button", name="Delete them all").click()
    await expect(page.get_by_text("No job fits")).to_be_visible()
    assert [one["JobName"] for one in await host.caller("task_manager").results()] == ["Fine"]


async def test_jobs_are_found_by_the_day_on_which_they_ended(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "task_manager")
    await ended(visitor, ("Today", "true"))
    tomorrow = (datetime.now() + timedelta(days=2)).date().isoformat()
    page = await visitor.open()
    await page.get_by_label("Ended").select_option("Between days…")
    await page.get_by_label("From").fill(tomorrow)
    await expect(page.get_by_text("No job fits")).to_be_visible()
    await expect(page).to_have_url(re.compile(f"from={tomorrow}"))
    await page.get_by_label("Ended").select_option("The last hour")
    await expect(page.get_by_role("link", name="Today")).to_be_visible()
    await expect(page).to_have_url(re.compile("within=1$"))


async def test_an_administrator_looks_at_one_user(host: Host, visit: Visit) -> None:
    admin = await visit(host, "system_admin", user_id="root")
    await host.caller("task_manager").submit("true", jobName="Of Alice")
    await host.caller("task_manager", user_id="bob").submit("sleep 300", jobName="Of Bob")
    page = await admin.open()
    await page.get_by_label("All users").check()
    await expect(page.locator(".job-link")).to_have_count(2)
    await page.get_by_label("User", exact=True).fill("bob")
    await expect(page.get_by_role("link", name="Of Bob")).to_be_visible()
    await expect(page.get_by_role("link", name="Of Alice")).to_have_count(0)
    await admin.sign_in("task_manager")
    await admin.open()
    await expect(page.get_by_role("link", name="Of Alice")).to_be_visible()
    await expect(page.get_by_label("All users")).to_have_count(0)


async def test_after_a_restart_of_the_host_list_and_output_go_on(start_host: StartHost, visit: Visit) -> None:
    host = await start_host()
    watching = await visit(host, "task_manager")
    job_id = await watching.submit(
        "echo begun; sleep 60", "Long", retry={"count": 3, "backoffSeconds": 0.1, "on": ["Interrupted"]}
    )
    page = await watching.open(f"#/job/{job_id}")
    await expect(page.locator(".line", has_text="begun")).to_be_visible()
    listing = await watching.context.new_page()
    await listing.goto(watching.address)
    await expect(listing.get_by_role("link", name="Long")).to_be_visible()
    await host.stop()
    for one in (listing, page):
        await expect(one.get_by_text("Connection lost; connecting again")).to_be_visible()
    runner = await restarted(host)
    try:
        await expect(page.get_by_text("Attempt 2", exact=True)).to_be_visible()
        await expect(page.locator(".line", has_text="begun")).to_be_visible()
        await expect(page.locator(".title .badge")).to_have_text("Running")
        await watching.submit("true", "Afterwards")
        await expect(listing.get_by_role("link", name="Afterwards")).to_be_visible()
        await expect(listing.get_by_text("Live", exact=True)).to_be_visible()
    finally:
        await runner.cleanup()


async def restarted(host: Host) -> web.AppRunner:
    """The host once more, on the same folder and at the same address."""
    app = web.Application()
    aiohttp_jobs.setup(app, host.config)
    app.router.add_post("/login", login)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", urlsplit(host.address).port).start()
    return runner
