"""The application that the pages on deploying serve. Settings come from ``AIOHTTP_JOBS_*`` variables."""

from aiohttp import web

import aiohttp_jobs


def make_app() -> web.Application:
    app = web.Application()
    aiohttp_jobs.setup(app)
    return app


app = make_app()

if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=8080)
