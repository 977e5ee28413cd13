"""Logs of the services: one JSON object per line on standard error, from the standard `logging`.

Values go into `extra`: `log.info("node became fit", extra={"node": name})` writes
`{"time": …, "level": "info", "logger": …, "event": "node became fit", "node": …}`.
Not structlog: its import alone (it loads rich) takes longer than the rest of a service's start.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON, with what `extra` held, and a traceback as one string."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line.update({name: value for name, value in vars(record).items() if name not in _OWN_FIELDS})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure(level: int = logging.INFO) -> None:
    """Send everything of `level` and above from every logger of this process to standard error, as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # It writes one line per request that a client makes.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
