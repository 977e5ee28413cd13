"""Real IPFS peers from their rendered workloads: a private full mesh that survives every stop, and content in it."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from muniment.clients.ipfs import PINNED, ImportStat
from muniment.engines.build import ensure_engines
from muniment.kernel.errors import PermanentError, TemporaryError
from muniment.kernel.waiting import NotYetError, wait_for
from muniment.notary import directory
from muniment.notary.car import car
from muniment.proof import unixfs
from muniment.topology import multiaddr
from muniment.topology.model import Program
from tests.support.ipfs import SETTLED, STOPPED, Peers
from tests.support.ports import port_block

pytestmark = [pytest.mark.engines, pytest.mark.anyio]

MIB = 1 << 20
ADD = ("add", "-n", "-Q", "--cid-version", "1", "--raw-leaves", "--chunker", "size-1048576", "--max-file-links", "174")

FAULTS = {
    "stop-one": ("stop", [2], [2]),
    "kill-one": ("kill", [1], [1]),
    "stop-two": ("stop", [3, 1], [1, 3]),
    "kill-two": ("kill", [2, 3], [3, 2]),
    "stop-all": ("stop", [1, 2, 3], [3, 1, 2]),
    "kill-all": ("kill", [3, 2, 1], [2, 3, 1]),
}
"""What happens, to which peers, and the order in which they start again."""


@pytest.fixture(scope="session")
def ipfs_engines() -> dict[str, Path]:
    """The two engines of a peer, by name."""
    return ensure_engines(names=[Program.IPFS, Program.CLUSTER_SERVICE])


@pytest.fixture(scope="session")
def peers_session(ipfs_engines: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peers]:
    """Three peers, started once. Use `peers`, which also sees to it that all run and see one another."""
    with port_block() as base, Peers(ipfs_engines, tmp_path_factory.mktemp("peers"), base) as peers:
        peers.start()
        yield peers


@pytest.fixture
async def peers(peers_session: Peers) -> Peers:
    """Three peers in a full mesh."""
    peers_session.start()
    await peers_session.wait_mesh()
    return peers_session


def workloads_of(indexes: Iterable[int]) -> list[str]:
    return [name for index in indexes for name in (f"alpha-cluster-{index}", f"alpha-kubo-{index}")]


async def stored_batch(
    peers: Peers, contents: Sequence[bytes], on: Sequence[int] = (1, 2), width: int = 1
) -> directory.Directory:
    """Store files as one batch on the peers `on`, and wait until both say that they hold it pinned."""
    summaries = [unixfs.summary_of(content) for content in contents]
    built = directory.build((f"{number:0{width}d}", summary) for number, summary in enumerate(summaries))

    async def chunks() -> AsyncIterator[bytes]:
        for chunk in car(built.root, built.nodes, ((s, (c,)) for s, c in zip(summaries, contents, strict=True))):
            yield chunk

    async def imported(index: int) -> ImportStat:
        async with peers.kubo(index) as kubo:
            return await kubo.import_car(chunks())

    assert len(set(await asyncio.gather(*(imported(index) for index in on)))) == 1
    holders = [peers.member.peers[index - 1].cluster_id for index in on]
    async with peers.cluster(on[0]) as cluster:
        allocated = await cluster.pin(built.root, minimum=len(on), maximum=len(on), allocations=holders, name="batch")
    assert len(allocated) == len(on)
    await wait_pinned(peers, built.root, ask=on[0])
    return built


async def wait_pinned(peers: Peers, cid: str, *, ask: int, copies: int = 2) -> None:
    """Wait until so many peers say that they hold `cid` pinned."""

    async def probe() -> None:
        try:
            async with peers.cluster(ask) as cluster:
                status = await cluster.pin_status(cid)
        except TemporaryError as error:
            raise NotYetError(str(error)) from error
        if list(status.values()).count(PINNED) < copies:
            raise NotYetError(str(status))

    await wait_for(f"the pin of {cid}", probe, timeout=SETTLED)


async def read(peers: Peers, index: int, path: str) -> bytes:
    async with peers.kubo(index) as kubo:
        return b"".join([piece async for piece in kubo.cat(path)])


async def pinned_as(peers: Peers, index: int, cid: str) -> str | None:
    async with peers.kubo(index) as kubo:
        return await kubo.pin_ls(cid)


def ipfs_command(peers: Peers, engines: dict[str, Path], *arguments: str, content: bytes = b"") -> bytes:
    """The output of the `ipfs` command, asked of the first kubo."""
    environment = dict(os.environ, IPFS_PATH=str(peers.addresses.data("alpha-kubo-1")), IPFS_TELEMETRY="off")
    command = [str(engines[Program.IPFS]), *arguments]
    return subprocess.run(command, env=environment, input=content, capture_output=True, check=True, timeout=60).stdout


async def test_peers_find_one_another_without_help(ipfs_engines: dict[str, Path], tmp_path: Path) -> None:
    with port_block() as base, Peers(ipfs_engines, tmp_path, base) as peers:
        peers.start()
        await peers.wait_mesh(connect=False)


async def test_a_batch_is_held_by_two_peers_and_read_from_the_third(peers: Peers) -> None:
    contents = [b"", b"a small file", random.Random(1).randbytes(3 * MIB + 5), bytes(MIB)]
    built = await stored_batch(peers, contents)
    for number, content in enumerate(contents):
        assert await read(peers, 3, f"{built.root}/{built.path_of(str(number))}") == content
        assert await read(peers, 3, unixfs.cid_of(content)) == content
    pinned = [await pinned_as(peers, index, built.root) for index in (1, 2, 3)]
    assert sorted(map(str, pinned)) == ["None", "recursive", "recursive"]


async def test_a_batch_with_an_empty_file_reaches_a_peer_that_was_not_given_it(peers: Peers) -> None:
    built = await stored_batch(peers, [b"", os.urandom(16)])
    async with peers.cluster(1) as cluster:
        await cluster.pin(built.root, minimum=3, maximum=3)
    await wait_pinned(peers, built.root, ask=1, copies=3)


async def test_the_ipfs_command_finds_files_by_path_also_in_a_split_directory(
    peers: Peers, ipfs_engines: dict[str, Path]
) -> None:
    built = await stored_batch(peers, [f"file number {number}".encode() for number in range(3000)], width=200)
    path = built.path_of(f"{2888:0200d}")
    assert "/" in path
    assert ipfs_command(peers, ipfs_engines, "cat", f"{built.root}/{path}") == b"file number 2888"


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 30 * MIB + 12_345])
async def test_cids_are_those_of_ipfs_add(peers: Peers, ipfs_engines: dict[str, Path], size: int) -> None:
    content = random.Random(size).randbytes(size)
    assert ipfs_command(peers, ipfs_engines, *ADD, content=content).decode().strip() == unixfs.cid_of(content)


async def test_a_cid_above_one_full_node_is_that_of_ipfs_add(
    peers: Peers, ipfs_engines: dict[str, Path], tmp_path: Path
) -> None:
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as stream:
        stream.truncate(174 * MIB + 1)
    hasher = unixfs.FileHasher()
    with sparse.open("rb") as stream:
        while piece := stream.read(MIB):
            hasher.update(piece)
    assert ipfs_command(peers, ipfs_engines, *ADD, str(sparse)).decode().strip() == hasher.finish().cid


@pytest.mark.parametrize("fault", FAULTS)
async def test_the_mesh_the_pins_and_the_peerstore_survive(peers: Peers, fault: str) -> None:
    how, hit, order = FAULTS[fault]
    content = os.urandom(16)
    built = await stored_batch(peers, [content])
    rendered = {index: peers.peerstore(index).read_text() for index in (1, 2, 3)}
    getattr(peers, how)(*workloads_of(hit))
    for index in hit:
        left = set(peers.peerstore(index).read_text().splitlines())
        own = peers.member.peers[index - 1].cluster_id
        # Whatever a peer wrote at its stop, it lost nobody.
        assert {line for line in rendered[index].splitlines() if own not in line} <= left
    peers.start(*workloads_of(order))
    await peers.wait_mesh()
    assert {index: peers.peerstore(index).read_text() for index in (1, 2, 3)} == rendered
    await wait_pinned(peers, built.root, ask=order[0])
    assert await read(peers, 3, f"{built.root}/{built.path_of('0')}") == content


async def test_a_pin_that_was_confirmed_survives_that_everything_is_killed_at_once(peers: Peers) -> None:
    built = await stored_batch(peers, [os.urandom(16)])
    peers.kill(*peers.workloads)
    peers.start()
    await peers.wait_mesh()
    await wait_pinned(peers, built.root, ask=3)


async def test_emptied_peerstores_are_written_anew(peers: Peers) -> None:
    peers.stop(*workloads_of([1, 2, 3]))
    for index in (1, 2, 3):
        peers.peerstore(index).write_text("")
    peers.start()
    await peers.wait_mesh()
    assert all(len(peers.peerstore(index).read_text().splitlines()) == 3 for index in (1, 2, 3))


async def test_engines_leave_their_rendered_files_alone(peers: Peers) -> None:
    peers.stop(*workloads_of([1]))
    for name in workloads_of([1]):
        found = {path: path.read_text() for path in peers.rendered(name) if path.name != "peerstore"}
        peers.materialise(name)
        assert {path: path.read_text() for path in found} == found


async def test_a_wrong_password_is_refused_for_good(peers: Peers) -> None:
    async with peers.cluster(1, password="wrong") as cluster:
        with pytest.raises(PermanentError, match="refuses the user or the password"):
            await cluster.id()


async def test_a_pin_on_more_peers_than_there_are_says_so(peers: Peers) -> None:
    async with peers.cluster(1) as cluster:
        with pytest.raises(TemporaryError, match="not enough peers"):
            await cluster.pin(unixfs.cid_of(b"nowhere"), minimum=4, maximum=5)


@pytest.mark.parametrize("content", [b"rubbish", bytes(64)], ids=["text", "zeros"])
async def test_kubo_refuses_what_is_no_car_while_it_is_sent(peers: Peers, content: bytes) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield content * (MIB // len(content))

    async with peers.kubo(1) as kubo:
        with pytest.raises(TemporaryError):
            await kubo.import_car(chunks())
        assert (await kubo.id()).peer_id == peers.member.peers[0].kubo_id


async def test_a_car_that_is_cut_off_is_refused(peers: Peers) -> None:
    content = random.Random(2).randbytes(2 * MIB)
    summary = unixfs.summary_of(content)
    built = directory.build([("file", summary)])
    whole = b"".join(car(built.root, built.nodes, [(summary, (content,))]))

    async def chunks() -> AsyncIterator[bytes]:
        yield whole[: len(whole) // 2]

    async with peers.kubo(1) as kubo:
        with pytest.raises(TemporaryError, match="EOF"):
            await kubo.import_car(chunks())


async def test_kubo_refuses_to_start_without_the_swarm_key(ipfs_engines: dict[str, Path], tmp_path: Path) -> None:
    with port_block() as base, Peers(ipfs_engines, tmp_path, base, 1) as peers:
        name = "alpha-kubo-1"
        peers.materialise(name)
        peers.swarm_key(1).unlink()
        assert peers.spawn(peers.workloads[name]).wait(STOPPED) != 0
        assert "private network was not configured but is enforced" in peers.log(name).read_text()


async def test_a_kubo_with_another_swarm_key_stays_outside(
    peers: Peers, ipfs_engines: dict[str, Path], tmp_path: Path
) -> None:
    ours = multiaddr.of_peer(peers.workloads["alpha-kubo-1"].port("swarm").reach, peers.member.peers[0].kubo_id)
    with port_block() as base, Peers(ipfs_engines, tmp_path, base, 1) as stranger:
        stranger.start()
        await stranger.wait_mesh()
        async with stranger.kubo(1) as kubo:
            with pytest.raises(TemporaryError, match="failed to dial"):
                await kubo.swarm_connect(ours)
