"""``python -m aiohttp_jobs.cli`` is the ``aiohttp-jobs`` command."""

from . import main

main()
