"""Discovery: what managers tell one another, what is believed of it, and what a hostile announcer cannot do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from muniment.clients.privacy_peer import VERSIONS_HEADER, PeerClient, versions_of
from muniment.kernel.errors import MunimentError, TemporaryError
from muniment.kernel.waiting import NotYetError, wait_for
from muniment.privacy import discovery as discovering
from muniment.privacy.boxes import KeyPair
from muniment.privacy.discovery import Discovery
from muniment.privacy.enclave import Enclave
from muniment.privacy.envelope import decode
from muniment.privacy.errors import MalformedError, NotReadyError, PeerRefusedError, RuleError
from muniment.privacy.party_info import PartyInfo, encode
from muniment.privacy.party_info import decode as decode_info
from muniment.privacy.peers import StoredPeers
from muniment.privacy.receiving import Receiver
from muniment.privacy.store import SqlStore, open_store
from muniment.privacy.values import Peer
from tests.unit.privacy_payloads import ALPHA, BETA, A, B, C

pytestmark = pytest.mark.anyio

URL_A, URL_B, URL_C = "http://alpha:9001/", "http://beta:9001/", "http://gamma:9001/"
VERSIONS = frozenset({"v1", "v2", "2.1", "3.0", "4.0"})


@dataclass
class Net:
    """Managers by host and port, in this process; `heard` are the announcements that came, by URL."""

    managers: dict[str, Manager] = field(default_factory=dict)
    heard: list[tuple[str, PartyInfo]] = field(default_factory=list)
    away: set[str] = field(default_factory=set)
    asked: int = 0
    """Challenges that were sent."""

    def connect(self, url: str) -> PeerClient:
        return PeerClient(url, transport=httpx2.MockTransport(self._answer))

    async def _answer(self, request: httpx2.Request) -> httpx2.Response:
        url = f"{request.url.scheme}://{request.url.netloc.decode()}/"
        manager = self.managers.get(url)
        self.asked += request.url.path.endswith("validate")
        if manager is None or url in self.away:
            raise httpx2.ConnectError("refused")
        try:
            if request.url.path == "/partyinfo":
                self.heard.append((url, decode_info(request.content)))
                lines = request.headers.get_list(VERSIONS_HEADER)
                await manager.discovery.hear(request.content, versions_of(lines))
                return httpx2.Response(200)
            return httpx2.Response(200, text=manager.receiver.answer_challenge(decode(request.content)))
        except MunimentError as error:
            return httpx2.Response(500, text=str(error))

    def told(self, url: str) -> int:
        return sum(each == url for each, _ in self.heard)


@dataclass
class Manager:
    """One manager."""

    store: SqlStore
    peers: StoredPeers
    discovery: Discovery
    receiver: Receiver

    async def table(self) -> dict[str, frozenset[bytes]]:
        return {peer.url: peer.keys for peer in await self.store.peers()}


@contextlib.asynccontextmanager
async def manager(folder: Path, net: Net, url: str, enclave: Enclave, **options: Any) -> AsyncIterator[Manager]:
    store = open_store("sqlite", None, folder.with_suffix(".sqlite"))
    await store.migrate()
    peers = StoredPeers(store, net.connect)
    options = {"configured": (), "everybody": True, "validates": True, **options}
    made = Manager(store, peers, Discovery(enclave, store, peers, url=url, **options), Receiver(enclave, store))
    net.managers[url] = made
    try:
        yield made
    finally:
        await peers.close()
        await store.close()


@contextlib.asynccontextmanager
async def running(*managers: Manager, seconds: float = 0.05) -> AsyncIterator[None]:
    stopping = asyncio.Event()
    tasks = [asyncio.create_task(each.discovery.run(seconds, stopping)) for each in managers]
    try:
        yield
    finally:
        stopping.set()
        await asyncio.gather(*tasks)


async def eventually(what: str, condition: Callable[[], bool]) -> None:
    async def probe() -> None:
        if not condition():
            raise NotYetError(what)

    await wait_for(what, probe, timeout=5, interval=0.01)


async def eventually_knows(one: Manager, expected: dict[str, frozenset[bytes]]) -> None:
    async def probe() -> None:
        if (table := await one.table()) != expected:
            raise NotYetError(str(sorted(table)))

    await wait_for("the table", probe, timeout=5, interval=0.01)


@pytest.fixture
async def alpha(tmp_path: Path) -> AsyncIterator[tuple[Manager, Net]]:
    net = Net()
    async with manager(tmp_path / "alpha", net, URL_A, ALPHA) as one, manager(tmp_path / "beta", net, URL_B, BETA):
        yield one, net


def info_of_b(*more: tuple[bytes, str], parties: tuple[str, ...] = (), url: str = URL_B) -> bytes:
    return encode(PartyInfo(url, ((B, url), *more), parties))


# Announcing


async def test_two_members_come_to_know_each_other(tmp_path: Path) -> None:
    net = Net()
    async with (
        manager(tmp_path / "a", net, URL_A, ALPHA, configured=["http://beta:9001"]) as a,
        manager(tmp_path / "b", net, URL_B, BETA) as b,
        running(a, b),
    ):
        await eventually_knows(b, {URL_A: frozenset({A})})
        await eventually_knows(a, {URL_B: frozenset({B})})
        assert (await b.peers.resolve([A]))[A].versions == VERSIONS


async def test_what_is_announced(tmp_path: Path) -> None:
    net = Net()
    async with manager(tmp_path / "a", net, URL_A, ALPHA, configured=[URL_B, URL_A, "http://beta:9001"]) as one:
        await one.store.announce(Peer(URL_C, frozenset({C})))
        await one.store.learn(["http://rumour:9001/"])
        async with manager(tmp_path / "b", net, URL_B, BETA):
            await one.discovery.announce_once()
    assert net.heard == [(URL_B, PartyInfo(URL_A, ((A, URL_A),), (URL_B, URL_C)))]


async def test_a_configured_peer_is_told_as_soon_as_it_is_there(tmp_path: Path) -> None:
    net = Net(away={URL_B})
    async with (
        manager(tmp_path / "a", net, URL_A, ALPHA, configured=[URL_B]) as a,
        manager(tmp_path / "b", net, URL_B, BETA) as b,
        running(a, seconds=1.0),
    ):
        await asyncio.sleep(0)
        net.away.clear()
        await eventually_knows(b, {URL_A: frozenset({A})})


async def test_announcing_goes_on_for_ever_and_by_one_replica(tmp_path: Path) -> None:
    net = Net()
    async with (
        manager(tmp_path / "b", net, URL_B, BETA, validates=False),
        manager(tmp_path / "a", net, URL_A, ALPHA, configured=[URL_B]) as one,
        manager(tmp_path / "a", net, URL_A, ALPHA, configured=[URL_B]) as two,
        running(one, two, seconds=0.2),
    ):
        await eventually("announcements of both", lambda: net.told(URL_B) >= 2)
        before = asyncio.get_running_loop().time()
        await eventually("further announcements", lambda: net.told(URL_B) >= 7)
        assert asyncio.get_running_loop().time() - before >= 4 * 0.2


async def test_when_the_announcing_replica_dies_the_other_goes_on(tmp_path: Path) -> None:
    net = Net()
    async with (
        manager(tmp_path / "b", net, URL_B, BETA, validates=False),
        manager(tmp_path / "a", net, URL_A, ALPHA, configured=[URL_B]) as one,
        manager(tmp_path / "a", net, URL_A, ALPHA, configured=[URL_B]) as two,
    ):
        async with running(one):
            await eventually("the first", lambda: net.told(URL_B) >= 3)
        async with running(two):
            told = net.told(URL_B)
            await eventually("the second", lambda: net.told(URL_B) >= told + 3)


async def test_learned_urls_are_told_and_dead_ones_less_and_less(tmp_path: Path) -> None:
    net = Net()
    calls: list[str] = []

    def connect(url: str) -> PeerClient:
        return PeerClient(url, transport=httpx2.MockTransport(lambda request: _note(request, calls)))

    def _note(request: httpx2.Request, seen: list[str]) -> httpx2.Response:
        seen.append(f"{request.url.scheme}://{request.url.netloc.decode()}/")
        if "dead" in seen[-1]:
            raise httpx2.ConnectError("refused")
        return httpx2.Response(200)

    async with manager(tmp_path / "a", net, URL_A, ALPHA) as one:
        one.peers._connect = connect
        await one.store.learn([URL_B, "http://dead:9001/"])
        async with running(one, seconds=0.02):
            await eventually("many announcements", lambda: calls.count(URL_B) >= 20)
    assert 1 <= calls.count("http://dead:9001/") <= 7


async def test_an_absent_database_does_not_stop_announcements(tmp_path: Path) -> None:
    net = Net()

    class Away(SqlStore):
        async def peers(self) -> Any:
            raise TemporaryError("the database is away")

        async def take_lease(self, name: str, holder: str, seconds: float) -> bool:
            raise TemporaryError("the database is away")

    async with manager(tmp_path / "b", net, URL_B, BETA, validates=False) as b:
        peers = StoredPeers(b.store, net.connect)
        away = Away(b.store._database)
        lonely = Discovery(ALPHA, away, peers, url=URL_A, configured=[URL_B], everybody=True, validates=True)
        async with running(Manager(away, peers, lonely, Receiver(ALPHA, away))):
            await eventually("announcements", lambda: net.told(URL_B) >= 3)
        await peers.close()


# Hearing


async def test_only_the_announcers_own_keys_are_believed(alpha: tuple[Manager, Net]) -> None:
    one, _ = alpha
    await one.discovery.hear(info_of_b((C, URL_C), (A, URL_B)), VERSIONS)
    assert await one.table() == {URL_B: frozenset({B})}


@pytest.mark.parametrize(("said", "place"), [("http://beta:9001", URL_B), (URL_B, "http://beta:9001")])
async def test_a_final_slash_makes_no_difference(alpha: tuple[Manager, Net], said: str, place: str) -> None:
    one, _ = alpha
    await one.discovery.hear(encode(PartyInfo(said, ((B, place),))), VERSIONS)
    assert await one.table() == {URL_B: frozenset({B})}


async def test_a_key_must_be_shown(alpha: tuple[Manager, Net]) -> None:
    one, _ = alpha
    await one.discovery.hear(info_of_b((C, URL_B)), VERSIONS)
    assert await one.table() == {URL_B: frozenset({B})}
    with pytest.raises(PeerRefusedError, match="none of the keys"):
        await one.discovery.hear(encode(PartyInfo(URL_B, ((C, URL_B),))), VERSIONS)
    assert await one.table() == {URL_B: frozenset({B})}


async def test_a_stranger_cannot_empty_a_members_entry(alpha: tuple[Manager, Net]) -> None:
    one, net = alpha
    await one.discovery.hear(info_of_b(), VERSIONS)
    for keys in ((), ((C, URL_B),), ((B, URL_C),)):
        with pytest.raises(PeerRefusedError):
            await one.discovery.hear(encode(PartyInfo(URL_B, keys)), VERSIONS)
    with pytest.raises(PeerRefusedError):
        await one.discovery.hear(encode(PartyInfo(URL_C, ((B, URL_C),))), VERSIONS)
    assert await one.table() == {URL_B: frozenset({B})}
    assert set(one.peers._clients) <= {URL_B}
    del net


async def test_a_key_stays_when_its_owner_could_only_not_be_asked(alpha: tuple[Manager, Net]) -> None:
    one, net = alpha
    await one.store.announce(Peer(URL_B, frozenset({B})))
    net.away.add(URL_B)
    await one.discovery.hear(info_of_b((C, URL_B)), VERSIONS)
    assert await one.table() == {URL_B: frozenset({B})}


async def test_a_key_that_was_shown_lately_is_not_asked_for_again(alpha: tuple[Manager, Net]) -> None:
    one, net = alpha
    for _ in range(5):
        await one.discovery.hear(info_of_b(), VERSIONS)
    assert net.asked == 1


async def test_without_validation_the_announcer_is_believed(tmp_path: Path) -> None:
    net = Net()
    async with manager(tmp_path / "a", net, URL_A, ALPHA, validates=False) as one:
        await one.discovery.hear(info_of_b((C, URL_B)), VERSIONS)
        assert await one.table() == {URL_B: frozenset({B, C})}
        assert net.asked == 0


async def test_a_key_stays_with_the_url_that_owns_it(tmp_path: Path) -> None:
    async with manager(tmp_path / "a", Net(), URL_A, ALPHA, validates=False) as one:
        await one.discovery.hear(info_of_b(), VERSIONS)
        await one.discovery.hear(info_of_b(url=URL_C), VERSIONS)
        assert await one.table() == {URL_B: frozenset({B}), URL_C: frozenset()}


async def test_with_discovery_off_only_configured_peers_are_heard(tmp_path: Path) -> None:
    net = Net()
    options: dict[str, Any] = {"everybody": False, "configured": ["http://beta:9001"]}
    async with (
        manager(tmp_path / "a", net, URL_A, ALPHA, **options) as one,
        manager(tmp_path / "b", net, URL_B, BETA),
    ):
        await one.discovery.hear(info_of_b(parties=(URL_C,)), VERSIONS)
        assert await one.table() == {URL_B: frozenset({B})}
        with pytest.raises(RuleError, match="discovery is off"):
            await one.discovery.hear(encode(PartyInfo(URL_C, ((C, URL_C),))), VERSIONS)
        await one.store.learn([URL_C])
        await one.discovery.announce_once()
        assert [url for url, _ in net.heard] == [URL_B]


async def test_urls_are_learned_but_not_our_own(alpha: tuple[Manager, Net]) -> None:
    one, _ = alpha
    parties = (URL_A, "http://alpha:9001", URL_B, URL_C, "http://gamma:9001", "gopher://x/", "rubbish", "http://u@x/")
    await one.discovery.hear(info_of_b(parties=parties), VERSIONS)
    assert set(await one.table()) == {URL_B, URL_C}


async def test_our_own_announcement_is_no_news(alpha: tuple[Manager, Net]) -> None:
    one, net = alpha
    await one.discovery.hear(encode(PartyInfo("http://alpha:9001", ((A, URL_A), (C, URL_A)), (URL_C,))), VERSIONS)
    assert await one.table() == {}
    assert net.asked == 0


async def test_members_with_tls_hear_only_such(tmp_path: Path) -> None:
    async with manager(tmp_path / "a", Net(), "https://alpha:9001/", ALPHA, validates=False) as one:
        with pytest.raises(RuleError, match="https"):
            await one.discovery.hear(info_of_b(), VERSIONS)
        info = info_of_b(url="https://beta:9001/", parties=(URL_C, "https://gamma:9001/"))
        await one.discovery.hear(info, VERSIONS)
        assert set(await one.table()) == {"https://beta:9001/", "https://gamma:9001/"}


@pytest.mark.parametrize("data", [b"", b"\xff" * 8, b"\x00" * 24, info_of_b()[:-1], info_of_b() + b"\x00"])
async def test_rubbish(alpha: tuple[Manager, Net], data: bytes) -> None:
    one, _ = alpha
    with pytest.raises(MalformedError):
        await one.discovery.hear(data, VERSIONS)
    assert await one.table() == {}


async def test_too_many_keys_are_refused_before_anything_is_asked(alpha: tuple[Manager, Net]) -> None:
    one, net = alpha
    keys = tuple((number.to_bytes(32, "big"), URL_B) for number in range(discovering.MOST_KEYS_OF_A_PEER + 1))
    with pytest.raises(MalformedError, match="at most"):
        await one.discovery.hear(encode(PartyInfo(URL_B, keys)), VERSIONS)
    assert net.asked == 0


async def test_keys_that_are_no_points_are_not_believed(alpha: tuple[Manager, Net]) -> None:
    one, _ = alpha
    await one.discovery.hear(info_of_b((b"\x00" * 32, URL_B), (b"\x01" + b"\x00" * 31, URL_B)), VERSIONS)
    assert await one.table() == {URL_B: frozenset({B})}


async def test_the_table_does_not_grow_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovering, "MOST_PEERS", 5)
    async with manager(tmp_path / "a", Net(), URL_A, ALPHA, validates=False) as one:
        await one.discovery.hear(info_of_b(parties=tuple(f"http://h{n}:1/" for n in range(4000))), VERSIONS)
        assert len(await one.table()) == 5
        with pytest.raises(RuleError, match="known already"):
            await one.discovery.hear(encode(PartyInfo(URL_C, ((C, URL_C),))), VERSIONS)
        await one.discovery.hear(info_of_b(), VERSIONS)


async def test_few_are_heard_at_once(alpha: tuple[Manager, Net], monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = alpha
    monkeypatch.setattr(discovering, "MOST_HEARD_AT_ONCE", 1)
    results = await asyncio.gather(
        *(one.discovery.hear(info_of_b(), VERSIONS) for _ in range(5)), return_exceptions=True
    )
    assert [type(result) for result in results].count(NotReadyError) == 4
    await one.discovery.hear(info_of_b(), VERSIONS)
    assert await one.table() == {URL_B: frozenset({B})}


async def test_what_get_partyinfo_tells(alpha: tuple[Manager, Net]) -> None:
    one, _ = alpha
    await one.discovery.hear(info_of_b(parties=(URL_C,)), VERSIONS)
    told = await one.discovery.party_info()
    assert told["url"] == URL_A
    assert sorted(told["peers"]) == [URL_B, URL_C]
    assert sorted(told["keys"]) == sorted([(A, URL_A), (B, URL_B)])


async def test_a_member_with_several_keys(tmp_path: Path) -> None:
    net = Net()
    pairs = [KeyPair.generate() for _ in range(20)]
    async with (
        manager(tmp_path / "a", net, URL_A, ALPHA) as a,
        manager(tmp_path / "b", net, URL_B, Enclave(pairs), configured=[URL_A]) as b,
    ):
        await b.discovery.announce_once()
        assert await a.table() == {URL_B: frozenset(pair.public for pair in pairs)}
