"""The host's functions on the page: their forms, and what is shown of their jobs."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest_asyncio
from playwright.async_api import expect

from tests.conftest import Host
from tests.gate import Gate

from .conftest import PHONE, Visit, modules
from .functions import every_kind, jobs

StartHost = Callable[..., Awaitable[Host]]
ENTERED = {"text": "a b", "count": "-3", "colour": "green", "rows": ["1", "20"]}
SENT: dict[str, Any] = {"text": "a b", "count": -3, "colour": "green", "rows": [1, 20]}
# Of each of the entries: what is wrong, what is sent, and what a form sends that begins with what was sent.
_SENT = """async ([folder, one, many]) => {
  const { entriesOf, initialValues, toValues, valueFaults } = await import(`${folder}/parameters.js`);
  const { parametersOf } = await import(`${folder}/functions.js`);
  const parameters = parametersOf(one);
  return many.map((news) => {
    const entries = {...initialValues(parameters), ...news};
    const faults = valueFaults(parameters, entries);
    if (Object.keys(faults).length) return {faults};
    const sent = toValues(parameters, entries);
    const again = {...initialValues(parameters), ...entriesOf(parameters, sent)};
    return {faults, sent, again: toValues(parameters, again)};
  });
}"""


@pytest_asyncio.fixture(loop_scope="session")
async def host(start_host: StartHost) -> Host:
    return await start_host(functions=jobs)


async def entered(host: Host, visit: Visit, many: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What becomes of each of these entries in a form of `every_kind`."""
    page, folder = await modules(host, visit)
    shown = await host.caller("task_manager").request("GET", "/functions/every_kind")
    found: list[dict[str, Any]] = await page.evaluate(_SENT, [folder, shown.body["function"], many])
    return found


TAKEN: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"text": "-a"}, {"text": "-a"}),
    ({"rows": []}, {"rows": []}),
    ({"ratio": "1e3"}, {"ratio": 1000}),
    ({"ratio": ""}, {}),
    ({"price": "0.10"}, {"price": "0.10"}),
    ({"price": "1.10"}, {}),
    ({"really": "true"}, {"really": True}),
    ({"maybe": "false"}, {"maybe": False}),
    ({"size": "2"}, {"size": 2}),
    ({"day": "2027-02-03"}, {"day": "2027-02-03"}),
    ({"at": "2027-02-03T04:05"}, {"at": "2027-02-03T09:05:00.000Z"}),
    ({"hour": "04:05"}, {"hour": "04:05"}),
    ({"who": "123e4567-e89b-12d3-a456-426614174000"}, {"who": "123e4567-e89b-12d3-a456-426614174000"}),
    ({"words": ["one", "-two"]}, {"words": ["one", "-two"]}),
    ({"span": '{"first": 3}'}, {"span": {"first": 3}}),
    ({"limit": None}, {"limit": None}),
    ({"limit": "7"}, {"limit": 7}),
    ({"limit": "5"}, {}),
    ({"note": ""}, {"note": ""}),
    ({"password": "open sesame"}, {"password": "open sesame"}),
]


async def test_what_a_form_sends_is_what_the_function_takes(host: Host, visit: Visit) -> None:
    found = await entered(host, visit, [{**ENTERED, **news} for news, _ in TAKEN])
    for (news, sent), told in zip(TAKEN, found, strict=True):
        assert told["faults"] == {}, news
        assert told["sent"] == {**SENT, **sent}
        assert every_kind.signature.validate(told["sent"]).all == told["sent"]
        every_kind.signature.call_arguments(told["sent"])
        secret = sent.keys() & {"password"}
        assert told["again"] == {name: value for name, value in told["sent"].items() if name not in secret}


REFUSED = [
    ({"text": ""}, "text", "Fill this in."),
    ({"text": "a"}, "text", "Use 2 characters or more."),
    ({"text": "AB"}, "text", "It must match [a-z]"),
    ({"count": ""}, "count", "Fill this in."),
    ({"count": "1.5"}, "count", "Enter a whole number."),
    ({"count": "-4"}, "count", "Enter -3 or more."),
    ({"count": "10"}, "count", "Enter 9 or less."),
    ({"limit": "9007199254740993"}, "limit", "too large for this form"),
    ({"colour": ""}, "colour", "Fill this in."),
    ({"rows": ["1", ""]}, "rows.1", "Fill this in, or remove it."),
    ({"rows": ["-1"]}, "rows.0", "Enter 0 or more."),
    ({"rows": ["1", "2", "3", "4"]}, "rows", "Keep 3 or fewer."),
    ({"ratio": "half"}, "ratio", "Enter a number."),
    ({"price": "1,10"}, "price", "Enter a number."),
    ({"day": "2027-02-33"}, "day", "Choose a day."),
    ({"who": "me"}, "who", "Enter a UUID"),
    ({"span": "[1]"}, "span", "Enter an object."),
    ({"span": "{first: 1}"}, "span", "Enter an object as JSON."),
]


async def test_what_cannot_be_sent_is_told_at_its_field(host: Host, visit: Visit) -> None:
    found = await entered(host, visit, [{**ENTERED, **news} for news, _, _ in REFUSED])
    for (news, name, sentence), told in zip(REFUSED, found, strict=True):
        assert list(told["faults"]) == [name], news
        assert sentence in told["faults"][name]


async def test_a_function_is_found_filled_in_and_submitted(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "task_manager")
    page = await visitor.open()
    await page.get_by_role("link", name="Functions").click()
    await expect(page.get_by_text("Takes whatever a form can ask for.", exact=True)).to_be_visible()
    await page.get_by_role("link", name="Every kind").click()
    await expect(page.get_by_text("And says so again.")).to_be_visible()
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(page.get_by_label("text", exact=True)).to_be_focused()
    await page.keyboard.type("some text")
    await page.get_by_label("count").fill("12")
    await expect(page.get_by_text("Enter 9 or less.")).to_be_visible()
    await page.get_by_label("count").fill("-2")
    await page.get_by_label("colour").select_option("green")
    await page.get_by_label("rows 1", exact=True).fill("4")
    await page.get_by_role("button", name="Add to rows").press("Enter")
    await expect(page.get_by_label("rows 2", exact=True)).to_be_focused()
    await page.keyboard.type("5")
    await page.get_by_label("really").check()
    await page.get_by_label("day").fill("2027-02-03")
    await page.get_by_label("span").fill('{"first": "one"}')
    await page.get_by_label("None for limit").check()
    await page.get_by_label("password").fill("open sesame")
    await page.get_by_text("Options: start").click()
    await page.get_by_label("Start", exact=True).select_option("after a delay")
    await page.get_by_label("Delay in seconds").fill("3600")
    await page.get_by_label("Runspace").check()
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(page.locator(".fault")).to_contain_text("first: It must be a whole number.")
    await expect(page.get_by_label("span")).to_be_focused()
    await page.get_by_label("span").fill('{"first": 1}')
    await expect(page.locator(".fault")).to_have_count(0)
    await page.keyboard.press("Control+Enter")
    await expect(page.locator(".title .badge")).to_have_text("Pending")
    (job,) = (await host.caller("task_manager").request("GET", "/jobs")).body["jobs"]
    shown = (await host.caller("task_manager").request("GET", f"/jobs/{job['JobID']}")).body["job"]
    assert shown["ExecutionMode"] == "Runspace"
    assert shown["JobName"] == "Every kind"
    assert "open sesame" not in json.dumps(shown)
    assert shown["FunctionValues"] == {
        "text": "some text",
        "count": -2,
        "colour": "green",
        "rows": [4, 5],
        "really": True,
        "day": "2027-02-03",
        "span": {"first": 1},
        "limit": None,
    }
    await page.get_by_role("link", name="Edit and run").click()
    await expect(page.get_by_label("rows 2", exact=True)).to_have_value("5")
    await expect(page.get_by_label("None for limit")).to_be_checked()
    await expect(page.get_by_label("really")).to_be_checked()
    await expect(page.get_by_label("password")).to_have_value("")


async def test_half_a_date_is_not_left_out(host: Host, visit: Visit) -> None:
    page = await (await visit(host, "task_manager")).open("#/functions/every_kind")
    await page.get_by_label("day").press("1")
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(page.get_by_text("Finish this, or empty it.")).to_be_visible()


async def test_who_may_run_none_is_not_shown_where_they_would_be(host: Host, visit: Visit) -> None:
    page = await (await visit(host, "reader", user_id="rita")).open()
    await expect(page.get_by_role("link", name="Templates")).to_be_visible()
    await expect(page.get_by_role("link", name="Functions")).to_have_count(0)
    await page.goto(page.url.partition("#")[0] + "#/functions/every_kind")
    await expect(page.get_by_role("alert")).to_contain_text("There is no function every_kind")
    await page.goto(page.url.partition("#")[0] + "#/functions")
    await expect(page.get_by_text("No functions for you")).to_be_visible()


async def test_the_forms_keep_nobody_out(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "task_manager")
    page = await visitor.open()
    for view in ("#/functions", "#/functions/every_kind"):
        await page.set_viewport_size(PHONE)
        await page.evaluate("view => { location.hash = view }", view)
        await expect(page.locator("main h1, main .empty-title").first).to_be_visible()
        if "every" in view:
            await page.get_by_role("button", name="Run", exact=True).click()
            await expect(page.locator(".fault").first).to_be_visible()
        await visitor.keeps_nobody_out(view)


async def test_a_function_is_scheduled_with_its_values_and_changed(host: Host, visit: Visit) -> None:
    page = await (await visit(host, "task_manager")).open("#/functions/every_kind")
    await page.get_by_label("text", exact=True).fill("nightly")
    await page.get_by_label("count").fill("1")
    await page.get_by_label("colour").select_option("red")
    await page.get_by_label("rows 1", exact=True).fill("4")
    await page.get_by_role("button", name="Schedule").click()
    await expect(page.get_by_label("text", exact=True)).to_have_value("nightly")
    await expect(page.get_by_label("password")).to_have_count(0)
    await expect(page.get_by_label("Name").first).to_have_value("Every kind")
    await page.get_by_label("Name").first.fill("Every night")
    await page.get_by_label("span").fill('{"first": "one"}')
    await page.get_by_text("Options: time limit").click()
    await page.get_by_label("Priority").fill("3")
    await page.get_by_role("button", name="Create").click()
    await expect(page.locator(".fault")).to_contain_text("first: It must be a whole number.")
    await page.get_by_label("span").fill('{"first": 1}')
    await page.get_by_role("button", name="Create").click()
    await expect(page.get_by_role("heading", name="Next five runs")).to_be_visible()
    caller = host.caller("task_manager")

    async def scheduled() -> dict[str, Any]:
        every = (await caller.request("GET", "/schedules")).body["schedules"]
        (job,) = [each["Job"] for each in every if each["Name"] == "Every night"]
        found: dict[str, Any] = job
        return found

    values = {"text": "nightly", "count": 1, "colour": "red", "rows": [4], "span": {"first": 1}}
    assert await scheduled() == {"Function": "every_kind", "Values": values, "Priority": 3}
    await page.get_by_label("really").check()
    await page.get_by_label("span").fill("")
    await page.get_by_label("Runspace").check()
    await page.get_by_text("Options: time limit").click()
    await page.get_by_label("Priority").fill("")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Saved.")).to_be_visible()
    changed = await scheduled()
    assert changed["Values"] == {"text": "nightly", "count": 1, "colour": "red", "rows": [4], "really": True}
    assert (changed["ExecutionMode"], changed.get("Priority")) == ("Runspace", None)


async def test_a_schedule_in_the_code_is_told_as_such_and_only_paused(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "task_manager")
    page = await visitor.open("#/schedules")
    row = page.get_by_role("row", name=re.compile("Tidy up"))
    await expect(row).to_contain_text("from the code")
    await row.get_by_role("link", name="Tidy up").click()
    await expect(page.get_by_role("heading", name="From the code")).to_be_visible()
    await expect(page.get_by_role("button", name="Save")).to_have_count(0)
    await expect(page.get_by_role("button", name="Delete")).to_have_count(0)
    await expect(page.get_by_label("Values")).to_contain_text('"shelf": 3')
    assert await visitor.accessibility_faults() == []
    await page.get_by_role("switch").click()
    await expect(page.get_by_role("switch")).not_to_be_checked()
    await page.get_by_role("link", name="Tidy up").click()
    await expect(page.get_by_text("At 03:00, every day, Europe/Berlin (paused)")).to_be_visible()


async def test_a_schedule_of_a_function_that_one_may_not_run_is_kept_as_it_is(
    host: Host, visit: Visit
) -> None:
    body = {"name": "Hers", "cron": "0 3 * * *", "job": {"function": "wait_for", "values": {"path": "/x"}}}
    made = await host.caller("task_manager").request("POST", "/schedules", json=body)
    page = await (await visit(host, "system_admin", user_id="root")).open(
        f"#/schedules/{made.body['schedule']['ScheduleID']}"
    )
    await expect(page.get_by_text("which is gone or not yours to run")).to_be_visible()
    await page.get_by_label("Name").first.fill("Still hers")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("heading", name="Still hers")).to_be_visible()
    (kept,) = [
        each
        for each in (await host.caller("task_manager").request("GET", "/schedules")).body["schedules"]
        if each["Name"] == "Still hers"
    ]
    assert kept["UserID"] == "alice"
    assert kept["Job"] == {"Function": "wait_for", "Values": {"path": "/x"}}


async def test_the_progress_of_a_job_is_a_bar_in_the_list_and_with_the_job(
    host: Host, visit: Visit, tmp_path: Path
) -> None:
    first, second = Gate(tmp_path / "first"), Gate(tmp_path / "second")
    visitor = await visit(host, "task_manager")
    page = await visitor.open()
    job_id = await visitor.submit(
        rf"printf '\033]9;4;1;42;420%%20rows\a'; {first.shell}; "
        rf"printf '\033]9;4;3;0;sorting\a'; {second.shell}",
        "Bar",
    )
    row = page.get_by_role("row", name=re.compile("Bar"))
    await expect(row).to_contain_text("42 % · 420 rows")
    assert await row.get_by_role("progressbar", name="Progress of Bar").get_attribute("value") == "42"
    assert await visitor.accessibility_faults() == []
    await page.goto(f"{visitor.address}#/job/{job_id}")
    await expect(page.locator(".progress")).to_have_text("42 % · 420 rows")
    assert await page.get_by_role("progressbar").get_attribute("value") == "42"
    first.open()
    await expect(page.locator(".progress")).to_have_text("sorting")
    await expect(page.get_by_role("progressbar")).not_to_have_attribute("value", re.compile(""))
    assert await visitor.accessibility_faults() == []
    second.open()
    await expect(page.locator(".title .badge")).to_have_text("Succeeded")
    await expect(page.get_by_role("progressbar")).to_have_count(0)


async def test_a_value_is_a_table_where_it_is_one(host: Host, visit: Visit) -> None:
    page, folder = await modules(host, visit)
    script = "async ([folder, values]) => { const {tableOf} = await import(`${folder}/value-table.js`);"
    values: list[tuple[Any, Any]] = [
        ({"rows": 3, "note": None}, {"columns": ["Name", "Value"], "rows": [["rows", 3], ["note", None]]}),
        (
            [{"a": 1, "b": "x"}, {"b": [2], "constructor": 3}],
            {"columns": ["a", "b", "constructor"], "rows": [[1, "x", None], [None, [2], 3]]},
        ),
        *(
            (value, None)
            for value in (None, 3, "text", [], {}, [1], [{}, {}], [{"a": 1}, 2], {"a": {"b": 1}})
        ),
        ([{str(number): number for number in range(31)}], None),
    ]
    found = await page.evaluate(
        script + " return values.map(tableOf); }", [folder, [value for value, _ in values]]
    )
    assert found == [table for _, table in values]


async def test_a_function_is_watched_and_what_it_returns_is_a_table(
    host: Host, visit: Visit, tmp_path: Path
) -> None:
    visitor = await visit(host, "task_manager")
    page = await visitor.open("#/functions/wait_for")
    await page.get_by_label("path").fill(str(tmp_path / "gate"))
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(page.locator(".progress")).to_have_text("50 % · half of it")
    await expect(page.get_by_label("Command")).to_contain_text(f"wait_for(path='{tmp_path}/gate')")
    (tmp_path / "gate").touch()
    await expect(page.locator(".title .badge")).to_have_text("Succeeded")
    await expect(page.locator(".line", has_text="there it is")).to_be_visible()
    table = page.get_by_role("region", name="Return value").get_by_role("table")
    await expect(table.get_by_role("columnheader")).to_have_text(["row", "name", "more"])
    await expect(table.get_by_role("row").nth(1)).to_have_text(re.compile(r"1\s*<b>one</b>"))
    await expect(table.get_by_role("row").nth(2)).to_have_text(re.compile(r"2\s*\[1,2\]"))
    assert await visitor.accessibility_faults() == []
    await page.reload()
    await expect(table).to_be_visible()
    await page.get_by_role("button", name="Run again").click()
    await expect(page.locator(".title .badge")).to_have_text("Succeeded")
    await expect(table).to_be_visible()


async def test_a_function_that_fails_shows_why(host: Host, visit: Visit) -> None:
    page = await (await visit(host, "task_manager")).open("#/functions/fail")
    await page.get_by_label("why").fill("the shelf is empty")
    await page.keyboard.press("Control+Enter")
    await expect(page.locator(".title .badge")).to_have_text("Failed")
    await expect(
        page.locator(".row.error", has_text="[ERROR] RuntimeError: the shelf is empty")
    ).to_be_visible()
    await expect(page.get_by_role("region", name="Return value")).to_have_count(0)
