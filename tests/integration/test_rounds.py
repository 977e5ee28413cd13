"""Promise: after an outage of the quorum the chain goes on by itself, also while clients go on sending."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.support.consortium import Consortium
from tests.support.waiting import BLOCKS, STARTED, wait_until
from tests.support.writer import Writer

pytestmark = [pytest.mark.engines, pytest.mark.timeout(600)]

PAUSED = ("alpha-2", "alpha-3")
LATE_ROUND = "current.round=3"
"""A round that takes eight seconds: longer than anything that a validator does by itself meanwhile."""


def test_blocks_go_on_after_the_quorum_was_away_under_load(own_demo: Consortium) -> None:
    own_demo.up()
    gateway = own_demo.member("beta")["rpc"]
    with Writer(gateway) as writer:
        own_demo.wait_blocks(gateway, 2, timeout=BLOCKS)
        pids = [own_demo.workload(node)["pid"] for node in PAUSED]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        log = own_demo.state / "logs" / "beta-1.log"
        try:
            wait_until("a late round", lambda: LATE_ROUND in tail(log), timeout=STARTED)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        own_demo.wait_blocks(gateway, 3, timeout=BLOCKS)
    assert writer.sent


def tail(log: Path) -> str:
    """What a node said last."""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - 20_000))
        return stream.read().decode(errors="replace")
