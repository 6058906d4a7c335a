"""The API key made at the demo's first start, and the curl commands that use it.

The plugin keeps only a key's digest, so the key itself lies in a file of the demo's, readable by its
owner alone; otherwise a later start could not print it again. A real host shows a key once.
"""

from __future__ import annotations

from datetime import UTC, datetime

from aiohttp_jobs import JobsConfig
from aiohttp_jobs.assembly.keys_and_sessions import opened_access
from aiohttp_jobs.system.atomic import create_secret

from .users import DEMO_ACCOUNTS

FILE_NAME = "demo-api-key"
_NAME, _, _ROLES = DEMO_ACCOUNTS[0]


def demo_api_key(config: JobsConfig) -> str | None:
    """The demo's API key, which acts as admin; made if there is none yet.

    ``None`` when the key on file was disabled or deleted since. Blocks. Raises ``OSError``.
    """
    path = config.data_dir / FILE_NAME
    with opened_access(data_dir=config.data_dir, dsn=config.dsn, secret=config.secret) as access:
        keys = access.api_keys
        if not path.exists():
            record, secret = keys.create(name="demo", user_id=_NAME, roles=_ROLES, created_by="demo_app")
            if create_secret(path, f"{secret}\n".encode()).decode().strip() != secret:
                keys.delete(record.key_id)  # another demo started at the same moment and was first
        secret = path.read_text(encoding="utf-8", errors="replace").strip()
        key_id, now = secret.partition(".")[0], datetime.now(UTC)
        works = any(key.key_id == key_id and key.is_valid_at(now, None) for key in keys.all())
        return secret if works else None


def curl_commands(api: str, secret: str) -> str:
    """Shell lines that submit a job, wait for its result, read it and delete it; for pasting.

    `api` is the address of the plugin's API.
    """
    return rf"""
API='{api}' AUTH='Authorization: Bearer {secret}'
JOB=$(curl -sSw '\n' "$API/jobs/submit" -H "$AUTH" -H 'Content-Type: application/json' \
    -d '{{"jobName": "disk space", "command": "df -h .", "executionMode": "BackgroundJob"}}' \
    | tee /dev/stderr | grep -oE '[0-9a-f-]{{36}}')
until curl -sS "$API/jobs/results" -H "$AUTH" | grep "$JOB"; do sleep 1; done
curl -sSw '\n' -X DELETE "$API/jobs/results?jobId=$JOB" -H "$AUTH"
""".strip()
