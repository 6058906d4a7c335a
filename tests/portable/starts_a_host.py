"""What a host's own program does first, and what it is told."""

from __future__ import annotations

from aiohttp import web

import aiohttp_jobs

if __name__ == "__main__":
    try:
        aiohttp_jobs.setup(web.Application(), aiohttp_jobs.JobsConfig(data_dir="data"))
    except aiohttp_jobs.ConfigurationError as error:
        print(error)
