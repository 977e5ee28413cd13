"""Resending: what a member that lost its database gets from another one, and what it costs that one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from muniment.privacy import paging, resending
from muniment.privacy.errors import (
    MalformedError,
    NotReadyError,
    PeerRefusedError,
    RuleError,
    UnknownHashError,
    UnknownKeyError,
)
from muniment.privacy.resending import Resender
from muniment.privacy.values import Payload, Peer, PrivacyFlag, SendRequest
from tests.support.privacy_network import Member, MemoryPeers, Network
from tests.unit.privacy_payloads import EXEC_HASH

pytestmark = pytest.mark.anyio

PROTECTED = PrivacyFlag.PARTY_PROTECTION
VALIDATED = PrivacyFlag.PRIVATE_STATE_VALIDATION


@pytest.fixture
def network() -> Network:
    return Network("alpha", "beta", "gamma")


async def sent(sender: Member, count: int, *recipients: Member, size: int = 1) -> list[bytes]:
    keys = tuple(member.key for member in recipients)
    plain = b"x" * size
    return [(await sender.sender.send(SendRequest(plain, recipients=keys))).hash for _ in range(count)]


async def batches_from(giver: Member, taker: Member, size: int = 10) -> int:
    return await giver.replica().resender.resend_batch(taker.key, size)


async def test_what_was_lost_comes_back_from_the_others(network: Network) -> None:
    alpha, beta = network["alpha"], network["beta"]
    there = await alpha.sender.send(SendRequest(b"sent", recipients=(beta.key,)))
    back = await beta.sender.send(SendRequest(b"got", recipients=(alpha.key,)))
    await beta.sender.send(SendRequest(b"not alpha's", recipients=(network["gamma"].key,)))
    alpha.store.kept.clear()
    assert await beta.resender.resend_all(alpha.key) == 2
    for payload_hash, plain in ((there.hash, b"sent"), (back.hash, b"got")):
        assert (await alpha.receiver.receive(payload_hash)).payload == plain
    assert len(alpha.store.kept) == 2


async def test_one_payload_is_given_to_its_parties_alone(network: Network) -> None:
    alpha, beta, gamma = network["alpha"], network["beta"], network["gamma"]
    got = await beta.sender.send(SendRequest(b"got", recipients=(alpha.key, gamma.key)))
    one = await beta.resender.resend_one(got.hash, alpha.key)
    assert alpha.enclave.open(one) == b"got"
    assert (one.recipients, len(one.boxes)) == ((alpha.key,), 1)
    # To its sender: with the boxes of the one who gives it.
    home = await gamma.resender.resend_one(got.hash, beta.key)
    assert home.recipients == (gamma.key,)
    assert beta.enclave.open(beta.enclave.complete(home)) == b"got"
    with pytest.raises(UnknownKeyError):
        await beta.resender.resend_one(got.hash, network.add("delta").key)
    with pytest.raises(UnknownHashError):
        await beta.resender.resend_one(bytes(64), alpha.key)
    with pytest.raises(RuleError, match="held here"):
        await beta.resender.resend_one(got.hash, beta.key)
    with pytest.raises(MalformedError):
        await beta.resender.resend_one(got.hash, b"short")


async def test_the_sender_gets_all_boxes_of_the_one_who_gives(network: Network) -> None:
    alpha, two = network["alpha"], network.add("two", keys=2)
    keys = two.enclave.keys
    there = await alpha.sender.send(SendRequest(b"x", recipients=keys))
    home = await two.resender.resend_one(there.hash, alpha.key)
    assert set(home.recipients) == set(keys)
    assert len(home.boxes) == 2


async def test_a_payload_without_names_goes_back_to_its_sender(network: Network) -> None:
    alpha, beta = network["alpha"], network["beta"]
    (there,) = await sent(alpha, 1, beta)
    beta.store.kept[there] = replace(beta.store.kept[there], recipients=())
    assert (await beta.resender.resend_one(there, alpha.key)).recipients == (beta.key,)
    beta.store.kept[there] = replace(beta.store.kept[there], boxes=(bytes(48),))
    with pytest.raises(UnknownKeyError):
        await beta.resender.resend_one(there, alpha.key)


async def test_payloads_with_flags_come_back_in_batches_only(network: Network) -> None:
    alpha, beta = network["alpha"], network["beta"]
    made = await alpha.sender.send(SendRequest(b"code", recipients=(beta.key,), flag=PROTECTED))
    kept = await alpha.sender.send(SendRequest(b"c", recipients=(beta.key,), flag=VALIDATED, exec_hash=EXEC_HASH))
    with pytest.raises(RuleError):
        await beta.resender.resend_one(made.hash, alpha.key)
    assert await beta.resender.resend_all(alpha.key) == 0
    alpha.store.recovers = True
    assert await batches_from(beta, alpha) == 2
    assert set(alpha.store.stages) == {made.hash, kept.hash}
    assert set(alpha.store.stages[kept.hash].recipients) == {alpha.key, beta.key}
    with pytest.raises(RuleError, match="held here"):
        await beta.resender.resend_batch(beta.key, 10)


async def test_a_member_that_does_not_recover_takes_no_batches(network: Network) -> None:
    alpha, beta = network["alpha"], network["beta"]
    await sent(alpha, 1, beta)
    with pytest.raises(PeerRefusedError, match="does not recover"):
        await beta.resender.resend_batch(alpha.key, 10)
    assert not alpha.store.stages


@pytest.mark.parametrize(("size", "lengths"), [(3, [3, 3, 1]), (7, [7]), (100_000, [7])])
async def test_batches_have_the_size_that_was_asked_for(network: Network, size: int, lengths: list[int]) -> None:
    alpha, beta = network["alpha"], network["beta"]
    hashes = await sent(alpha, 7, beta)
    alpha.store.recovers = True
    assert await beta.resender.resend_batch(alpha.key, size) == 7
    assert [len(batch) for batch in alpha.batches] == lengths
    assert set(alpha.store.stages) == set(hashes)


async def test_batches_are_smaller_when_payloads_are_large(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resending, "LARGEST_BATCH_BYTES", 5000)
    monkeypatch.setattr(resending, "LARGEST_BATCH", 4)
    alpha, beta = network["alpha"], network["beta"]
    await sent(alpha, 6, beta, size=2000)
    (large,) = await sent(alpha, 1, beta, size=9000)
    alpha.store.recovers = True
    assert await beta.resender.resend_batch(alpha.key, 500) == 7
    assert max(sum(len(one.ciphertext) for one in batch) for batch in alpha.batches if len(batch) > 1) <= 5000
    assert large in alpha.store.stages
    assert len(alpha.store.stages) == 7


@pytest.mark.parametrize("size", [0, -1])
async def test_a_batch_of_nothing_is_refused(network: Network, size: int) -> None:
    with pytest.raises(MalformedError):
        await network["beta"].resender.resend_batch(network["alpha"].key, size)


async def test_pages_are_short_where_payloads_are_large(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "PAGE_BYTES", 6100)
    alpha, beta = network["alpha"], network["beta"]
    await sent(alpha, 30, beta, size=2000)
    limits = []
    store = beta.store

    async def page(after: bytes, limit: int) -> Sequence[Payload]:
        limits.append(limit)
        return await store.page(alpha.key, after, limit)

    read = [payload.hash async for found in paging.pages(page) for payload in found]
    assert read == sorted(store.kept)
    assert limits[0] == paging.FIRST_PAGE
    assert set(limits[1:]) == {3}


class Waiting(MemoryPeers):
    """Pushes wait until they may."""

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self.may = asyncio.Event()
        self.begun = asyncio.Event()

    async def push_batch(self, peer: Peer, payloads: Sequence[Payload]) -> None:
        self.begun.set()
        await self.may.wait()


async def test_for_one_key_one_resend_at_a_time_and_few_for_all(network: Network) -> None:
    beta = network["beta"]
    peers = Waiting(network)
    resender = Resender(beta.enclave, beta.store, peers)
    others = [network.add(f"other-{number}") for number in range(resending.MOST_AT_ONCE + 1)]
    for other in others:
        await sent(beta, 1, other)
    running = [asyncio.create_task(resender.resend_batch(other.key, 1)) for other in others[:-1]]
    await peers.begun.wait()
    for refused in (others[0], others[-1]):
        with pytest.raises(NotReadyError):
            await resender.resend_batch(refused.key, 1)
    peers.may.set()
    assert await asyncio.gather(*running) == [1] * resending.MOST_AT_ONCE
    assert await resender.resend_batch(others[-1].key, 1) == 1


async def test_a_key_waits_as_long_as_its_last_resend_took(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    alpha, beta = network["alpha"], network["beta"]
    await sent(beta, 1, alpha)
    now = 1000.0

    class Slow(MemoryPeers):
        async def push(self, peer: Peer, payload: Payload) -> None:
            nonlocal now
            now += 5.0

    monkeypatch.setattr("muniment.privacy.resending.time.monotonic", lambda: now)
    resender = Resender(beta.enclave, beta.store, Slow(network))
    assert await resender.resend_all(alpha.key) == 1
    now += 4.9
    with pytest.raises(NotReadyError):
        await resender.resend_all(alpha.key)
    now += 0.1
    assert await resender.resend_all(alpha.key) == 1


async def test_after_a_failure_it_may_be_asked_again(network: Network) -> None:
    alpha, beta = network["alpha"], network["beta"]
    await sent(beta, 1, alpha)
    with pytest.raises(PeerRefusedError):
        await beta.resender.resend_batch(alpha.key, 1)
    alpha.store.recovers = True
    assert await batches_from(beta, alpha) == 1
