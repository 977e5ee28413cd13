"""Progress of long operations: drawn on a terminal, one JSON object a line otherwise; always on standard error."""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from muniment.kernel.events import Listener, Step


def listener() -> AbstractContextManager[Listener]:
    """A listener for the time of a `with` block."""
    if sys.stderr.isatty():
        # rich takes a third of a second to import, and scripts never need it.
        drawn: AbstractContextManager[Listener] = importlib.import_module("muniment.cli.drawing").listener()
        return drawn
    return lines()


@contextmanager
def lines() -> Iterator[Listener]:
    """Writes every step as a line: seconds since the beginning, subject, text, state, and counts when there are any."""
    begun = time.monotonic()

    def tell(step: Step) -> None:
        line: dict[str, object] = {
            "elapsed": round(time.monotonic() - begun, 2),
            "subject": step.subject,
            "text": step.text,
            "state": step.state,
        }
        counts = {"done": step.done, "total": step.total}
        line.update({name: count for name, count in counts.items() if count is not None})
        sys.stderr.write(json.dumps(line, ensure_ascii=False) + "\n")
        sys.stderr.flush()

    yield tell
