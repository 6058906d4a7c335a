"""The document's address and the page that shows it: open to whom, complete, and from this host only."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from threading import Event
from typing import Any

from aiohttp import web

from aiohttp_jobs import JobsConfig
from aiohttp_jobs.http.documentation import ApiDocument
from aiohttp_jobs.http.operations import ROOT, Content, operation

from ..conftest import Host

SHIPPED = ("swagger-ui-bundle.js", "swagger-ui.css", "docs.js", "docs.css")


class Watched(Mapping[str, Any]):
    """The schema of an answer. Whoever builds a document of it goes on when `go_on` is set."""

    def __init__(self) -> None:
        self.times_read = 0
        self.read, self.go_on = Event(), Event()

    def __iter__(self) -> Iterator[str]:
        self.times_read += 1
        self.read.set()
        assert self.go_on.wait(30), "nothing else was done while the document was built"
        return iter(["type"])

    def __len__(self) -> int:
        return 1

    def __getitem__(self, name: str) -> str:
        return {"type": "string"}[name]


def application(schema: Watched) -> web.Application:
    """An API of one route, whose answer has this `schema`."""

    @operation("Watch", {200: Content("text/plain", "A text.", schema=schema)})
    async def watch(_request: web.Request) -> web.Response:
        """Answers nothing."""
        return web.Response()

    app = web.Application()
    app.router.add_get(ROOT + "/watch", watch)
    return app


async def test_nobody_waits_for_a_document_but_those_who_asked_and_it_is_built_once(tmp_path: Path) -> None:
    schema, document = Watched(), ApiDocument(JobsConfig(data_dir=tmp_path), [])
    app = application(schema)
    asking = [asyncio.create_task(document.json(app, "/api/v1")) for _ in range(3)]
    assert await asyncio.to_thread(schema.read.wait, 30)
    schema.go_on.set()
    (found,) = set(await asyncio.gather(*asking))
    assert b'"/watch"' in found
    assert schema.times_read == 1


async def test_the_documents_of_two_plugins_in_one_process_are_built_at_the_same_time(tmp_path: Path) -> None:
    config, schemas = JobsConfig(data_dir=tmp_path), [Watched(), Watched()]
    asking = [
        asyncio.create_task(ApiDocument(config, []).json(application(schema), "/api/v1"))
        for schema in schemas
    ]
    for schema in schemas:
        assert await asyncio.to_thread(schema.read.wait, 30)
    for schema in schemas:
        schema.go_on.set()
    assert len(set(await asyncio.gather(*asking))) == 1


async def test_the_page_is_open_to_everybody_and_loads_from_this_host_only(host: Host) -> None:
    page = await host.stranger().request("GET", "/docs")
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    policy = page.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'; script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "://" not in page.body
    assert not re.search(r"<script(?![^>]* src=)|<style| style=| on\w+=", page.body)
    linked = re.findall(r'(?:src|href)="docs/([^"]+)"', page.body)
    assert sorted(linked) == sorted(SHIPPED)


async def test_what_the_page_needs_is_shipped(host: Host) -> None:
    stranger = host.stranger()
    for name in SHIPPED:
        answer = await stranger.request("GET", f"/docs/{name}")
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith(
            "text/javascript" if name.endswith("js") else "text/css"
        )
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "sourceMappingURL" not in answer.body
        assert (files("aiohttp_jobs.http.openapi") / "page" / name).is_file()
        again = await stranger.request(
            "GET", f"/docs/{name}", headers={"If-None-Match": answer.headers["ETag"]}
        )
        assert again.status == 304


async def test_nothing_else_is_sent(host: Host) -> None:
    for name in ("README.md", "..%2Fdocument.py", "%2e%2e%2fdocument.py", "docs.html", "nothing", "%00"):
        answer = await host.stranger().request("GET", f"/docs/{name}")
        assert (answer.status, answer.body["code"]) == (404, "not_found"), name


def test_the_licence_goes_with_the_library() -> None:
    page = files("aiohttp_jobs.http.openapi") / "page"
    assert "Apache License" in (page / "swagger-ui.LICENSE.txt").read_text()
    (version,) = set(re.findall(r"swagger-ui-dist\S* (\d+\.\d+\.\d+)", (page / "README.md").read_text()))
    assert f"swagger-ui-dist {version}, Apache License 2.0" in (page / "docs.html").read_text()


async def test_other_methods_are_told_which_there_are(host: Host) -> None:
    caller = host.caller("debug")
    for method in ("TRACE", "PUT", "QUERY", "PROPFIND"):
        answer = await caller.request(method, "/jobs")
        assert (answer.status, answer.body["code"]) == (405, "method_not_allowed"), method
        assert answer.headers["Allow"] == "GET,HEAD", method


async def test_a_parameter_is_given_once(host: Host) -> None:
    caller = host.caller("debug")
    for query in ("limit=1&limit=2", "scope=own&scope=all"):
        answer = await caller.request("GET", f"/jobs?{query}")
        assert (answer.status, answer.body["code"]) == (422, "invalid_fields"), query
        assert answer.body["error"].endswith("must be given only once."), query
