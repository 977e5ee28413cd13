"""Promise: a lost volume is rebuilt from its identity and resynchronises by itself."""

from __future__ import annotations

import shutil

import pytest

from tests.support import rpc
from tests.support.consortium import Consortium
from tests.support.waiting import MENDED, wait_until
from tests.support.writer import Writer

pytestmark = pytest.mark.engines


@pytest.mark.parametrize("workload", ["alpha-2", "alpha-kubo-2", "alpha-cluster-2"])
def test_lost_volume_is_rebuilt(demo: Consortium, workload: str) -> None:
    gateway = demo.member("alpha")["rpc"]
    volume = demo.state / "data" / workload
    with Writer(gateway):
        demo.wait_blocks(gateway, 3, timeout=MENDED)
        # The name goes first, so that the process never finds half of its volume.
        lost = volume.rename(volume.with_name(f"lost-{workload}"))
        pid = demo.kill(workload)
        shutil.rmtree(lost)
        demo.wait_mended(workload, pid, timeout=2 * MENDED)
        if demo.workload(workload)["role"] == "node":
            own = demo.endpoint(workload)
            wait_until("the rebuilt node to follow", lambda: rpc.head(own) >= rpc.head(gateway) - 1, timeout=MENDED)
            assert rpc.block_hash(own, 1) == rpc.block_hash(gateway, 1)
    demo.wait_ready(timeout=MENDED)
