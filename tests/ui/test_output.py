"""A job's output as a reader uses it: wrap, download, copy, errors, expressions; and how commands look."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from playwright.async_api import Route, expect

from tests.conftest import Host

from .conftest import Visit

StartHost = Callable[..., Awaitable[Host]]


async def test_long_lines_are_wrapped_and_the_output_is_downloaded(
    host: Host, visit: Visit, tmp_path: Path
) -> None:
    visitor = await visit(host, "task_manager")
    job_id = await visitor.submit("seq -s ' ' 1 400; printf 'grün\\033[31m rot'")
    await host.caller("task_manager").result(job_id)
    page = await visitor.open(f"#/job/{job_id}")
    await expect(page.get_by_text("2 lines")).to_be_visible()
    window = page.locator(".output-window")
    assert await window.evaluate("box => box.scrollWidth > box.clientWidth")
    await page.keyboard.press("w")
    await expect(page.get_by_role("button", name="Wrap long lines")).to_have_attribute("aria-pressed", "true")
    assert await window.evaluate("box => box.scrollWidth <= box.clientWidth")
    async with page.expect_download() as download:
        await page.get_by_role("button", name="Download the output").click()
    kept = tmp_path / "output.txt"
    await (await download.value).save_as(kept)
    assert kept.read_text() == " ".join(map(str, range(1, 401))) + "\ngrün\033[31m rot"


async def test_lines_are_chosen_by_their_numbers_and_copied(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "task_manager", permissions=["clipboard-read", "clipboard-write"])
    job_id = await visitor.submit("seq 1 9; printf '\\033[32mgreen\\033[0m\\n'")
    await host.caller("task_manager").result(job_id)
    page = await visitor.open(f"#/job/{job_id}")
    await page.locator(".row .number").nth(7).click()
    await page.locator(".row .number").nth(9).click(modifiers=["Shift"])
    await page.get_by_role("button", name="Copy 3 lines").click()
    await expect(page.get_by_text("3 lines: copied.")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == "8\n9\ngreen"


async def test_errors_of_powershell_are_marked_with_their_frames(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "task_manager")
    lines = ("[ERROR] one", "at f, <command>: line 1", "plain", "[EXCEPTION] two", "at f, <command>: line 2")
    job_id = await visitor.submit("\n".join(f"echo '{line}'" for line in lines))
    await host.caller("task_manager").result(job_id)
    page = await visitor.open(f"#/job/{job_id}")
    await expect(page.get_by_role("button", name="2 errors")).to_be_visible()
    await expect(page.locator(".row.error")).to_have_count(4)


async def test_errors_are_gone_to_and_expressions_found(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "task_manager")
    job_id = await visitor.submit("seq 1 3000; exit 7")
    await host.caller("task_manager").result(job_id)
    page = await visitor.open(f"#/job/{job_id}")
    await page.get_by_role("button", name="1 error").click()
    await expect(page.locator(".row.error").first).to_contain_text("[ERROR]")
    await page.get_by_role("button", name="Regular expression").click()
    await page.get_by_label("Search in the output").fill("^(1|2)99[0-2]$")
    await expect(page.get_by_text("1 of 6")).to_be_visible()
    await page.get_by_label("Search in the output").fill("(")
    await expect(page.get_by_text("This is no regular expression")).to_be_visible()


async def test_commands_are_highlighted_in_each_language(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "task_manager")

    async def with_powershell(route: Route) -> None:
        # Few machines that run this test have PowerShell; the page is to show it all the same.
        answer = await route.fetch()
        body: dict[str, Any] = await answer.json()
        body["me"]["interpreters"] = ["powershell", "python", "shell"]
        await route.fulfill(response=answer, body=json.dumps(body))

    await visitor.page.route("**/api/v1/me", with_powershell)
    page = await visitor.open("#/new")
    for name, command, kind, word in (
        ("PowerShell", "Get-ChildItem | Where-Object { $_.Length -gt 5 }", "function", "Get-ChildItem"),
        ("Python", "async def run(): pass", "keyword", "async"),
        ("POSIX shell", "for one in 1; do true; done", "keyword", "for"),
    ):
        await page.get_by_role("radio", name=name).check()
        await page.get_by_label("Command", exact=True).fill(command)
        await expect(page.locator(f".editor .tok-{kind}").first).to_have_text(word)


async def test_the_hosts_logo_is_shown(start_host: StartHost, visit: Visit, tmp_path: Path) -> None:
    logo = tmp_path / "logo.svg"
    logo.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="50" height="50"><rect width="50" height="50"/></svg>'
    )
    host = await start_host(ui_logo=str(logo), ui_title="Night shift")
    page = await (await visit(host, "task_manager")).open()
    picture = page.locator(".brand img")
    await expect(picture).to_be_visible()
    assert await picture.evaluate("one => one.naturalWidth") == 50
    await expect(page).to_have_title("Jobs · Night shift")
