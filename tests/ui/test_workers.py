"""Labels and workers on the page: asking for one, what a job waits for, who is there, and draining one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import expect

from tests.conftest import Host
from tests.engine.postgres.support import installation
from tests.engines import HostEngine

from .conftest import Visit

StartHost = Callable[..., Awaitable[Host]]


@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
async def test_a_job_says_what_it_waits_for_and_a_worker_is_drained(
    start_host: StartHost, visit: Visit, engine: HostEngine
) -> None:
    from aiohttp_jobs.engine.postgres.presence import AboutProcess  # noqa: PLC0415 - needs psycopg

    visitor = await visit(await start_host(), "task_manager", "system_admin")
    page = await visitor.open("#/new")
    await page.get_by_label("Command", exact=True).fill("nvidia-smi")
    await page.get_by_text("Options").first.click()
    await page.get_by_label("Labels").fill("GPU!")
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(page.get_by_text("Enter labels such as gpu")).to_be_visible()
    await page.get_by_label("Labels").fill("gpu, site-berlin")
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(
        page.get_by_text("No worker that runs now has the label gpu and the label site-berlin.")
    ).to_be_visible()
    await expect(page.get_by_text("gpu, site-berlin")).to_be_visible()

    about = AboutProcess(kind="worker", name="Big <b>one</b>", labels=("fast",), places={"Runspace": 2})
    worker = installation(engine.settings["dsn"], about=about)
    worker.open()
    try:
        await page.get_by_role("link", name="Workers").click()
        row = page.get_by_role("row", name="Big <b>one</b>")
        await expect(row).to_contain_text("fast")
        await expect(row).to_contain_text("0 of 2")
        assert not await visitor.accessibility_faults()
        await row.get_by_role("button", name="Drain").click()
        await row.get_by_role("button", name="Let Big").click()
        await expect(row).to_contain_text("Draining")
    finally:
        worker.close()


async def test_where_hosts_run_all_jobs_nobody_is_asked_for_labels(host: Host, visit: Visit) -> None:
    page = await (await visit(host, "task_manager", "system_admin")).open("#/new")
    await page.get_by_text("Options").first.click()
    await expect(page.get_by_label("Concurrency key")).to_be_visible()
    await expect(page.get_by_label("Labels")).to_have_count(0)
    await expect(page.get_by_role("link", name="Workers")).to_have_count(0)
