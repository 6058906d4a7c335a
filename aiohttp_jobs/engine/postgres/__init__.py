"""The engine for many machines: jobs, results and records in a PostgreSQL database.

Imported only when it is configured, because it needs psycopg (``aiohttp-jobs[postgres]``).
"""
