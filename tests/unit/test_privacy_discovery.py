"""Hearing announcements: what is believed of them, and what a hostile announcer cannot do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from muniment.privacy import discovery as discovering
from muniment.privacy.boxes import KeyPair
from muniment.privacy.enclave import Enclave
from muniment.privacy.errors import MalformedError, NotReadyError, PeerRefusedError, RuleError
from muniment.privacy.party_info import PartyInfo, encode
from muniment.privacy.values import Peer
from tests.unit.discovery_rig import (
    URL_A,
    URL_B,
    URL_C,
    VERSIONS,
    Manager,
    Net,
    manager,
)
from tests.unit.privacy_payloads import ALPHA, BETA, A, B, C

pytestmark = pytest.mark.anyio


@pytest.fixture
async def alpha(tmp_path: Path) -> AsyncIterator[tuple[Manager, Net]]:
    net = Net()
    async with manager(tmp_path / "alpha", net, URL_A, ALPHA) as one, manager(tmp_path / "beta", net, URL_B, BETA):
        yield one, net


def info_of_b(*more: tuple[bytes, str], parties: tuple[str, ...] = (), url: str = URL_B) -> bytes:
    return encode(PartyInfo(url, ((B, url), *more), parties))


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
