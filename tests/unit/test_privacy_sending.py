"""Sending: who gets a payload, what is kept when something fails, and transactions that are signed outside the node."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from muniment.kernel.waiting import NotYetError, wait_for
from muniment.privacy.errors import (
    ConflictError,
    MalformedError,
    PeerAwayError,
    PeerRefusedError,
    RuleError,
    UnknownHashError,
    UnknownKeyError,
    UnopenableError,
)
from muniment.privacy.patience import patience
from muniment.privacy.sending import Sender
from muniment.privacy.values import Payload, Peer, PrivacyFlag, SendRequest, SignedRequest
from tests.support.privacy_network import MemoryPeers, Network
from tests.unit.privacy_payloads import EXEC_HASH

pytestmark = pytest.mark.anyio

PROTECTED = PrivacyFlag.PARTY_PROTECTION
MANDATORY = PrivacyFlag.MANDATORY_RECIPIENTS
VALIDATED = PrivacyFlag.PRIVATE_STATE_VALIDATION


@pytest.fixture
def network() -> Network:
    return Network("alpha", "beta", "gamma")


async def test_what_is_sent_is_read_by_its_parties_and_by_nobody_else(network: Network) -> None:
    alpha, beta, gamma = network["alpha"], network["beta"], network["gamma"]
    sent = await alpha.sender.send(SendRequest(b"hello", recipients=(beta.key, beta.key)))
    assert sent.sender == alpha.key
    assert sent.managed == (alpha.key,)
    for member in (alpha, alpha.replica(), beta):
        read = await member.receiver.receive(sent.hash)
        assert (read.payload, read.sender, read.managed) == (b"hello", alpha.key, (member.key,))
    assert await alpha.receiver.is_sender(sent.hash)
    assert not await beta.receiver.is_sender(sent.hash)
    assert await alpha.receiver.participants(sent.hash) == (beta.key, alpha.key)
    assert await beta.receiver.participants(sent.hash) == (beta.key,)
    with pytest.raises(UnknownHashError):
        await gamma.receiver.receive(sent.hash)


async def test_recipients_come_in_the_order_of_the_request_then_the_sender_then_those_who_get_everything(
    network: Network,
) -> None:
    beta, gamma = network["beta"], network["gamma"]
    delta = network.add("delta", keys=2, always_send_to=[gamma.key, beta.key])
    first, second = delta.enclave.keys
    sent = await delta.sender.send(SendRequest(b"x", sender=second, recipients=(beta.key, first, beta.key)))
    assert await delta.receiver.participants(sent.hash) == (beta.key, first, second, gamma.key)
    assert (sent.sender, sent.managed) == (second, (first, second))
    assert (await gamma.receiver.receive(sent.hash)).payload == b"x"
    assert (await delta.receiver.receive(sent.hash)).managed == (first, second)


async def test_without_recipients_only_the_sender_reads_it(network: Network) -> None:
    alpha = network["alpha"]
    sent = await alpha.sender.send(SendRequest(b"note"))
    assert (await alpha.receiver.receive(sent.hash, alpha.key)).payload == b"note"
    assert not network["beta"].pushed


async def test_a_privacy_group_says_nothing_of_recipients(network: Network) -> None:
    alpha, beta = network["alpha"], network["beta"]
    sent = await alpha.sender.send(SendRequest(b"x", recipients=(beta.key,), group_id=b"g" * 32))
    assert await alpha.receiver.participants(sent.hash) == (beta.key, alpha.key)


async def test_a_failed_push_leaves_nothing_at_the_sender(network: Network) -> None:
    alpha, beta, gamma = network["alpha"], network["beta"], network["gamma"]
    network.away.add("gamma")
    with pytest.raises(PeerAwayError):
        await alpha.sender.send(SendRequest(b"x", recipients=(beta.key, gamma.key)))
    assert not alpha.store.kept


async def test_no_transaction_of_the_database_waits_for_a_push(network: Network) -> None:
    alpha, beta, gamma = network["alpha"], network["beta"], network["gamma"]
    kept: list[int] = []

    class Slow(MemoryPeers):
        async def push(self, peer: Peer, payload: Payload) -> None:
            await wait_for("the payload in the store", committed, timeout=10)
            kept.append(len(alpha.store.kept))
            await super().push(peer, payload)

    async def committed() -> None:
        if not alpha.store.kept:
            raise NotYetError("it is not there")

    sender = Sender(alpha.enclave, alpha.store, Slow(network))
    await sender.send(SendRequest(b"x", recipients=(beta.key, gamma.key)))
    assert kept == [1, 1]
    assert alpha.store.calls == 1


async def test_who_gives_up_leaves_nothing_behind(network: Network) -> None:
    alpha, beta = network["alpha"], network["beta"]
    begun = asyncio.Event()

    class Hanging(MemoryPeers):
        async def push(self, peer: Peer, payload: Payload) -> None:
            begun.set()
            await asyncio.Event().wait()

    sender = Sender(alpha.enclave, alpha.store, Hanging(network))
    sending = asyncio.create_task(sender.send(SendRequest(b"x", recipients=(beta.key,))))
    await begun.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert not alpha.store.kept


async def test_a_push_is_never_repeated_by_patience(network: Network) -> None:
    alpha, beta = network["alpha"], network["beta"]
    tried = 0

    class Failing(MemoryPeers):
        async def push(self, peer: Peer, payload: Payload) -> None:
            nonlocal tried
            tried += 1
            raise PeerAwayError("away")

    with patience(30), pytest.raises(PeerAwayError):
        await Sender(alpha.enclave, alpha.store, Failing(network)).send(SendRequest(b"x", recipients=(beta.key,)))
    assert tried == 1


async def test_a_failure_is_told_when_no_push_is_under_way_any_more(network: Network) -> None:
    alpha, beta, gamma = network["alpha"], network["beta"], network["gamma"]
    network.away.add("beta")
    begun, may_end = asyncio.Event(), asyncio.Event()

    class Slow(MemoryPeers):
        async def push(self, peer: Peer, payload: Payload) -> None:
            if peer.url == gamma.url:
                begun.set()
                await may_end.wait()
            await super().push(peer, payload)

    sender = Sender(alpha.enclave, alpha.store, Slow(network))
    sending = asyncio.create_task(sender.send(SendRequest(b"x", recipients=(beta.key, gamma.key))))
    await begun.wait()
    for _ in range(10):
        await asyncio.sleep(0)
    assert not sending.done()
    may_end.set()
    with pytest.raises(PeerAwayError):
        await sending
    assert len(gamma.pushed) == 1


@pytest.mark.parametrize("sender", [None, b"\x01" * 32])
async def test_unknown_keys_are_told(network: Network, sender: bytes | None) -> None:
    with pytest.raises(UnknownKeyError):
        await network["alpha"].sender.send(SendRequest(b"x", sender=sender, recipients=(b"\x02" * 32,)))


async def test_a_payload_signed_outside_is_sent_by_any_replica_and_repeated_without_effect(network: Network) -> None:
    alpha, beta = network["alpha"], network["beta"]
    stored = await alpha.sender.store_raw(b"signed", None)
    raw = await alpha.replica().receiver.receive_raw(stored)
    assert (raw.payload, raw.sender, raw.managed) == (b"signed", alpha.key, (alpha.key,))
    request = SignedRequest(stored, recipients=(beta.key,))
    first = await alpha.replica().sender.send_signed(request)
    again = await alpha.sender.send_signed(request)
    assert first == again
    assert first.hash == stored
    assert len(beta.pushed) == 1
    assert (await beta.receiver.receive(stored)).payload == b"signed"
    # The raw form stays, as with Tessera.
    assert (await alpha.receiver.receive_raw(stored)).payload == b"signed"
    with pytest.raises(UnknownHashError):
        await alpha.sender.send_signed(SignedRequest(bytes(64), recipients=(beta.key,)))


async def test_an_empty_payload_is_not_stored(network: Network) -> None:
    with pytest.raises(MalformedError):
        await network["alpha"].sender.store_raw(b"", None)


async def test_a_retry_uses_the_nonce_and_the_boxes_of_the_first_try(network: Network) -> None:
    alpha, beta, gamma = network["alpha"], network["beta"], network["gamma"]
    stored = await alpha.sender.store_raw(b"signed", None)
    network.away.add("gamma")
    with pytest.raises(PeerAwayError):
        await alpha.sender.send_signed(SignedRequest(stored, recipients=(beta.key, gamma.key)))
    with pytest.raises(UnknownHashError):
        await alpha.receiver.receive(stored)
    network.away.clear()
    await alpha.replica().sender.send_signed(SignedRequest(stored, recipients=(beta.key, gamma.key)))
    assert beta.pushed[0] == beta.pushed[1]
    assert beta.pushed[0].recipient_nonce == gamma.pushed[0].recipient_nonce
    assert not alpha.store.wraps


async def test_a_retry_may_add_and_leave_out_recipients(network: Network) -> None:
    alpha, beta, gamma = network["alpha"], network["beta"], network["gamma"]
    delta = network.add("delta")
    stored = await alpha.sender.store_raw(b"signed", None)
    network.away.add("gamma")
    with pytest.raises(PeerAwayError):
        await alpha.sender.send_signed(SignedRequest(stored, recipients=(beta.key, gamma.key)))
    await alpha.sender.send_signed(SignedRequest(stored, recipients=(beta.key, delta.key)))
    assert beta.pushed[0] == beta.pushed[1]
    assert delta.pushed[0].recipient_nonce == beta.pushed[0].recipient_nonce
    assert set(await alpha.receiver.participants(stored)) == {beta.key, delta.key, alpha.key}
    # After its success too: the new one gets it, with the same nonce.
    network.away.clear()
    more = await alpha.sender.send_signed(SignedRequest(stored, recipients=(beta.key, gamma.key)))
    assert more.hash == stored
    assert gamma.pushed[0].recipient_nonce == beta.pushed[0].recipient_nonce
    assert (await gamma.receiver.receive(stored)).payload == b"signed"
    assert set(await alpha.receiver.participants(stored)) == {gamma.key, beta.key, delta.key, alpha.key}


async def test_two_replicas_that_send_the_same_at_once_use_one_nonce(network: Network) -> None:
    alpha, beta = network["alpha"], network["beta"]
    stored = await alpha.sender.store_raw(b"signed", None)
    request = SignedRequest(stored, recipients=(beta.key,))
    senders = [each.sender for each in (alpha, alpha.replica(), alpha.replica())]
    answers = await asyncio.gather(*(sender.send_signed(request) for sender in senders))
    assert len(set(answers)) == 1
    assert len({payload.recipient_nonce for payload in beta.pushed}) == 1
    assert alpha.store.kept[stored].recipient_nonce == beta.pushed[0].recipient_nonce


async def test_what_all_have_is_not_sent_again_by_other_rules(network: Network) -> None:
    alpha, beta, gamma = network["alpha"], network["beta"], network["gamma"]
    stored = await alpha.sender.store_raw(b"signed", None)
    request = SignedRequest(stored, recipients=(beta.key,), flag=VALIDATED, exec_hash=EXEC_HASH)
    await alpha.sender.send_signed(request)
    others = (
        SignedRequest(stored, recipients=(beta.key,)),
        replace(request, exec_hash=b"BwcH"),
        replace(request, recipients=(beta.key, gamma.key)),
        replace(request, recipients=()),
    )
    for other in others:
        with pytest.raises(ConflictError):
            await alpha.sender.send_signed(other)
    assert len(beta.pushed) == 1
    assert not gamma.pushed


async def test_after_a_failure_the_rules_may_be_others(network: Network) -> None:
    alpha, beta = network["alpha"], network["beta"]
    stored = await alpha.sender.store_raw(b"signed", None)
    network.away.add("beta")
    with pytest.raises(PeerAwayError):
        await alpha.sender.send_signed(SignedRequest(stored, recipients=(beta.key,)))
    network.away.clear()
    await alpha.sender.send_signed(SignedRequest(stored, recipients=(beta.key,), flag=PROTECTED))
    assert (await beta.receiver.receive(stored)).flag is PROTECTED


async def test_flags_bind_the_parties(network: Network) -> None:
    alpha, beta, gamma = network["alpha"], network["beta"], network["gamma"]
    made = await alpha.sender.send(SendRequest(b"code", recipients=(beta.key,), flag=PROTECTED))
    call = SendRequest(b"call", recipients=(beta.key,), flag=PROTECTED, affected=(made.hash,))
    called = await alpha.sender.send(call)
    assert (await beta.receiver.receive(called.hash)).affected == (made.hash,)
    with pytest.raises(RuleError):
        await alpha.sender.send(replace(call, flag=PrivacyFlag.STANDARD))
    with pytest.raises(RuleError, match="not held here"):
        await gamma.sender.send(replace(call, recipients=(alpha.key,)))
    stored = await beta.sender.store_raw(b"call", None)
    signed = SignedRequest(stored, recipients=(alpha.key,), flag=PROTECTED, affected=(made.hash,))
    await beta.sender.send_signed(signed)
    assert (await alpha.receiver.receive(stored)).affected == (made.hash,)


async def test_validated_contracts_keep_their_recipients(network: Network) -> None:
    alpha, beta, gamma = network["alpha"], network["beta"], network["gamma"]
    made = await alpha.sender.send(SendRequest(b"c", recipients=(beta.key,), flag=VALIDATED, exec_hash=EXEC_HASH))
    call = SendRequest(b"x", recipients=(beta.key,), flag=VALIDATED, exec_hash=EXEC_HASH, affected=(made.hash,))
    sent = await alpha.sender.send(call)
    read = await beta.receiver.receive(sent.hash)
    assert (read.exec_hash, read.flag) == (EXEC_HASH, VALIDATED)
    assert set(await beta.receiver.participants(sent.hash)) == {alpha.key, beta.key}
    with pytest.raises(RuleError):
        await alpha.sender.send(replace(call, recipients=(beta.key, gamma.key)))


async def test_mandatory_recipients(network: Network) -> None:
    alpha, beta, gamma = network["alpha"], network["beta"], network["gamma"]
    request = SendRequest(b"c", recipients=(beta.key,), flag=MANDATORY, mandatory=(beta.key,))
    made = await alpha.sender.send(request)
    for member in (alpha, beta):
        assert await member.receiver.mandatory(made.hash) == (beta.key,)
    other = replace(request, recipients=(gamma.key,), mandatory=(gamma.key,), affected=(made.hash,))
    with pytest.raises(RuleError):
        await alpha.sender.send(other)
    with pytest.raises(RuleError):
        await alpha.sender.send(replace(request, mandatory=(gamma.key,)))
    plain = await alpha.sender.send(SendRequest(b"p"))
    with pytest.raises(MalformedError):
        await alpha.receiver.mandatory(plain.hash)


@pytest.mark.parametrize(("flag", "versions"), [(PROTECTED, {"v1"}), (MANDATORY, {"v1", "v2"}), (VALIDATED, {"v1"})])
async def test_a_peer_that_lacks_a_flag_gets_nothing(network: Network, flag: PrivacyFlag, versions: set[str]) -> None:
    alpha, beta, gamma = network["alpha"], network["beta"], network["gamma"]
    network.versions["beta"] = frozenset(versions)
    mandatory = (beta.key,) if flag is MANDATORY else ()
    exec_hash = EXEC_HASH if flag is VALIDATED else b""
    request = SendRequest(b"x", recipients=(gamma.key, beta.key), flag=flag, mandatory=mandatory, exec_hash=exec_hash)
    with pytest.raises(RuleError, match="does not know privacy flag"):
        await alpha.sender.send(request)
    assert not [*beta.pushed, *gamma.pushed, *alpha.store.kept]
    assert (await alpha.sender.send(SendRequest(b"x", recipients=(beta.key,)))).managed == (alpha.key,)


async def test_a_recipient_that_refuses_fails_the_transaction(network: Network) -> None:
    alpha, beta = network["alpha"], network["beta"]

    class Forging(MemoryPeers):
        async def push(self, peer: Peer, payload: Payload) -> None:
            await super().push(peer, replace(payload, boxes=(bytes(48),)))

    sender = Sender(alpha.enclave, alpha.store, Forging(network))
    with pytest.raises(PeerRefusedError):
        await sender.send(SendRequest(b"x", recipients=(beta.key,)))
    assert not [*alpha.store.kept, *beta.store.kept]


async def test_extension_of_a_contract_by_an_encoded_payload(network: Network) -> None:
    alpha, beta, gamma = network["alpha"], network["beta"], network["gamma"]
    payload = await alpha.sender.create_encoded(SendRequest(b"uuid", recipients=(beta.key,), flag=PROTECTED))
    assert payload.recipients == (beta.key, alpha.key)
    assert not alpha.store.kept
    assert not beta.pushed
    # Flag and affected transactions do not come back from the node.
    returned = replace(payload, flag=PrivacyFlag.STANDARD, affected={})
    assert beta.receiver.decrypt_encoded(returned).payload == b"uuid"
    assert beta.receiver.decrypt_encoded(returned).flag is PrivacyFlag.STANDARD
    with pytest.raises(UnopenableError):
        gamma.receiver.decrypt_encoded(payload)


async def test_with_nobody_else_no_peer_is_looked_up(network: Network) -> None:
    alpha = network["alpha"]

    class Nobody(MemoryPeers):
        async def resolve(self, keys: object) -> Mapping[bytes, Peer]:
            raise AssertionError(keys)

        async def push_batch(self, peer: Peer, payloads: Sequence[Payload]) -> None:
            raise AssertionError(peer)

    sent = await Sender(alpha.enclave, alpha.store, Nobody(network)).send(SendRequest(b"x", recipients=(alpha.key,)))
    assert sent.managed == (alpha.key,)
