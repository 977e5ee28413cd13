"""kill -9 of each node in turn, under reads every 50 ms and writes every 100 ms at the gateway."""

from __future__ import annotations

import threading

from tests.support.consortium import Consortium
from tests.support.rpc import SteadyClient
from tests.support.waiting import MENDED
from tests.support.writer import Writer, longest_gap

WATCHED_SECONDS = 12.0


def measure(consortium: Consortium) -> list[tuple[str, str, str]]:
    """Failed requests, slowest answer, and the longest time without a new block."""
    gateway = consortium.member("alpha")["rpc"]
    failures, requests, slowest, gaps = 0, 0, 0.0, []
    for node in consortium.names("node"):
        consortium.wait_ready()
        with Writer(gateway) as writer, SteadyClient(gateway) as client:
            killer = threading.Timer(2.0, consortium.kill, [node])
            pid = consortium.workload(node)["pid"]
            killer.start()
            gaps.append(longest_gap(gateway, WATCHED_SECONDS))
            killer.join()
            consortium.wait_mended(node, pid, timeout=MENDED)
        failures += len(client.failures) + len(writer.failures)
        requests += client.requests + len(writer.sent)
        slowest = max(slowest, client.slowest)
    return [
        ("failed requests at the gateway, each node killed in turn", f"{failures} of {requests}", "0"),
        ("slowest read at the gateway meanwhile", f"{slowest:.2f} s", ""),
        ("longest time without a new block, per node killed", " / ".join(f"{gap:.1f}" for gap in gaps) + " s", "≤ 4 s"),
    ]
