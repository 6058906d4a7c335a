"""The plugin inside a sub-application of the host's: its page is at /internal/jobs/."""

import aiohttp_session
from aiohttp import web
from aiohttp_session.cookie_storage import EncryptedCookieStorage
from cryptography.fernet import Fernet

import aiohttp_jobs
from aiohttp_jobs import JobsConfig


def make_app(config: JobsConfig) -> web.Application:
    """`config` has ``prefix="/jobs"``: relative to the sub-application."""
    internal = web.Application()
    aiohttp_jobs.setup(internal, config)
    app = web.Application()
    # Sign-in is in the application around it, which therefore keeps the sessions. Keep the key in a
    # file: with a new one everybody is signed out.
    aiohttp_session.setup(app, EncryptedCookieStorage(Fernet(Fernet.generate_key())))
    app.add_subapp("/internal", internal)
    return app
