"""A log formatter that writes one JSON object a line, including every ``extra`` of a record.

Imports nothing of the package, so that a logging configuration can name it.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

_OWN = frozenset(vars(logging.LogRecord("", 0, "", 0, "", None, None))) | {"message", "asctime", "taskName"}
_PLAIN = (str, int, float, bool, type(None))


class JsonFormatter(logging.Formatter):
    """Writes ``time`` (UTC), ``level``, ``logger``, ``message``, ``exception`` if there is one, and every
    extra.

    Line breaks and control characters are escaped, so a job's name cannot forge a line.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        moment = datetime.fromtimestamp(record.created, UTC)
        told: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        for name, value in vars(record).items():
            if name not in _OWN and value is not None:
                told.setdefault(name, value if isinstance(value, _PLAIN) else str(value))
        return json.dumps(told)
