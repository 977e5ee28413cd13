"""Promise: kill -9 of any one process is mended by itself, and a dead node is not noticed at the gateway."""

from __future__ import annotations

import pytest

from tests.support.consortium import Consortium
from tests.support.rpc import SteadyClient
from tests.support.waiting import BLOCKS, MENDED
from tests.support.writer import Writer

pytestmark = pytest.mark.engines

DEMO_WORKLOADS = [
    *(f"alpha-{i}" for i in (1, 2, 3)),
    "beta-1",
    *(f"alpha-privacy-{i}" for i in (1, 2, 3)),
    "beta-privacy-1",
    *(f"alpha-{kind}-{i}" for kind in ("kubo", "cluster") for i in (1, 2, 3)),
    *(f"{member}-{service}" for member in ("alpha", "beta") for service in ("agent", "gateway")),
    "alpha-notary",
]


def test_the_list_below_is_the_whole_demo(demo: Consortium) -> None:
    assert sorted(demo.names()) == sorted(DEMO_WORKLOADS)


@pytest.mark.parametrize("workload", DEMO_WORKLOADS)
def test_killed_process_comes_back_and_blocks_go_on(demo: Consortium, workload: str) -> None:
    # beta has one node and each member one gateway: who asks there meets the very process that was killed.
    gateway = demo.member("beta" if workload == "alpha-gateway" else "alpha")["rpc"]
    with Writer(gateway) as writer, SteadyClient(gateway) as client:
        pid = demo.kill(workload)
        demo.wait_blocks(gateway, timeout=BLOCKS)
        demo.wait_mended(workload, pid, timeout=MENDED)
    assert not client.failures
    assert client.requests > 10
    assert writer.sent
    assert not writer.failures
    assert demo.workload(workload)["restarts"] >= 1
