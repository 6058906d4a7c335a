"""Signing in and out: ``/login`` and ``/logout``, and who is signed in.

Which accounts there are is left to `users`, how a page looks to `pages`.
"""

from __future__ import annotations

import asyncio
import math

from aiohttp import web
from aiohttp_session import get_session

import aiohttp_jobs
from aiohttp_jobs.http.auth.origin import require_same_origin

from .keys import CONFIG, THROTTLE, USERS, VERIFICATIONS
from .pages import SIGNED_IN_AS, render

CONSOLE_SETTINGS = {"ui_login_url": "/login?next={next}", "ui_logout_url": "/logout"}
"""Where the plugin's page sends those who want to sign in or out."""

routes = web.RouteTableDef()


@routes.get("/login")
async def login_page(request: web.Request) -> web.Response:
    return await render(request, "login.html", next=_destination(request, request.query.get("next")))


@routes.post("/login")
async def sign_in(request: web.Request) -> web.Response:
    """Form fields ``username`` and ``password``. 303 to the home page, or the login page with 401."""
    require_same_origin(request, ())
    name, password, wanted = await _credentials(request)
    destination = _destination(request, wanted)
    wait = request.app[THROTTLE].admit(name)
    if wait:
        return await _too_many_attempts(request, name, wait, destination)
    # Each verification takes 64 MB for a moment; the semaphore bounds how many run at once.
    async with request.app[VERIFICATIONS]:
        account = await asyncio.to_thread(request.app[USERS].verify, name, password)
    if account is None:
        problem = "The user name or the password is wrong. Check both and try again."
        return await render(request, "login.html", status=401, problem=problem, name=name, next=destination)
    request.app[THROTTLE].succeeded(name)
    await aiohttp_jobs.remember(request, name, account.roles)
    (await get_session(request))[SIGNED_IN_AS] = name
    raise web.HTTPSeeOther(destination or "/")


@routes.post("/logout")
async def sign_out(request: web.Request) -> web.Response:
    require_same_origin(request, ())
    await aiohttp_jobs.forget(request)
    (await get_session(request)).invalidate()
    raise web.HTTPSeeOther("/login")


def _destination(request: web.Request, wanted: str | None) -> str:
    """The page to go on to: one of the plugin's, or the empty text; never another site's."""
    return wanted if wanted and wanted.startswith(f"{request.app[CONFIG].prefix}/") else ""


async def _credentials(request: web.Request) -> tuple[str, str, str]:
    try:
        form = await request.post()
    except (ValueError, LookupError, web.RequestPayloadError):
        raise web.HTTPBadRequest(text="The form could not be read as it was encoded.") from None
    name, password, wanted = (str(form.get(field, "")) for field in ("username", "password", "next"))
    return name, password, wanted


async def _too_many_attempts(request: web.Request, name: str, wait: float, destination: str) -> web.Response:
    seconds = math.ceil(wait)
    problem = f"Too many attempts for this user name. Wait {seconds} seconds, then try again."
    response = await render(request, "login.html", status=429, problem=problem, name=name, next=destination)
    response.headers["Retry-After"] = str(seconds)
    return response
