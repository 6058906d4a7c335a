"""A small, real host application that mounts aiohttp-jobs: ``python -m demo_app``.

It has pages, users and sign-in of its own, as any host would; everything about jobs is the plugin's.
"""
