"""axe-core finds nothing on any view, light, dark and on a phone; and nothing is wider than the phone."""

from __future__ import annotations

from playwright.async_api import expect

from tests.conftest import Host

from .conftest import PHONE, Visit

COLOURS = (
    "printf '\\033[31mred \\033[92mgreen \\033[38;5;208morange \\033[48;2;10;20;250mblue\\033[0m\\n'; exit 3"
)
VIEWS = [
    "#/jobs",
    "#/jobs?q=nothing-like-it",
    "#/new",
    "#/nowhere",
    "#/schedules",
    "#/schedules/new",
    "#/queue",
]
VIEWS += ["#/templates", "#/templates/new", "#/runspaces", "#/history", "#/notices", "#/keys", "#/sessions"]


async def test_no_view_keeps_anybody_out(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "debug", "system_admin")
    job_id = await visitor.submit(COLOURS, "A job")
    await visitor.submit("sleep 300", "Running")
    page = await visitor.open()
    for view in [*VIEWS, f"#/job/{job_id}"]:
        await page.set_viewport_size(PHONE)
        await page.evaluate("view => { location.hash = view }", view)
        await expect(page.locator("main h1, main .empty-title").first).to_be_visible()
        await page.wait_for_timeout(250)
        await visitor.keeps_nobody_out(view)
    await page.set_viewport_size(PHONE)
    await page.keyboard.press("?")
    await visitor.keeps_nobody_out("the keys")


async def test_the_sign_in_page_keeps_nobody_out(host: Host, visit: Visit) -> None:
    visitor = await visit(host)
    page = await visitor.open()
    await expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
    await page.get_by_text("Use an API key instead").click()
    assert await visitor.accessibility_faults() == []


async def test_the_theme_is_chosen_and_kept(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "task_manager")
    page = await visitor.open()
    for _ in range(2):
        await page.get_by_role("button", name="Theme:").click()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await page.reload()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
