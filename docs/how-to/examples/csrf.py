"""An application with a middleware against cross-site request forgery for all of its routes."""

import secrets

from aiohttp import web
from aiohttp.typedefs import Handler

import aiohttp_jobs
from aiohttp_jobs import JobsConfig

COOKIE = "csrf"


@web.middleware
async def csrf_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what changes something unless it shows that it can read this site's cookie."""
    changes = request.method not in ("GET", "HEAD", "OPTIONS")
    # An API key is no cookie: no browser adds it to what another site asks for.
    with_key = request.headers.get("Authorization", "").startswith("Bearer ")
    signed_in = "PSWebSessionID" in request.cookies
    if changes and signed_in and not with_key:
        expected = request.cookies.get(COOKIE, "")
        shown = request.headers.get("X-CSRF-Token") or (await request.post()).get("csrf_token", "")
        if not expected or not secrets.compare_digest(str(shown).encode(), expected.encode()):
            raise web.HTTPForbidden(text="The CSRF token is missing or wrong. Reload the page.")
    response = await handler(request)
    if COOKIE not in request.cookies and not response.prepared:  # a stream is on its way already
        response.set_cookie(COOKIE, secrets.token_urlsafe(), samesite="Lax")
    return response


def make_app(config: JobsConfig) -> web.Application:
    """`config` has ``ui_csrf_cookie="csrf"``, so that the page sends the token."""
    app = web.Application(middlewares=[csrf_middleware])
    aiohttp_jobs.setup(app, config)
    return app
