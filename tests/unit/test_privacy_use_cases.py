"""What a privacy manager does: sending, receiving, resending, with members that talk in memory."""

from __future__ import annotations

import asyncio
import os
import uuid
from dataclasses import replace

import pytest

from muniment.kernel.errors import TemporaryError
from muniment.privacy.enclave import Enclave
from muniment.privacy.errors import (
    ConflictError,
    MalformedError,
    PeerAwayError,
    RuleError,
    UnknownHashError,
    UnknownKeyError,
    UnopenableError,
)
from muniment.privacy.patience import patience, patiently
from muniment.privacy.values import PrivacyFlag, SendRequest, SignedRequest
from tests.support.privacy_network import Network

pytestmark = pytest.mark.anyio

PROTECTED = PrivacyFlag.PARTY_PROTECTION
MANDATORY = PrivacyFlag.MANDATORY_RECIPIENTS
VALIDATED = PrivacyFlag.PRIVATE_STATE_VALIDATION
EXEC_HASH = b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


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


async def test_without_recipients_only_the_sender_reads_it(network: Network) -> None:
    alpha = network["alpha"]
    sent = await alpha.sender.send(SendRequest(b"note"))
    assert (await alpha.receiver.receive(sent.hash, alpha.key)).payload == b"note"
    assert not network["beta"].pushed


async def test_a_failed_push_leaves_nothing_at_the_sender(network: Network) -> None:
    alpha, beta, gamma = network["alpha"], network["beta"], network["gamma"]
    network.away.add("gamma")
    with pytest.raises(PeerAwayError):
        await alpha.sender.send(SendRequest(b"x", recipients=(beta.key, gamma.key)))
    assert not alpha.store.kept


@pytest.mark.parametrize("sender", [None, b"\x01" * 32])
async def test_unknown_keys_are_told(network: Network, sender: bytes | None) -> None:
    with pytest.raises(UnknownKeyError):
        await network["alpha"].sender.send(SendRequest(b"x", sender=sender, recipients=(b"\x02" * 32,)))


async def test_a_payload_signed_outside_is_sent_by_any_replica_and_repeated_without_effect(network: Network) -> None:
    alpha, beta = network["alpha"], network["beta"]
    stored = await alpha.sender.store_raw(b"signed", None)
    assert (await alpha.replica().receiver.receive_raw(stored)).payload == b"signed"
    request = SignedRequest(stored, recipients=(beta.key,))
    first = await alpha.replica().sender.send_signed(request)
    again = await alpha.sender.send_signed(request)
    assert first == again
    assert len(beta.pushed) == 1
    assert (await beta.receiver.receive(stored)).payload == b"signed"
    with pytest.raises(UnknownHashError):
        await alpha.sender.send_signed(SignedRequest(bytes(64), recipients=(beta.key,)))


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


async def test_a_forged_security_hash_is_dropped_or_refused(network: Network) -> None:
    alpha, beta, gamma = network["alpha"], network["beta"], network["gamma"]
    made = await alpha.sender.send(SendRequest(b"code", recipients=(beta.key,), flag=PROTECTED))
    forged = gamma.enclave.seal(b"call", gamma.key, [beta.key, gamma.key], flag=PROTECTED)
    await beta.receiver.accept(replace(forged, affected={made.hash: bytes(64)}))
    assert (await beta.receiver.receive(forged.hash)).affected == ()

    kept = await alpha.sender.send(SendRequest(b"c", recipients=(beta.key,), flag=VALIDATED, exec_hash=EXEC_HASH))
    payload = alpha.enclave.seal(
        b"call", alpha.key, [beta.key, alpha.key], flag=VALIDATED, exec_hash=EXEC_HASH,
        affected={kept.hash: alpha.store.kept[kept.hash]},
    )  # fmt: skip
    with pytest.raises(RuleError):
        await beta.receiver.accept(replace(payload, affected={kept.hash: bytes(64)}))
    # What affects something that beta does not have is answered, and not kept.
    unknown = replace(payload, affected={bytes(64): bytes(64)})
    assert await beta.receiver.accept(unknown) == unknown.hash
    with pytest.raises(UnknownHashError):
        await beta.receiver.receive(unknown.hash)


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
    assert await beta.receiver.mandatory(made.hash) == (beta.key,)
    other = replace(request, recipients=(gamma.key,), mandatory=(gamma.key,), affected=(made.hash,))
    with pytest.raises(RuleError):
        await alpha.sender.send(other)
    with pytest.raises(RuleError):
        await alpha.sender.send(replace(request, mandatory=(gamma.key,)))
    plain = await alpha.sender.send(SendRequest(b"p"))
    with pytest.raises(MalformedError):
        await alpha.receiver.mandatory(plain.hash)


@pytest.mark.parametrize(("flag", "versions"), [(PROTECTED, {"v1"}), (MANDATORY, {"v1", "v2"})])
async def test_a_peer_that_lacks_a_flag_gets_nothing(network: Network, flag: PrivacyFlag, versions: set[str]) -> None:
    alpha, beta = network["alpha"], network["beta"]
    network.versions["beta"] = frozenset(versions)
    mandatory = (beta.key,) if flag is MANDATORY else ()
    with pytest.raises(RuleError, match="does not know privacy flag"):
        await alpha.sender.send(SendRequest(b"x", recipients=(beta.key,), flag=flag, mandatory=mandatory))
    assert not beta.pushed


async def test_rubbish_that_is_pushed_is_not_kept(network: Network) -> None:
    alpha, beta, gamma = network["alpha"], network["beta"], network["gamma"]
    for_others = alpha.enclave.seal(b"x", alpha.key, [gamma.key])
    broken = replace(alpha.enclave.seal(b"x", alpha.key, [beta.key]), ciphertext=os.urandom(40))
    for payload in (for_others, broken):
        with pytest.raises(UnopenableError):
            await beta.receiver.accept(payload)
    assert not beta.store.kept


async def test_the_same_push_many_times_is_kept_once_and_another_with_its_hash_is_refused(network: Network) -> None:
    alpha, beta = network["alpha"], network["beta"]
    payload = alpha.enclave.seal(b"x", alpha.key, [beta.key])
    replicas = [beta, beta.replica(), beta.replica()]
    await asyncio.gather(*(replicas[number % 3].receiver.accept(payload) for number in range(50)))
    assert list(beta.store.kept.values()) == [payload]
    other = alpha.enclave.wrap(alpha.enclave.seal_raw(b"x", alpha.key), [beta.key])
    with pytest.raises((ConflictError, UnopenableError)):
        await beta.receiver.accept(replace(other, ciphertext=payload.ciphertext))


async def test_two_keys_of_one_member_keep_both_boxes(network: Network) -> None:
    alpha = network["alpha"]
    both = Network("one", "two")
    first, second = both["one"], both["two"]
    pairs = Enclave([first.pair, second.pair])
    whole = alpha.enclave.seal(b"x", alpha.key, [first.key, second.key, alpha.key])
    for member in (first, second):
        member.store = first.store
        member.__post_init__()
        part = replace(whole, recipients=(member.key,), boxes=(whole.boxes[whole.recipients.index(member.key)],))
        await member.receiver.accept(part)
    kept = first.store.kept[whole.hash]
    assert set(pairs.opening_keys(kept)) == {first.key, second.key}


async def test_what_was_lost_comes_back_from_the_others(network: Network) -> None:
    alpha, beta = network["alpha"], network["beta"]
    sent = await alpha.sender.send(SendRequest(b"sent", recipients=(beta.key,)))
    got = await beta.sender.send(SendRequest(b"got", recipients=(alpha.key,)))
    alpha.store.kept.clear()
    assert await beta.resender.resend_all(alpha.key) == 2
    for payload_hash, plain in ((sent.hash, b"sent"), (got.hash, b"got")):
        assert (await alpha.receiver.receive(payload_hash)).payload == plain
    one = await beta.resender.resend_one(got.hash, alpha.key)
    assert alpha.enclave.open(one) == b"got"
    with pytest.raises(UnknownKeyError):
        await beta.resender.resend_one(got.hash, network["gamma"].key)


async def test_payloads_with_flags_come_back_in_batches_only(network: Network) -> None:
    alpha, beta = network["alpha"], network["beta"]
    made = await alpha.sender.send(SendRequest(b"code", recipients=(beta.key,), flag=PROTECTED))
    with pytest.raises(RuleError):
        await beta.resender.resend_one(made.hash, alpha.key)
    assert await beta.resender.resend_batch(alpha.key, 10) == 1
    assert list(alpha.store.stages) == [made.hash]
    with pytest.raises(RuleError, match="held here"):
        await beta.resender.resend_batch(beta.key, 10)


async def test_extension_of_a_contract_by_an_encoded_payload(network: Network) -> None:
    alpha, beta = network["alpha"], network["beta"]
    payload = await alpha.sender.create_encoded(SendRequest(b"uuid", recipients=(beta.key,)))
    assert not alpha.store.kept
    assert not beta.pushed
    assert beta.receiver.decrypt_encoded(payload).payload == b"uuid"
    with pytest.raises(UnopenableError):
        network["gamma"].receiver.decrypt_encoded(payload)


async def test_only_uuids_are_answered_as_challenges(network: Network) -> None:
    alpha, beta = network["alpha"], network["beta"]
    text = str(uuid.uuid4())
    assert beta.receiver.answer_challenge(alpha.enclave.seal_challenge(text, beta.key)) == text
    for other in ("x" * 36, "a secret", text + "x"):
        with pytest.raises(MalformedError):
            beta.receiver.answer_challenge(alpha.enclave.seal_challenge(other, beta.key))


async def test_requests_are_held_while_the_database_is_away_and_go_on_when_it_is_back() -> None:
    failures = iter([TemporaryError("away"), TemporaryError("away"), None])

    async def work() -> str:
        error = next(failures)
        if error is not None:
            raise error
        return "done"

    with patience(30):
        assert await patiently(work) == "done"


async def test_patience_ends_with_the_last_cause() -> None:
    calls = 0

    async def work() -> None:
        nonlocal calls
        calls += 1
        raise TemporaryError(f"away {calls}")

    with pytest.raises(TemporaryError, match="away 1"):
        await patiently(work)
    with patience(0.3), pytest.raises(TemporaryError, match="away"):
        await patiently(work)
    assert calls > 2
