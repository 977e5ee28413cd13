"""From the command to the first notarised file, with engines built and no state."""

from __future__ import annotations

import time

from tests.support.consortium import Consortium

ROUNDS = 3


def measure(consortium: Consortium) -> list[tuple[str, str, str]]:
    """Start from nothing `ROUNDS` times; the consortium is down and without state afterwards."""
    ready, first = [], []
    for _ in range(ROUNDS):
        file = consortium.folder / "first.txt"
        file.write_text("the first file")
        begun = time.monotonic()
        consortium.up()
        ready.append(time.monotonic() - begun)
        consortium.run("notarize", file, "--state", consortium.state, "--receipts", consortium.folder / "receipts")
        first.append(time.monotonic() - begun)
        consortium.remove()
    return [
        ("`up` to all ready, no state before, engines built", f"{_range(ready)} s", ""),
        ("`up` to the first notarised file", f"{_range(first)} s", "≤ 20 s"),
    ]


def _range(values: list[float]) -> str:
    return " / ".join(f"{value:.1f}" for value in values)
