"""Signing in to the demo and out of it, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest

from tests.conftest import Answer, Caller

from .conftest import PASSWORDS, Demo, SignIn

Browser = Callable[[Demo], Caller]


async def post_login(caller: Caller, demo: Demo, **request: Any) -> Answer:
    return await caller.request("POST", f"{demo.address}/login", allow_redirects=False, **request)


def credentials(name: str, password: str) -> dict[str, str]:
    return {"username": name, "password": password}


@pytest.mark.parametrize("name", PASSWORDS)
async def test_each_account_signs_in_with_its_documented_password(
    demo: Demo, sign_in: SignIn, name: str
) -> None:
    caller = await sign_in(demo, name)
    home = await caller.request("GET", f"{demo.address}/")
    assert f"<b>{name}</b>" in home.body
    assert await caller.results() == []


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("admin", "wrong"),
        ("admin", ""),
        ("", "admin-demo"),
        ("nobody", "admin-demo"),
        ("Admin", "admin-demo"),
    ],
)
async def test_a_wrong_name_or_password_gets_the_login_page_with_401(
    demo: Demo, browser: Browser, name: str, password: str
) -> None:
    caller = browser(demo)
    answer = await post_login(caller, demo, data=credentials(name, password))
    assert answer.status == 401
    assert "The user name or the password is wrong." in answer.body
    assert 'name="password"' in answer.body
    assert (await caller.request("GET", "/jobs/results")).status == 401


async def test_the_answer_does_not_tell_whether_the_name_exists(demo: Demo, browser: Browser) -> None:
    caller = browser(demo)
    known = await post_login(caller, demo, data=credentials("viewer", "wrong"))
    unknown = await post_login(caller, demo, data=credentials("nobody-1", "wrong"))
    assert known.body.replace("viewer", "nobody-1") == unknown.body.replace("viewer", "nobody-1")


async def test_a_name_typed_wrong_is_shown_again_as_text(demo: Demo, browser: Browser) -> None:
    answer = await post_login(browser(demo), demo, data=credentials('"><script>alert(1)</script>', "x"))
    assert "&#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt;" in answer.body
    assert "<script>alert" not in answer.body


async def test_a_name_has_to_wait_after_five_failures_and_others_do_not(
    demo: Demo, browser: Browser, sign_in: SignIn
) -> None:
    caller = browser(demo)
    guesses = [await post_login(caller, demo, data=credentials("guessed", str(n))) for n in range(6)]
    assert [answer.status for answer in guesses] == [401] * 5 + [429]
    assert 0 < int(guesses[-1].headers["Retry-After"]) <= 30
    assert "Too many attempts" in guesses[-1].body
    await sign_in(demo, "operator")


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://elsewhere.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}],
)
@pytest.mark.parametrize("path", ["/login", "/logout"])
async def test_a_page_of_another_site_can_sign_nobody_in_or_out(
    demo: Demo, sign_in: SignIn, path: str, headers: dict[str, str]
) -> None:
    caller = await sign_in(demo, "viewer")
    form = credentials("operator", PASSWORDS["operator"])
    answer = await caller.request(
        "POST", demo.address + path, data=form, headers=headers, allow_redirects=False
    )
    assert answer.status == 403
    assert "came from another site" in answer.body
    home = await caller.request("GET", f"{demo.address}/")
    assert "<b>viewer</b>" in home.body


async def test_whoever_signs_out_is_a_stranger_again(demo: Demo, sign_in: SignIn) -> None:
    caller = await sign_in(demo, "operator")
    answer = await caller.request("POST", f"{demo.address}/logout", allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, "/login")
    assert (await caller.request("GET", "/jobs/results")).status == 401
    assert "<b>operator</b>" not in (await caller.request("GET", f"{demo.address}/")).body


async def test_signing_in_as_somebody_else_ends_the_session_before(demo: Demo, sign_in: SignIn) -> None:
    caller = await sign_in(demo, "admin")
    await post_login(caller, demo, data=credentials("viewer", PASSWORDS["viewer"]))
    answer = await caller.request(
        "POST", "/jobs/submit", json={"jobName": "x", "command": "id", "executionMode": "MainLoop"}
    )
    assert answer.status == 403


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (401, "text/plain", b"username=admin&password=admin-demo"),
        (401, "application/x-www-form-urlencoded", b""),
        (400, "application/x-www-form-urlencoded; charset=utf-8", b"username=\xff"),
        (400, "application/x-www-form-urlencoded; charset=nonsense", b"username=admin"),
        (400, "multipart/form-data", b"no boundary"),
        (400, "multipart/form-data; boundary=x", b"not what it says"),
        (413, "application/x-www-form-urlencoded", b"username=" + b"a" * 3_000_000),
    ],
)
async def test_a_form_that_cannot_be_read_is_refused_with_a_page(
    demo: Demo, browser: Browser, status: int, content_type: str, body: bytes
) -> None:
    answer = await post_login(browser(demo), demo, data=BytesIO(body), headers={"Content-Type": content_type})
    assert answer.status == status
    assert answer.headers["Content-Type"].startswith("text/html")


async def test_a_form_that_is_not_compressed_as_it_says_is_refused(demo: Demo, browser: Browser) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Content-Encoding": "gzip"}
    answer = await post_login(browser(demo), demo, data=b"username=admin", headers=headers)
    assert answer.status == 400


@pytest.mark.parametrize(
    ("wanted", "location"),
    [
        ("/apps/WebHostTaskManagement/#/jobs", "/apps/WebHostTaskManagement/#/jobs"),
        ("//elsewhere.example/", "/"),
        ("https://elsewhere.example/", "/"),
        ("", "/"),
    ],
)
async def test_signing_in_leads_back_to_the_console_but_nowhere_else(
    demo: Demo, browser: Browser, wanted: str, location: str
) -> None:
    page = await browser(demo).request("GET", f"{demo.address}/login", params={"next": wanted})
    assert ('name="next"' in page.body) is (location != "/")
    form = {**credentials("viewer", PASSWORDS["viewer"]), "next": wanted}
    answer = await post_login(browser(demo), demo, data=form)
    assert (answer.status, answer.headers["Location"]) == (303, location)
