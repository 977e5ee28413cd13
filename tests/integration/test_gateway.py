"""The gateway's promises, on the real haproxy and the real agent in front of fake nodes that can be killed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.support.edge import Load, Rig, get
from tests.support.ports import port_block

pytestmark = [pytest.mark.anyio, pytest.mark.engines]


@pytest.fixture(scope="module")
def base() -> Iterator[int]:
    with port_block() as base:
        yield base


@pytest.fixture
async def rig(base: int, tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(tmp_path, base)
    try:
        await rig.start()
        yield rig
    finally:
        rig.stop()


def gateway(rig: Rig) -> Load:
    return Load(rig.url("alpha-gateway", "rpc"))


async def test_a_killed_node_costs_no_request(rig: Rig) -> None:
    victim = await rig.serving()
    async with gateway(rig) as load:
        await load.more(20)
        rig.processes[victim].kill()
        await rig.wait_gateway({victim: False})
        await load.more(20)
        rig.processes[victim].start()
        await rig.wait_gateway({victim: True})
        await load.more(20)
    assert load.failures == []
    assert victim in {name for _, name in load.served}
    assert len({name for _, name in load.served}) > 1


async def test_the_agents_death_costs_no_request_and_changes_no_nodes_standing(rig: Rig) -> None:
    served_by = await rig.serving()
    unfit = next(name for name in rig.nodes if name != served_by)
    await rig.set(unfit, syncing={"currentBlock": "0x1"})
    await rig.wait_gateway({unfit: False})
    await rig.set(unfit, syncing=False, peers=0)
    await rig.wait_agent(f"/nodes/{unfit}/ready", 503)
    async with gateway(rig) as load:
        await load.more(20)
        rig.processes["alpha-agent"].kill()
        # Two seconds without an agent, that is four checks of each node and more than it needs to come back.
        await load.more(40)
        await rig.wait_gateway({name: name != unfit for name in rig.nodes})
        rig.processes["alpha-agent"].start()
        await rig.wait_agent("/live", 200)
        await load.more(20)
        await rig.wait_gateway({name: name != unfit for name in rig.nodes})
    assert load.failures == []
    assert {name for _, name in load.served} == {served_by}


async def test_a_node_that_dies_while_the_agent_is_dead_costs_no_request(rig: Rig) -> None:
    victim = await rig.serving()
    async with gateway(rig) as load:
        rig.processes["alpha-agent"].kill()
        await load.more(20)
        rig.processes[victim].kill()
        await rig.wait_gateway({victim: False})
        await load.more(20)
        rig.processes[victim].start()
        rig.processes["alpha-agent"].start()
        await rig.wait_gateway(dict.fromkeys(rig.nodes, True))
    assert load.failures == []


async def test_a_stale_node_gets_no_request_until_it_has_caught_up(rig: Rig) -> None:
    stale = await rig.serving()
    async with gateway(rig) as load:
        await load.more(20)
        for name in rig.nodes:
            if name != stale:
                await rig.set(name, head=110, time=1_700_000_010)
        await rig.wait_gateway({stale: False})
        cause = json.loads((await get(rig.url("alpha-agent", "api") + f"/nodes/{stale}/ready"))[1])["cause"]
        assert cause.startswith("10 blocks behind alpha-")
        before = await rig.asked(stale)
        await load.more(40)
        assert await rig.asked(stale) == before
        await rig.set(stale, head=110, time=1_700_000_010)
        await rig.wait_gateway({stale: True})
        await load.more(20)
    assert load.failures == []
    assert load.served[-1][1] == stale


async def test_maintenance_empties_a_node_and_survives_the_agent(rig: Rig) -> None:
    node = await rig.serving()
    path = rig.url("alpha-agent", "api") + f"/nodes/{node}/maintenance"
    assert (await get(path, "PUT"))[0] == 200
    await rig.wait_gateway({node: False})
    assert await rig.serving() != node
    rig.processes["alpha-agent"].kill()
    rig.processes["alpha-agent"].start()
    assert json.loads(await rig.wait_agent(f"/nodes/{node}/ready", 503))["cause"] == "in maintenance"
    await rig.wait_gateway({node: False})
    assert (await get(path, "DELETE"))[0] == 200
    await rig.wait_gateway({node: True})


async def test_without_a_fit_node_health_fails_and_clients_get_a_json_rpc_error(rig: Rig) -> None:
    health = rig.url("alpha-gateway", "rpc") + "/health"
    assert await get(health) == (200, '{"ready": true, "cause": ""}')
    for name in rig.nodes:
        await rig.set(name, peers=0)
    await rig.wait_gateway(dict.fromkeys(rig.nodes, False))
    assert await get(health) == (503, '{"ready": false, "cause": "no node is fit"}')
    status, body = await get(rig.url("alpha-gateway", "rpc"), "POST")
    assert status == 503
    assert "try again" in json.loads(body)["error"]["message"]


@pytest.mark.parametrize("port", ["ws", "rpc"])
async def test_websockets_pass_and_never_stay_on_an_unfit_node(rig: Rig, port: str) -> None:
    url = rig.url("alpha-gateway", port).replace("http", "ws")
    async with connect(url, proxy=None) as socket:
        await socket.send("who")
        node = str(await socket.recv())
        rig.processes["alpha-agent"].kill()
        rig.processes["alpha-agent"].start()
        await rig.wait_agent("/live", 200)
        await socket.send("who")
        assert await socket.recv() == node
        await rig.set(node, syncing={"currentBlock": "0x1"})
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(socket.recv(), 20)
    async with connect(url, proxy=None) as socket:
        await socket.send("who")
        assert await socket.recv() != node


async def test_a_large_transaction_is_repeated_when_its_node_dies_over_it(rig: Rig) -> None:
    victim = await rig.serving()
    await rig.set(victim, dies_at="test_length")
    transaction = "0x" + "00" * 60 * 1024
    url = rig.url("alpha-gateway", "rpc")
    assert await rig.call(url, "test_length", [transaction]) == len(transaction)
    assert await rig.serving() != victim


async def test_a_request_above_the_buffer_passes(rig: Rig) -> None:
    assert await rig.call(rig.url("alpha-gateway", "rpc"), "test_length", ["x" * 4_000_000]) == 4_000_000


async def test_the_metrics_port_shows_metrics_and_judgements_and_nothing_else(rig: Rig) -> None:
    url = rig.url("alpha-gateway", "metrics")
    assert (await get(f"{url}/metrics"))[0] == 200
    assert (await get(f"{url}/nodes/alpha-1/ready"))[0] == 200
    assert (await get(f"{url}/nodes/alpha-9/ready"))[0] == 404
    assert (await get(f"{url}/nodes/alpha-1/maintenance", "PUT"))[0] == 404
    assert (await get(f"{url}/live"))[0] == 404


async def test_the_agent_ends_on_sigterm_without_an_error(rig: Rig) -> None:
    assert rig.processes["alpha-agent"].terminate() == 0
