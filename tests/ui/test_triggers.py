"""A template's triggers on the page: made, shown with their secret once, rotated and removed."""

from __future__ import annotations

import re
from typing import Any

from playwright.async_api import expect

from tests.conftest import Host
from tests.http.test_triggers import GITHUB_PUSH, Sender

from .conftest import Visit
from .test_views import post

TEMPLATE: dict[str, Any] = {
    "name": "Deploy",
    "command": 'echo "$PARAM_what $PARAM_times $PARAM_who"',
    "executionMode": "BackgroundJob",
    "parameters": [
        {"name": "what", "type": "string", "required": True, "pattern": "[a-z0-9]+"},
        {"name": "times", "type": "int", "required": True},
        {"name": "who", "type": "string", "required": False, "default": "nobody"},
        {"name": "token", "type": "secret", "required": False},
    ],
    "runRoles": ["viewer"],
}


async def test_a_trigger_is_made_used_rotated_and_removed(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "task_manager", permissions=["clipboard-read", "clipboard-write"])
    made = await post(visitor, "templates", TEMPLATE)
    page = await visitor.open(f"#/templates/{made['template']['TemplateID']}")
    await page.get_by_role("button", name="New trigger").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Create").click()
    await expect(dialog.locator(".fault")).to_have_count(3)
    await dialog.get_by_label("Name").fill("push to main")
    await dialog.get_by_label("Path of what").fill("after..x")
    await dialog.get_by_label("times comes from").select_option("a fixed value")
    await dialog.get_by_label("Value of times").fill("3")
    token = dialog.get_by_label("token comes from")
    assert await token.locator("option").all_inner_texts() == ["the payload, at", "its default"]
    await dialog.get_by_role("button", name="Add a condition").click()
    await dialog.get_by_label("The payload at").fill("ref")
    await dialog.get_by_label("has to be").fill("refs/heads/main")
    assert await visitor.accessibility_faults() == []
    await dialog.get_by_role("button", name="Create").click()
    await expect(dialog.locator(".fault").first).to_contain_text("It must be a path such as")
    await dialog.get_by_label("Path of what").fill("after")
    await dialog.get_by_role("button", name="Create").click()

    await expect(page.get_by_role("heading", name="Copy the secret now")).to_be_visible()
    secret = await page.get_by_label("The secret", exact=True).inner_text()
    await dialog.get_by_role("button", name="Copy", exact=True).click()
    await expect(page.get_by_text("The secret was copied.")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == secret
    await page.get_by_role("button", name="I have kept it").click()
    assert secret not in await page.content()

    row = page.get_by_role("row", name=re.compile("push to main"))
    await expect(row).to_contain_text("what from after, times is 3; only where ref is")
    await expect(row).to_contain_text("never")
    address = await row.locator("code").inner_text()
    sender = Sender(host, address.removeprefix(host.address), secret)
    job_id = (await sender.github(GITHUB_PUSH)).body["jobId"]
    alice = host.caller("task_manager")
    assert (await alice.result(job_id))["Output"] == f"{GITHUB_PUSH['after']} 3 nobody\n"
    await page.reload()
    await expect(row.get_by_role("link", name="just now")).to_have_attribute("href", f"#/job/{job_id}")
    assert await visitor.accessibility_faults() == []

    await row.get_by_role("switch").click()
    await expect(row).to_contain_text("Off")
    assert (await sender.github(GITHUB_PUSH)).status == 403
    await row.get_by_role("button", name="Rotate").click()
    await row.get_by_role("button", name="End the old secret?").click()
    assert await page.get_by_label("The secret", exact=True).inner_text() != secret
    await page.get_by_role("button", name="I have kept it").click()
    assert (await sender.github(GITHUB_PUSH)).status == 401
    await row.get_by_role("button", name="Remove").click()
    await row.get_by_role("button", name="Remove the trigger?").click()
    await expect(page.get_by_text("It has none.")).to_be_visible()


async def test_who_may_not_make_triggers_is_shown_none(host: Host, visit: Visit) -> None:
    made = (await host.caller("task_manager").request("POST", "/templates", json=TEMPLATE)).body
    reader = await visit(host, "viewer", user_id="rita")
    page = await reader.open(f"#/templates/{made['template']['TemplateID']}")
    await expect(page.get_by_role("heading", name="Deploy")).to_be_visible()
    await expect(page.get_by_role("heading", name="Triggers")).to_have_count(0)
