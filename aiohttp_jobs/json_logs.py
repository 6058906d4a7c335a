"""Logs as JSON, one object a line, with all that records carry as ``extra``: for hosts that want them so.

Imports nothing of the package, so that a logging configuration may name it.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

_OWN = frozenset(vars(logging.LogRecord("", 0, "", 0, "", None, None))) | {"message", "asctime", "taskName"}
_PLAIN = (str, int, float, bool, type(None))


class JsonFormatter(logging.Formatter):
    """``time`` (UTC), ``level``, ``logger``, ``message``, ``exception`` where there is one, and every extra.

    What a line break or a control character in a name would do to plain lines it cannot do here.
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
