"""The engine of many machines: jobs, results and records in a PostgreSQL database.

Nothing outside imports it but what puts the plugin together.
Nothing here is imported unless it is asked for, as it needs psycopg (``aiohttp-jobs[postgres]``).
"""
