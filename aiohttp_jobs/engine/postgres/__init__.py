"""The engine of many machines: jobs, results and records in a PostgreSQL database.

It is being built, and runs no jobs yet.
Nothing here is imported unless it is asked for, as it needs psycopg (``aiohttp-jobs[postgres]``).
"""
