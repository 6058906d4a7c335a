"""The shell and the assets over HTTP: headers, caching, compression, branding, and what is not there."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from aiohttp_jobs import ConfigurationError, JobsConfig
from aiohttp_jobs.ui.assets import package_assets
from aiohttp_jobs.ui.routes import ui_routes
from tests.conftest import Host

StartHost = Callable[..., Awaitable[Host]]
FIRST_PAGE_BYTES = 150_000


async def page_of(host: Host) -> str:
    answer = await host.stranger().request("GET", f"{host.address}{host.config.prefix}/")
    assert answer.status == 200
    return str(answer.body)


def assets_in(page: str) -> list[str]:
    return re.findall(r'(?:href|src)="(ui/[^"]+)"', page)


async def test_the_page_is_strict_and_has_nothing_inline(host: Host) -> None:
    answer = await host.stranger().request("GET", f"{host.address}{host.config.prefix}/")
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert not re.search(r"<script>|<style| style=| on\w+=", answer.body)
    assert host.config.prefix not in answer.body


async def test_the_mount_point_without_its_slash_leads_to_the_page(host: Host) -> None:
    answer = await host.stranger().request(
        "GET", f"{host.address}{host.config.prefix}?a=1", allow_redirects=False
    )
    assert (answer.status, answer.headers["Location"]) == (308, "WebHostTaskManagement/?a=1")
    page = await host.stranger().request("GET", f"{host.address}{host.config.prefix}")
    assert 'id="aiohttp-jobs"' in page.body


async def test_what_the_browser_has_already_is_not_sent_again(host: Host) -> None:
    url = f"{host.address}{host.config.prefix}/"
    first = await host.stranger().request("GET", url)
    again = await host.stranger().request("GET", url, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status, again.body) == (304, "")


async def test_every_asset_is_there_for_good_and_compressed(host: Host) -> None:
    base = f"{host.address}{host.config.prefix}/"
    sent = 0
    for path in assets_in(await page_of(host)):
        async with host.stranger().session.get(base + path, auto_decompress=False) as response:
            body = await response.read()
        assert response.status == 200, path
        assert "immutable" in response.headers["Cache-Control"]
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Content-Encoding"] == "gzip"
        sent += len(body)
    assert 10_000 < sent < FIRST_PAGE_BYTES


async def test_an_asset_is_sent_as_it_is_to_who_cannot_decompress(host: Host) -> None:
    url = f"{host.address}{host.config.prefix}/ui/{package_assets().fingerprint}/main.js"
    answer = await host.stranger().request("GET", url, headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in answer.headers
    assert answer.body.encode() == package_assets().files["main.js"].body


@pytest.mark.parametrize(
    "path",
    [
        "ui/0123456789abcdef/main.js",
        "ui/{}/nothing.js",
        "ui/{}/",
        "ui/{}/../routes.py",
        "ui/{}/..%2froutes.py",
        "ui/{}/%2e%2e/%2e%2e/config.py",
        "ui/{}/VENDORED.md",
        "ui/{}//etc/passwd",
        "ui/{}/main.js%00",
    ],
)
async def test_nothing_else_can_be_had(host: Host, path: str) -> None:
    from yarl import URL  # noqa: PLC0415 - the address as it is written, not made tidy

    address = f"{host.address}{host.config.prefix}/{path.format(package_assets().fingerprint)}"
    async with host.stranger().session.get(URL(address, encoded=True)) as response:
        assert response.status in (401, 404)
        assert "import" not in await response.text()


async def test_the_page_can_be_switched_off(start_host: StartHost) -> None:
    host = await start_host(ui_enabled=False)
    caller = host.caller("system_admin")
    for path in ("", "/", f"/ui/{package_assets().fingerprint}/main.js"):
        assert (await caller.request("GET", f"{host.address}{host.config.prefix}{path}")).status == 404
    assert (await caller.request("GET", "/jobs")).status == 200


async def test_the_host_can_brand_it(start_host: StartHost, tmp_path: Path) -> None:
    logo, template = tmp_path / "logo.svg", tmp_path / "base.html"
    logo.write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    template.write_text(
        "<html><head>{{ jobs_head }}</head><body><nav>Intranet</nav>{{ jobs_body }}</body></html>"
    )
    host = await start_host(ui_title='Night "shift" <b>', ui_logo=str(logo), ui_template=template)
    page = await page_of(host)
    assert "<nav>Intranet</nav>" in page
    assert "<title>Night &quot;shift&quot; &lt;b&gt;</title>" in page
    address = re.search(r'data-logo="([^"]+)"', page)
    assert address
    answer = await host.stranger().request("GET", f"{host.address}{host.config.prefix}/{address[1]}")
    assert answer.headers["Content-Type"] == "image/svg+xml"
    assert "sandbox" in answer.headers["Content-Security-Policy"]


async def test_the_branding_is_as_it_was_at_the_start(start_host: StartHost, tmp_path: Path) -> None:
    """The page's own files are read for the first visitor; what the host gave may be gone by then."""
    logo, template = tmp_path / "logo.svg", tmp_path / "base.html"
    logo.write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    template.write_text("<html><head>{{ jobs_head }}</head><body>{{ jobs_body }}</body></html>")
    host = await start_host(ui_logo=str(logo), ui_template=template)
    logo.unlink()
    template.unlink()
    pages = await asyncio.gather(*(page_of(host) for _ in range(8)))
    assert set(pages) == {await page_of(host)}
    address = re.search(r'data-logo="([^"]+)"', pages[0])
    assert address
    answer = await host.stranger().request("GET", f"{host.address}{host.config.prefix}/{address[1]}")
    assert answer.status == 200


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"ui_logo": "logo.svg"}, "neither a file nor a path"),
        ({"ui_logo": "//elsewhere.example/logo.svg"}, "neither a file nor a path"),
        ({"ui_template": "/nowhere/base.html"}, "cannot be read"),
    ],
)
def test_branding_that_cannot_be_used_is_told_at_the_start(
    make_config: Callable[..., JobsConfig], settings: dict[str, str], problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        ui_routes(make_config(**settings))


def test_a_template_without_its_places_is_refused(
    make_config: Callable[..., JobsConfig], tmp_path: Path
) -> None:
    template = tmp_path / "base.html"
    template.write_text("<html>{{ jobs_head }}</html>")
    with pytest.raises(ConfigurationError, match="once"):
        ui_routes(make_config(ui_template=template))


def test_all_that_a_module_imports_is_there_and_every_library_has_its_licence() -> None:
    assets = package_assets()
    for path in assets.files:
        if path.endswith((".js", ".mjs")):
            assert set(assets.preloads(path)) <= set(assets.files)
    folder = Path("aiohttp_jobs/ui/assets").resolve()
    told = (folder / "VENDORED.md").read_text()
    for path in (folder / "vendor").iterdir():
        if path.is_file():
            assert f"`{path.name}`" in told or path.name.startswith("prism-")
