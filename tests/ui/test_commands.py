"""Commands that people paste into the page, with what their editors left in them."""

from __future__ import annotations

import re

from playwright.async_api import expect

from tests.cases import cases
from tests.conftest import Host

from .conftest import Visit


async def test_commands_run_from_the_page_as_from_every_other_door(host: Host, visit: Visit) -> None:
    page = await (await visit(host, "debug")).open()
    for case in cases("commands"):
        await page.evaluate("location.hash = '#/new'")
        await page.get_by_label("Name", exact=True).fill("pasted")
        await page.get_by_role("radio", name=re.compile(f"^{case['interpreter']}")).check()
        await page.get_by_label("Command", exact=True).fill(case["command"])
        await page.get_by_role("button", name="Run", exact=True).click()
        succeeded = "Succeeded" if case.get("success") else re.compile("Failed|Rejected")
        await expect(page.locator(".title .badge")).to_have_text(succeeded)
        shown = case.get("output", "/usr/bin/nosuch").strip()
        await expect(page.locator(".line", has_text=shown).first).to_be_visible()
