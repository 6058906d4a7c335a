"""The page's other views as a user meets them: schedules, queue, runspaces, keys, templates, history."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from playwright.async_api import expect

from tests.conftest import Host

from .conftest import Visit, Visitor

StartHost = Callable[..., Awaitable[Host]]
SCHEDULE: dict[str, Any] = {
    "name": "Nightly",
    "cron": "30 2 * * 1-5",
    "timezone": "Europe/Berlin",
    "job": {"jobName": "Nightly", "command": "true", "executionMode": "BackgroundJob"},
}
TEMPLATE: dict[str, Any] = {
    "name": "Greet",
    "command": 'echo "hello $PARAM_who"',
    "executionMode": "BackgroundJob",
    "interpreter": "shell",
    "parameters": [
        {"name": "who", "type": "string", "required": True, "pattern": "[a-z ]+"},
        {"name": "times", "type": "int", "minimum": 1, "maximum": 9, "default": 1, "required": False},
    ],
    "runRoles": ["task_manager"],
}


async def post(visitor: Visitor, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Ask the API past the page."""
    answer = await visitor.context.request.post(f"{visitor.host.api}/{path}", data=body)
    assert answer.ok, await answer.text()
    found: dict[str, Any] = await answer.json()
    return found


async def test_a_schedule_is_made_read_and_switched_off(host: Host, visit: Visit) -> None:
    page = await (await visit(host, "task_manager")).open("#/schedules")
    await page.get_by_role("link", name="New schedule").click()
    await page.get_by_label("Name").first.fill("Every quarter of an hour")
    await page.get_by_label("Cron line").fill("*/15 * *")
    await expect(page.locator(".fault").first).to_be_visible()
    await page.get_by_label("Cron line").fill("*/15 * * * *")
    await expect(page.get_by_text("Every 15 minutes", exact=True)).to_be_visible()
    await page.get_by_label("Command", exact=True).fill("true")
    await page.get_by_role("button", name="Create").click()
    await expect(page.get_by_role("heading", name="Next five runs")).to_be_visible()
    await expect(page.locator(".runs time")).to_have_count(5)
    await page.get_by_role("link", name="Schedules").first.click()
    row = page.get_by_role("row", name=re.compile("Every quarter"))
    await expect(row).to_contain_text("Every 15 minutes")
    await row.get_by_role("switch").click()
    await expect(row.get_by_role("switch")).not_to_be_checked()
    await expect(row).to_contain_text("none")


async def test_the_next_runs_are_in_the_users_time_zone(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "task_manager")
    made = await post(visitor, "schedules", SCHEDULE)
    page = await visitor.open(f"#/schedules/{made['schedule']['ScheduleID']}")
    await expect(page.locator(".runs li").first).to_contain_text(
        re.compile("(20|21):30.*02:30 in Europe/Berlin")
    )


async def test_an_administrator_pauses_the_queue_and_sees_it_move(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "system_admin")
    page = await visitor.open("#/queue")
    await page.get_by_role("button", name="Pause").click()
    await expect(page.get_by_text("The queue is paused")).to_be_visible()
    await visitor.submit("true", "Waits")
    await expect(page.get_by_role("link", name="Waits")).to_be_visible()
    await page.get_by_role("button", name="Resume").click()
    await expect(page.get_by_text("No jobs are waiting")).to_be_visible()


async def test_the_workers_are_shown(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "task_manager")
    await visitor.submit("sleep 300", "Warm", executionMode="Runspace")
    page = await visitor.open("#/runspaces")
    await expect(page.get_by_role("row", name=re.compile("Busy.*alice"))).to_be_visible()


async def test_a_key_is_shown_once_used_disabled_and_deleted(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "task_manager")
    page = await visitor.open("#/keys")
    await page.get_by_role("button", name="New key").click()
    await page.get_by_label("Name").fill("Pipeline")
    await page.get_by_role("button", name="Create").click()
    secret = await page.get_by_label("The key", exact=True).inner_text()
    caller = host.bearer(secret, "alice")
    assert (await caller.request("GET", "/jobs")).status == 200
    await page.get_by_role("button", name="I have kept it").click()
    assert secret not in await page.content()
    await page.get_by_role("button", name="Disable").click()
    await expect(page.get_by_role("button", name="Enable")).to_be_visible()
    assert (await caller.request("GET", "/jobs")).status == 401
    await page.get_by_role("button", name="Delete").click()
    await page.get_by_role("button", name="Delete the key?").click()
    await expect(page.get_by_text("No keys yet")).to_be_visible()


async def test_only_what_a_user_may_use_is_offered(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "task_manager")
    page = await visitor.open("#/new")
    await expect(page.get_by_role("radio", name="BackgroundJob")).to_be_checked()
    await expect(page.get_by_role("radio", name="MainLoop")).to_have_count(0)
    await visitor.sign_in("reader", user_id="rita")
    await page.reload()
    await expect(page.get_by_text("You may not submit jobs")).to_be_visible()
    await expect(page.get_by_role("link", name="New job")).to_have_count(0)


async def test_a_template_is_run_by_its_form(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "system_admin")
    made = await post(visitor, "templates", TEMPLATE)
    page = await visitor.open(f"#/templates/{made['template']['TemplateID']}")
    await page.get_by_label("who").fill("WORLD")
    await expect(page.get_by_text("It must match [a-z ]+")).to_be_visible()
    await page.get_by_label("times").fill("10")
    await expect(page.get_by_text("Enter 9 or less.")).to_be_visible()
    await page.get_by_label("times").fill("2")
    await page.get_by_label("who").fill("world")
    await page.get_by_role("button", name="Run").click()
    await expect(page.locator(".title .badge")).to_have_text("Succeeded")


async def test_the_history_counts_what_has_run(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "task_manager")
    for command in ("true", "true", "exit 3"):
        await visitor.submit(command, "Counted")
    await host.caller("task_manager").run("true", jobName="Counted last")
    page = await visitor.open("#/history")
    await expect(
        page.get_by_role("img", name=re.compile("Jobs per hour: 3 successes, 1 failure"))
    ).to_be_visible()
    await expect(page.locator(".chart canvas")).to_be_visible()
    await expect(page.get_by_role("row", name=re.compile("Counted 3"))).to_be_visible()
    await expect(page.locator(".outcomes")).to_contain_text("25 %")
    await expect(page.locator(".runtimes")).to_contain_text("90th percentile")
    await page.get_by_text("Show as a table").click()
    await expect(page.get_by_role("columnheader", name="Succeeded")).to_be_visible()


async def test_a_notice_that_failed_says_why_and_can_be_sent_again(
    start_host: StartHost, visit: Visit
) -> None:
    host = await start_host(webhook_allow_private=True, webhook_allowed_ports="any")
    page = await (await visit(host, "task_manager")).open("#/new")
    await page.get_by_label("Name").fill("Tells")
    await page.get_by_label("Command", exact=True).fill("exit 1")
    await page.get_by_text("Options: start").click()
    await page.get_by_role("button", name="Add e-mail").click()
    await page.get_by_role("textbox", name="E-mail to").fill("nobody")
    await expect(page.get_by_text("Enter addresses such as")).to_be_visible()
    await page.get_by_role("button", name="Remove this e-mail").click()
    await page.get_by_role("button", name="Add webhook").click()
    await page.get_by_role("textbox", name="Webhook").fill(f"{host.address}/nowhere")
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(page.locator(".title .badge")).to_have_text("Failed")
    await page.get_by_role("link", name="Notices").click()
    row = page.get_by_role("row", name=re.compile("Tells"))
    await expect(row).to_contain_text("webhook")
    await expect(row.get_by_role("button", name="Send again")).to_be_visible()


async def test_a_schedule_is_previewed_in_the_users_time_zone_while_it_is_typed(
    host: Host, visit: Visit
) -> None:
    visitor = await visit(host, "task_manager")
    page = await visitor.open("#/schedules/new")
    await page.get_by_label("Name").first.fill("Nightly")
    await page.get_by_label("Time zone").fill("Europe/Berlin")
    await page.get_by_label("Cron line").fill("30 2 * * 9")
    await expect(page.get_by_text("It has a bad day-of-week field: '9'.")).to_be_visible()
    await page.get_by_label("Cron line").fill("30 2 * * *")
    await expect(page.locator(".preview li")).to_have_count(5)
    await expect(page.locator(".preview li").first).to_contain_text(
        re.compile("(20|21):30.*02:30 in Europe/Berlin")
    )
    await page.get_by_label("Not before").fill("2090-01-10T00:00")
    await expect(page.locator(".preview li").first).to_contain_text(re.compile("10 Jan"))
    await page.get_by_label("Missed after seconds").fill("600")
    await page.get_by_label("Spread over seconds").fill("30")
    await page.get_by_label("If the last still runs").select_option("run it afterwards")
    await page.get_by_label("Command", exact=True).fill("true")
    await page.get_by_role("button", name="Create").click()
    await expect(page.get_by_role("heading", name="Next five runs")).to_be_visible()
    (made,) = (await host.caller("task_manager").request("GET", "/schedules")).body["schedules"]
    assert made["StartAt"] == "2090-01-10T05:00:00.000000Z"
    assert (made["MisfireGraceSeconds"], made["JitterSeconds"], made["OverlapPolicy"]) == (600, 30, "queue")
    await page.get_by_label("Not before").fill("")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Saved.")).to_be_visible()
    (made,) = (await host.caller("task_manager").request("GET", "/schedules")).body["schedules"]
    assert made["StartAt"] is None


async def test_a_template_is_run_by_who_may_not_submit(host: Host, visit: Visit) -> None:
    template = {**TEMPLATE, "runRoles": ["reader"]}
    admin = host.caller("system_admin", user_id="root")
    made = (await admin.request("POST", "/templates", json=template)).body
    visitor = await visit(host, "reader", user_id="rita")
    page = await visitor.open("#/templates")
    await page.get_by_role("link", name="Greet").click()
    await page.get_by_label("who").fill("rita")
    await page.get_by_text("Options: start").click()
    await page.get_by_label("Priority").fill("3")
    await page.get_by_label("Start", exact=True).select_option("after a delay")
    await page.get_by_label("Delay in seconds").fill("0.2")
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(page.locator(".line", has_text="hello rita")).to_be_visible()
    await expect(page.get_by_role("link", name="Edit and run")).to_have_count(0)
    (job,) = (await host.caller("reader", user_id="rita").request("GET", "/jobs")).body["jobs"]
    assert job["Priority"] == 3
    await visitor.open(f"#/templates/{made['template']['TemplateID']}?edit=1")
    await expect(page.get_by_role("button", name="Save")).to_have_count(0)


async def test_a_template_is_made_and_changed_with_all_its_parts(host: Host, visit: Visit) -> None:
    page = await (await visit(host, "task_manager")).open("#/templates/new")
    await page.get_by_label("Name").first.fill("Sum")
    await page.get_by_label("Command", exact=True).fill("echo $((PARAM_first + 1))")
    await page.get_by_role("button", name="Add a parameter").click()
    await page.get_by_label("Parameter", exact=True).fill("first")
    await page.get_by_label("Type").select_option("whole number")
    await page.get_by_label("May be negative").check()
    await page.get_by_text("Options: time limit").click()
    await page.get_by_role("button", name="Add e-mail").click()
    await page.get_by_role("textbox", name="E-mail to").fill("ops@example.org")
    await page.get_by_role("button", name="Create").click()
    await expect(page.locator(".fault")).to_contain_text("no mail server is set up here")
    await page.get_by_role("button", name="Remove this e-mail").click()
    await page.get_by_role("button", name="Add webhook").click()
    await page.get_by_role("textbox", name="Webhook").fill("https://example.org/hook")
    await page.get_by_role("button", name="Create").click()
    await page.get_by_role("textbox", name="first").fill("-5")
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(page.locator(".line", has_text="-4")).to_be_visible()
    (made,) = (await host.caller("task_manager").request("GET", "/templates")).body["templates"]
    assert made["Parameters"][0]["allowLeadingDash"] is True
    assert made["Notify"] == [{"channel": "webhook", "url": "https://example.org/hook", "on": ["failure"]}]


async def test_an_administrator_sees_everybodys_keys_and_makes_one_for_another(
    host: Host, visit: Visit
) -> None:
    page = await (await visit(host, "system_admin", user_id="root")).open("#/keys")
    await page.get_by_role("button", name="New key").click()
    await page.get_by_label("Name").fill("Of Bob")
    await page.get_by_label("For the user").fill("bob")
    await page.get_by_role("button", name="Create").click()
    secret = await page.get_by_label("The key", exact=True).inner_text()
    await page.get_by_role("button", name="I have kept it").click()
    await expect(page.get_by_text("No keys yet")).to_be_visible()
    await page.get_by_label("All users").check()
    await expect(page.get_by_role("row", name=re.compile("Of Bob bob"))).to_be_visible()
    assert (await host.bearer(secret).request("GET", "/me")).body["me"]["userId"] == "bob"
    await page.get_by_role("button", name="New key").click()
    await page.get_by_label("Name").fill("Of nobody")
    await page.get_by_label("For the user").fill("ci")
    await page.get_by_label("A service key").check()
    await page.get_by_role("button", name="Create").click()
    await page.get_by_role("button", name="I have kept it").click()
    await expect(page.get_by_role("row", name=re.compile(r"Of nobody \(service key\) ci"))).to_be_visible()
    await page.get_by_role("row", name=re.compile("Of Bob")).get_by_role("button", name="Disable").click()
    await expect(page.get_by_role("row", name=re.compile(r"Of Bob \(disabled by root\)"))).to_be_visible()


async def test_a_user_signs_out_a_session_that_is_not_theirs(host: Host, visit: Visit) -> None:
    thief = await host.signed_in("task_manager")
    visitor = await visit(host, "task_manager")
    page = await visitor.open("#/sessions")
    row = page.get_by_role("row", name=re.compile("aiohttp"))
    await expect(page.get_by_role("row")).to_have_count(3)
    await row.get_by_role("button", name="Sign out").click()
    await row.get_by_role("button", name="Sign this session out?").click()
    await expect(page.get_by_role("row")).to_have_count(2)
    assert (await thief.request("GET", "/me")).status == 401
    await page.get_by_role("button", name="Sign out everywhere", exact=True).click()
    await expect(page.get_by_text("You are not signed in")).to_be_visible()


async def test_a_page_shows_nothing_of_one_user_to_the_next(start_host: StartHost, visit: Visit) -> None:
    """Somebody else signs in in the same browser, in another tab."""
    host = await start_host(heartbeat_interval=0.5)
    visitor = await visit(host, "task_manager")
    await visitor.submit("true", name="Of Alice")
    page = await visitor.open("#/jobs")
    await expect(page.get_by_text("Of Alice").first).to_be_visible()
    body = {"user_id": "bob", "roles": ["task_manager"]}
    assert (await visitor.context.request.post(f"{host.address}/login", data=body)).ok
    await expect(page.locator(".who-name")).to_have_text("bob")
    await expect(page.get_by_text("Of Alice")).to_have_count(0)
