"""The demo's pages: home, about, health, errors, and how a page is made from its template.

What the home page shows of jobs, its script fetches from the plugin's API (``static/jobs.js``).
"""

from __future__ import annotations

import asyncio
import platform
from pathlib import Path
from typing import Any

import aiohttp
import jinja2
from aiohttp import web
from aiohttp.typedefs import Handler
from aiohttp_session import get_session

import aiohttp_jobs
from aiohttp_jobs import ExecutionMode, JobsConfig, JobsError
from aiohttp_jobs.worker.interpreters import find_interpreters

from .keys import CONFIG, USERS
from .users import DEMO_ACCOUNTS, Account

SIGNED_IN_AS = "demo_app.user"
"""The session's field with the name of whoever is signed in."""

_HERE = Path(__file__).parent
_MODE_HINTS = {
    ExecutionMode.BACKGROUND_JOB: "a process of its own",
    ExecutionMode.RUNSPACE: "a warm worker from a pool",
    ExecutionMode.MAIN_LOOP: "inside this server, with its app in scope",
}
_ERRORS = {
    403: "This address shows nothing.",
    404: "There is no page at this address. Check its spelling.",
    405: "This address does not take that method.",
    413: "The form is too large.",
}
_SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

routes = web.RouteTableDef()
routes.static("/static", _HERE / "static")


@routes.get("/")
async def home(request: web.Request) -> web.Response:
    """What this is; for those who are signed in, their jobs."""
    account = await _account(request)
    config = request.app[CONFIG]
    modes = allowed_modes(config, account) if account else {}
    return await render(
        request,
        "home.html",
        api=f"{config.prefix}/api/v1",
        modes=modes,
        interpreters=sorted(find_interpreters(), key=lambda name: name != config.default_interpreter),
    )


@routes.get("/about")
async def about(request: web.Request) -> web.Response:
    config = request.app[CONFIG]
    versions = {
        "aiohttp-jobs": aiohttp_jobs.__version__,
        "aiohttp": aiohttp.__version__,
        "Python": platform.python_version(),
        "System": platform.platform(),
    }
    return await render(request, "about.html", versions=versions, prefix=config.prefix)


@routes.get("/health")
async def health(_request: web.Request) -> web.Response:
    """For monitors: JSON, for everybody."""
    return web.json_response(
        {"status": "ok", "version": aiohttp_jobs.__version__}, headers={"Cache-Control": "no-store"}
    )


@web.middleware
async def error_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns the failures of the demo's own routes into pages; the plugin answers for its own."""
    try:
        return await handler(request)
    except JobsError as error:
        return _error_page(request, error.status, error.message)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        message = _ERRORS.get(error.status) or error.text or error.reason
        response = _error_page(request, error.status, message)
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response


async def add_security_headers(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in _SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    # Nothing of one user's is shown again to the next by the browser's Back button.
    is_asset = request.path.startswith("/static/")
    response.headers.setdefault("Cache-Control", "no-cache" if is_asset else "no-store")


def allowed_modes(config: JobsConfig, account: Account) -> dict[ExecutionMode, str]:
    """The modes in which the account may run jobs, each with a hint."""
    roles = {*account.roles, "authenticated"}
    if not roles & config.endpoint_roles["submit"]:
        return {}
    return {mode: hint for mode, hint in _MODE_HINTS.items() if roles & config.mode_roles[mode]}


async def render(
    request: web.Request,
    template: str,
    *,
    status: int = 200,
    problem: str = "",
    name: str = "",
    **values: Any,
) -> web.Response:
    """The page made from `template`: whatever is put into it is text, never HTML."""
    user = (await get_session(request)).get(SIGNED_IN_AS)
    account = await _account(request)
    return _page(
        request,
        template,
        status,
        user=user if account else None,
        roles=account.roles if account else (),
        demo_accounts=DEMO_ACCOUNTS,
        problem=problem,
        name=name,
        **values,
    )


def _error_page(request: web.Request, status: int, message: str) -> web.Response:
    return _page(request, "error.html", status, user=None, message=message)


def _page(request: web.Request, template: str, status: int, **values: Any) -> web.Response:
    console = f"{request.app[CONFIG].prefix}/"
    text = _templates.get_template(template).render(console=console, **values)
    return web.Response(
        text=text, status=status, content_type="text/html", headers={"Cache-Control": "no-store"}
    )


async def _account(request: web.Request) -> Account | None:
    """The account of whoever is signed in, as it is now."""
    name = (await get_session(request)).get(SIGNED_IN_AS)
    if not isinstance(name, str):
        return None
    return await asyncio.to_thread(request.app[USERS].get, name)
