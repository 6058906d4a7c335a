"""The name of a new job comes from its command, as at the command line, until somebody gives another."""

from __future__ import annotations

from playwright.async_api import expect

from tests.cases import cases
from tests.conftest import Host

from .conftest import Visit, modules

_NAMES = """async ([folder, commands]) => {
  const { nameOf } = await import(`${folder}/submission.js`);
  return commands.map((command) => nameOf(command));
}"""


async def test_names_are_those_of_the_command_line(host: Host, visit: Visit) -> None:
    page, folder = await modules(host, visit)
    table = cases("names")
    names = await page.evaluate(_NAMES, [folder, [case["command"] for case in table]])
    assert names == [case["name"] for case in table]


async def test_a_name_is_filled_in_and_left_alone_once_it_was_changed(host: Host, visit: Visit) -> None:
    page = await (await visit(host, "task_manager")).open("#/new")
    name, command = page.get_by_label("Name"), page.get_by_label("Command", exact=True)
    await command.fill("#!/bin/bash\necho {1..3}")
    await expect(name).to_have_value("echo {1..3}")
    await command.fill("make -j4")
    await expect(name).to_have_value("make -j4")
    await command.fill("")
    await expect(name).to_have_value("")
    await page.get_by_role("button", name="echo hello").click()
    await expect(name).to_have_value("echo hello from $(hostname)")
    await name.fill("Build")
    await command.fill("make -j4 all")
    await expect(name).to_have_value("Build")
    await name.fill("")
    await command.fill("make it")
    await expect(name).to_have_value("make it")
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(page.get_by_role("heading", name="make it")).to_be_visible()
