"""The demo's own functions as jobs: who sees which."""

from __future__ import annotations

from .conftest import Demo, SignIn


async def test_who_is_signed_in_sees_the_functions_that_their_roles_may_run(
    demo: Demo, sign_in: SignIn
) -> None:
    for name, modes in (
        ("viewer", {"sales_report": ["Runspace", "BackgroundJob"]}),
        ("operator", {"tidy_archive": ["Runspace"], "fetch_prices": ["BackgroundJob"]}),
        ("admin", {"tidy_archive": ["Runspace", "MainLoop"]}),
    ):
        answer = await (await sign_in(demo, name)).request("GET", "/functions")
        shown = {each["Name"]: each["Modes"] for each in answer.body["functions"]}
        assert shown == {**shown, **modes}, name
        assert ("fetch_prices" in shown) == (name != "viewer")
