"""How a log record reads: one line, `action` first, then its fields. For people by default, JSON for machines."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from scheduler.daemon.request_context import REQUEST_IN_HAND

# What every LogRecord has; anything else was passed as a field.
_PLAIN = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {"message", "asctime", "taskName"}


class LogLines(logging.Formatter):
    """`2026-03-01T12:00:00Z info job_planned job=... reason="..."`."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(record)
        action = fields.pop("action")
        instant = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        if self._as_json:
            line = {"time": instant, "level": record.levelname.lower(), "action": action, **fields}
            return json.dumps(line, default=str, ensure_ascii=False)
        shown = " ".join(f"{name}={_shown(value)}" for name, value in fields.items())
        return f"{instant} {record.levelname.lower():<7} {action} {shown}".rstrip()


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """Ours name an action; what another library says becomes the text of one."""
    fields = {name: value for name, value in record.__dict__.items() if name not in _PLAIN}
    if "action" not in fields:
        fields = {"action": "library_message", "library": record.name, "text": record.getMessage()}
    if (request_id := REQUEST_IN_HAND.get()) and "request_id" not in fields:
        fields["request_id"] = request_id
    return fields


def set_up(*, as_json: bool, level: int = logging.INFO) -> None:
    """Send everything to stderr in this form; other libraries only from warnings on."""
    handler = logging.StreamHandler()
    handler.setFormatter(LogLines(as_json=as_json))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for package in ("scheduler", "intensity_feeds", "simulations", "slacktide"):
        logging.getLogger(package).setLevel(level)
    # It tells every repetition of a request; what came of it is our `feed_failed`.
    logging.getLogger("urllib3").setLevel(logging.ERROR)


def _shown(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if not text or any(mark in text for mark in ' "=\n') else text
