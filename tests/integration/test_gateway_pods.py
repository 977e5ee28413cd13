"""The gateway where each node has an agent of its own, on the real haproxy and real agents."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from muniment.topology.layout import Layout
from tests.support.edge import Load, Rig
from tests.support.ports import port_block

pytestmark = [pytest.mark.anyio, pytest.mark.engines]


@pytest.fixture(scope="module")
def base() -> Iterator[int]:
    with port_block() as base:
        yield base


@pytest.fixture
async def rig(base: int, tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(tmp_path, base, Layout.PODS)
    try:
        await rig.start()
        yield rig
    finally:
        rig.stop()


async def test_each_node_stands_by_its_own_agents_word(rig: Rig) -> None:
    silent, judged, _ = rig.nodes
    rig.processes["alpha-agent-1"].kill()
    # Both are without peers now. Nobody says it of the first one, whose agent is dead: its last word counts.
    await rig.set(silent, peers=0)
    await rig.set(judged, peers=0)
    await rig.wait("alpha-agent-3", "api", f"/nodes/{silent}/ready", 503)
    await rig.wait_gateway({judged: False})
    await rig.wait_gateway(dict.fromkeys(rig.nodes, True) | {judged: False})
    rig.processes["alpha-agent-1"].start()
    await rig.wait_gateway({silent: False})


async def test_a_pod_that_is_lost_with_its_agent_costs_no_request(rig: Rig) -> None:
    victim = await rig.serving()
    agent = f"alpha-agent-{victim[-1]}"
    async with Load(rig.url("alpha-gateway", "rpc")) as load:
        await load.more(20)
        rig.processes[victim].kill()
        rig.processes[agent].kill()
        await rig.wait_gateway({name: name != victim for name in rig.nodes})
        await load.more(20)
        rig.processes[victim].start()
        rig.processes[agent].start()
        await rig.wait_gateway({victim: True})
        await load.more(20)
    assert load.failures == []
