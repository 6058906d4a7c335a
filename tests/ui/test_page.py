"""The page as a user meets it: sign in, submit, watch, cancel, search; and what must never happen in it."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from playwright.async_api import expect

from tests.conftest import Host
from tests.gate import Gate

from ..processes import printed_by
from .conftest import Visit, modules

StartHost = Callable[..., Awaitable[Host]]
RIGHT_TO_LEFT = "\u202e"
SCRIPT = "<script>document.title='stolen'</script><img src=x onerror=\"document.title='stolen'\">"


async def test_someone_who_is_not_signed_in_is_helped(start_host: StartHost, visit: Visit) -> None:
    host = await start_host(ui_login_url="/sign-in?next={next}", ui_title="Night shift")
    visitor = await visit(host)
    page = await visitor.open("#/jobs?state=Failed")
    link = page.get_by_role("link", name="Sign in")
    await expect(link).to_have_attribute("href", re.compile(r"^/sign-in\?next=%2Fapps.*state%3DFailed$"))
    await expect(page.get_by_role("heading", name="Night shift")).to_be_visible()


async def test_an_api_key_opens_the_page_and_lasts_as_long_as_the_tab(host: Host, visit: Visit) -> None:
    visitor = await visit(host)
    page = await visitor.open()
    await page.get_by_text("Use an API key instead").click()
    await page.get_by_label("API key").fill("not a key")
    await page.get_by_role("button", name="Use this key").click()
    await expect(page.get_by_text("This key is not valid.")).to_be_visible()
    secret = host.caller("task_manager").session.headers["Authorization"].removeprefix("Bearer ")
    await page.get_by_label("API key").fill(secret)
    await page.get_by_role("button", name="Use this key").click()
    await expect(page.get_by_text("No jobs yet")).to_be_visible()
    await page.reload()
    await expect(page.get_by_text("No jobs yet")).to_be_visible()
    assert secret not in await page.evaluate("JSON.stringify(localStorage) + document.cookie")


async def test_a_command_is_submitted_and_watched(host: Host, visit: Visit, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    page = await (await visit(host, "task_manager")).open()
    await page.get_by_role("link", name="Run your first command").click()
    await page.get_by_label("Name", exact=True).fill("Count")
    await page.get_by_label("Command", exact=True).fill(
        "for i in 1 2 3; do echo line $i; sleep 0.2; done; "
        f"echo ::progress 60 halfway; {gate.shell}; echo done"
    )
    await page.keyboard.press("Control+Enter")
    await expect(page.get_by_role("heading", name="Count")).to_be_visible()
    await expect(page.locator(".line", has_text="line 3")).to_be_visible()
    await expect(page.get_by_text("60 % · halfway")).to_be_visible()
    gate.open()
    await expect(page.locator(".title .badge")).to_have_text("Succeeded")
    await expect(page.locator(".line", has_text=re.compile("^done$"))).to_be_visible()


async def test_faults_are_told_as_one_types_and_nothing_is_sent(host: Host, visit: Visit) -> None:
    page = await (await visit(host, "task_manager")).open("#/new")
    await page.get_by_label("Name").fill("x" * 101)
    await expect(page.get_by_text("Use at most 100 characters.")).to_be_visible()
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(page.get_by_text("Enter a command.")).to_be_visible()
    await expect(page.get_by_label("Name")).to_be_focused()
    everything = await host.caller("system_admin").request("GET", "/jobs?scope=all")
    assert everything.body["count"] == 0


async def test_the_list_is_live_and_needs_no_reloading(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "task_manager")
    page = await visitor.open()
    await expect(page.get_by_text("No jobs yet")).to_be_visible()
    await visitor.submit("sleep 300", "Long one")
    row = page.get_by_role("row", name=re.compile("Long one"))
    await expect(row.get_by_text("Running")).to_be_visible()
    await row.get_by_role("button", name="Cancel Long one").click()
    await expect(row.get_by_text("Cancelled")).to_be_visible()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.wait_for_timeout(1500)
    assert asked == []


async def test_a_deleted_result_leaves_the_list(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "task_manager")
    page = await visitor.open()
    job_id = await visitor.submit("true", "Short one")
    await expect(
        page.get_by_role("row", name=re.compile("Short one.*Succeeded|Succeeded.*Short one"))
    ).to_be_visible()
    assert (await visitor.context.request.delete(f"{host.api}/jobs/results?jobId={job_id}")).ok
    await expect(page.get_by_text("No jobs yet")).to_be_visible()


async def test_the_keyboard_is_enough(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "task_manager")
    await visitor.submit("echo first", "First")
    await visitor.submit("sleep 300", "Second")
    page = await visitor.open()
    await expect(page.get_by_role("row", name=re.compile("Second"))).to_contain_text("Running")
    await page.keyboard.press("j")
    await expect(page.get_by_role("link", name="Second")).to_be_focused()
    await page.keyboard.press("c")
    await expect(page.get_by_role("row", name=re.compile("Second"))).to_contain_text("Cancelled")
    await page.keyboard.press("/")
    await page.keyboard.type("first")
    await expect(page.get_by_role("link", name="Second")).to_have_count(0)
    await expect(page).to_have_url(re.compile("q=first"))
    await page.keyboard.press("Escape")
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="First")).to_be_visible()
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog", name="Keyboard")).to_be_hidden()
    await page.keyboard.press("n")
    await expect(page.get_by_role("heading", name="New job")).to_be_visible()


async def test_a_filtered_view_can_be_shared(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "task_manager")
    await visitor.submit("exit 3", "Broken")
    await visitor.submit("true", "Fine")
    page = await visitor.open("#/jobs?state=Failed")
    await expect(page.get_by_role("link", name="Broken")).to_be_visible()
    await expect(page.get_by_role("link", name="Fine")).to_have_count(0)
    await page.get_by_label("State", exact=True).select_option("Succeeded")
    await expect(page.get_by_role("link", name="Fine")).to_be_visible()
    await expect(page).to_have_url(re.compile("state=Succeeded"))


async def test_two_users_do_not_see_each_others_jobs(host: Host, visit: Visit) -> None:
    alice, bob = host.caller("task_manager"), await visit(host, "task_manager", user_id="bob")
    page = await bob.open()
    await expect(page.get_by_text("No jobs yet")).to_be_visible()
    job_id = await alice.submit("echo secret", jobName="Of Alice")
    await bob.submit("true", "Of Bob")
    await expect(page.get_by_role("link", name="Of Bob")).to_be_visible()
    await expect(page.get_by_role("link", name="Of Alice")).to_have_count(0)
    await bob.open(f"#/job/{job_id}")
    await expect(page.get_by_role("alert")).to_contain_text("This job is not yours.")
    assert "secret" not in await page.content()


async def test_names_and_output_are_text(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "task_manager")
    name = f"{SCRIPT}{RIGHT_TO_LEFT}gpj.exe"
    job_id = await visitor.submit(
        f"cat <<'EOF'\n{SCRIPT}\n{RIGHT_TO_LEFT}evil\n\x1b]0;stolen\x07\x1b[2J\x1b[31mred\x1b[0m\nEOF", name
    )
    page = await visitor.open()
    link = page.locator(".job-link")
    await expect(link).to_contain_text(SCRIPT)
    await expect(link).to_contain_text("U+202E")
    await visitor.open(f"#/job/{job_id}")
    await expect(page.locator(".line", has_text=SCRIPT)).to_be_visible()
    await expect(page.locator(".line", has_text="U+202Eevil")).to_be_visible()
    red = page.locator(".line span", has_text=re.compile("^red$"))
    await expect(red).to_have_css("color", "rgb(179, 38, 30)")
    assert await page.title() == f"{SCRIPT}[U+202E]gpj.exe · Jobs"
    assert await page.locator("main img, main script").count() == 0


async def test_errors_are_told_apart_from_other_output(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "task_manager")
    job_id = await visitor.submit("print('fine')\n1/0", interpreter="python")
    page = await visitor.open(f"#/job/{job_id}")
    errors = page.locator(".row.error")
    await expect(errors.first).to_contain_text("[ERROR] division by zero")
    await expect(errors.last).to_contain_text("ZeroDivisionError: division by zero")
    await expect(page.locator(".row:not(.error)")).to_contain_text("fine")


async def test_output_can_be_searched(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "task_manager")
    job_id = await visitor.submit("seq 1 20000")
    page = await visitor.open(f"#/job/{job_id}")
    await expect(page.get_by_text("20,000 lines")).to_be_visible()
    await page.get_by_label("Search in the output").fill("12345")
    await expect(page.get_by_text("1 of 1", exact=True)).to_be_visible()
    await expect(page.locator(".row.found mark")).to_have_text("12345")


async def test_a_hundred_megabytes_do_not_freeze_the_tab(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "task_manager")
    command = "yes 'a line of output that is about fifty bytes long.' | head -c 100000000; echo; echo the end"
    job_id = await visitor.submit(command)
    await host.caller("system_admin", user_id="alice").result(job_id)
    page = await visitor.open(f"#/job/{job_id}")
    await expect(page.locator(".output-foot")).to_contain_text("Complete", timeout=60000)
    assert await page.locator(".row").count() < 100
    await page.locator(".output-scroll").evaluate("(box) => { box.scrollTop = box.scrollHeight }")
    await expect(page.locator(".line", has_text="the end")).to_be_visible()
    await page.locator(".output-scroll").evaluate("(box) => { box.scrollTop = 0 }")
    await expect(page.locator(".row").first).to_contain_text("a line of output")
    # Of 100 MB in text the page holds a quarter, and gives way to the user all the time.
    devtools = await visitor.context.new_cdp_session(page)
    await devtools.send("HeapProfiler.collectGarbage")
    used = await page.evaluate("performance.memory.usedJSHeapSize")
    assert used < 120_000_000


async def test_it_works_below_any_prefix(start_host: StartHost, visit: Visit) -> None:
    host = await start_host(prefix="/tools/our-jobs")
    visitor = await visit(host, "task_manager")
    page = await visitor.open("#/new")
    await page.get_by_label("Name").fill("Elsewhere")
    await page.get_by_label("Command", exact=True).fill("echo here")
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(page.locator(".line", has_text="here")).to_be_visible()


async def test_options_reach_the_job(host: Host, visit: Visit) -> None:
    page = await (await visit(host, "task_manager")).open("#/new")
    await page.get_by_label("Name").fill("Later")
    await page.get_by_label("Command", exact=True).fill("exit 1")
    await page.get_by_text("Options: start").click()
    await page.get_by_label("Start", exact=True).select_option("after a delay")
    await page.get_by_label("Delay in seconds").fill("3600")
    await page.get_by_label("Priority").fill("8")
    await page.get_by_label("Time limit in seconds").fill("12.5")
    await page.get_by_label("Tries after a failure").fill("2")
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(page.get_by_text("Enter 0 to 7.")).to_be_visible()
    await page.get_by_label("Priority").fill("6")
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(page.locator(".title .badge")).to_have_text("Pending")
    (job,) = (await host.caller("task_manager").request("GET", "/jobs")).body["jobs"]
    whole = (await host.caller("task_manager").request("GET", f"/jobs/{job['JobID']}")).body["job"]
    assert (whole["Priority"], whole["TimeoutSeconds"], whole["Retry"]["count"]) == (6, 12.5, 2)


async def test_the_curl_command_does_what_the_page_does(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "task_manager", permissions=["clipboard-read", "clipboard-write"])
    await visitor.submit("echo 'it'\\''s quoted'", "Quoted")
    page = await visitor.open()
    await page.get_by_role("button", name="Copy Quoted as curl").click()
    await expect(page.get_by_text("curl command copied.")).to_be_visible()
    command = await page.evaluate("navigator.clipboard.readText()")
    secret = host.caller("task_manager").session.headers["Authorization"].removeprefix("Bearer ")
    process = await asyncio.create_subprocess_shell(
        command, env={**os.environ, "JOBS_API_KEY": secret}, stdout=asyncio.subprocess.PIPE
    )
    answer, _ = await printed_by(process)
    result = await host.caller("task_manager").result(json.loads(answer)["jobId"])
    assert result["Output"] == "it's quoted\n"


async def test_a_job_is_run_again_and_deleted(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "task_manager")
    job_id = await visitor.submit("echo once more", "Again")
    await host.caller("task_manager").result(job_id)
    page = await visitor.open(f"#/job/{job_id}")
    await page.get_by_role("button", name="Delete").click()
    await page.get_by_role("button", name="Delete the result?").click()
    await expect(page.get_by_text("No jobs yet")).to_be_visible()
    second = await visitor.submit("echo once more", "Again")
    await host.caller("task_manager").result(second)
    await visitor.open(f"#/job/{second}")
    await page.get_by_role("link", name="Edit and run").click()
    await expect(page.get_by_label("Command", exact=True)).to_have_value("echo once more")
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(page.locator(".line", has_text="once more")).to_be_visible()
    assert second not in page.url


async def test_attempts_are_shown_on_a_line_of_time(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "task_manager")
    retry = {"count": 1, "backoffSeconds": 0.1}
    job_id = await visitor.submit("echo try; exit 3", "Twice", retry=retry)
    page = await visitor.open(f"#/job/{job_id}")
    await expect(page.locator(".attempts li")).to_have_count(2)
    await expect(page.locator(".title .badge")).to_have_text("Failed")
    await expect(page.get_by_text("Attempt 2", exact=True)).to_be_visible()


async def test_a_server_that_goes_is_told_and_what_is_known_stays(host: Host, visit: Visit) -> None:
    visitor = await visit(host, "task_manager")
    await visitor.submit("true", "Known")
    page = await visitor.open()
    await expect(page.get_by_role("row", name=re.compile("Known"))).to_contain_text("Succeeded")
    await host.runner.cleanup()
    await expect(page.get_by_text("Connection lost; connecting again")).to_be_visible()
    await expect(page.get_by_role("link", name="Known")).to_be_visible()
    await page.get_by_role("button", name="Run Known again").click()
    await expect(page.get_by_text("The server cannot be reached.")).to_be_visible()


async def test_a_view_that_is_being_left_does_not_lead_back(host: Host, visit: Visit) -> None:
    page, folder = await modules(host, visit)
    script = """async (folder) => {
      const { go } = await import(`${folder}/router.js`);
      return ["#/jobs", "#/new", location.pathname].map((left) => {
        history.replaceState(null, "", left);
        go("#/jobs?q=typed", { replace: true });
        return location.hash;
      });
    }"""
    assert await page.evaluate(script, folder) == ["#/jobs?q=typed", "#/new", "#/jobs?q=typed"]
