"""Log lines of the services."""

from __future__ import annotations

import json
import logging
import sys

from muniment.kernel.telemetry import JsonLines


def record(**extra: object) -> logging.LogRecord:
    return logging.getLogger("muniment.test").makeRecord(
        "muniment.test", logging.WARNING, "f", 1, "%s is late", ("alpha-1",), None, extra=extra
    )


def test_a_line_holds_the_event_and_its_values() -> None:
    line = json.loads(JsonLines().format(record(node="alpha-1", path=sys)))
    assert line.pop("time").endswith("+00:00")
    assert line.pop("path").startswith("<module")
    assert line == {"level": "warning", "logger": "muniment.test", "event": "alpha-1 is late", "node": "alpha-1"}


def test_a_traceback_stays_on_the_line() -> None:
    late = record()
    try:
        int("broken")
    except ValueError:
        late.exc_info = sys.exc_info()
    text = JsonLines().format(late)
    assert "\n" not in text
    assert "ValueError: invalid literal" in json.loads(text)["traceback"]
