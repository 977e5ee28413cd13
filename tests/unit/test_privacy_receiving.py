"""Receiving: what a node reads, and what is kept of what other members push."""

from __future__ import annotations

import asyncio
import os
import uuid
from dataclasses import replace

import pytest

from muniment.privacy.errors import (
    ConflictError,
    MalformedError,
    RuleError,
    UnknownHashError,
    UnopenableError,
)
from muniment.privacy.values import Payload, PrivacyFlag, SendRequest
from tests.support.privacy_network import Member, Network
from tests.unit.privacy_payloads import EXEC_HASH

pytestmark = pytest.mark.anyio

PROTECTED = PrivacyFlag.PARTY_PROTECTION
VALIDATED = PrivacyFlag.PRIVATE_STATE_VALIDATION


@pytest.fixture
def network() -> Network:
    return Network("alpha", "beta", "gamma")


def sealed(sender: Member, *recipients: bytes, flag: PrivacyFlag = PrivacyFlag.STANDARD) -> Payload:
    exec_hash = EXEC_HASH if flag is VALIDATED else b""
    return sender.enclave.seal(b"x", sender.key, [*recipients, sender.key], flag=flag, exec_hash=exec_hash)


def part(payload: Payload, *keys: bytes) -> Payload:
    """The payload with the boxes of these keys alone."""
    boxes = tuple(payload.boxes[payload.recipients.index(key)] for key in keys)
    return replace(payload, recipients=keys, boxes=boxes)


async def test_a_payload_is_opened_by_a_named_key_or_by_any(network: Network) -> None:
    alpha, two = network["alpha"], network.add("two", keys=2)
    first, second = two.enclave.keys
    payload = sealed(alpha, second)
    await two.receiver.accept(part(payload, second))
    assert (await two.receiver.receive(payload.hash)).payload == b"x"
    assert (await two.receiver.receive(payload.hash, second)).managed == (second,)
    # It is here: "not a party" would be wrong.
    for key in (first, alpha.key):
        with pytest.raises(UnopenableError):
            await two.receiver.receive(payload.hash, key)


async def test_what_is_not_here_is_unknown_to_every_question(network: Network) -> None:
    receiver = network["alpha"].receiver
    nowhere = bytes(64)
    for asked in (
        receiver.receive(nowhere),
        receiver.receive_raw(nowhere),
        receiver.is_sender(nowhere),
        receiver.participants(nowhere),
        receiver.mandatory(nowhere),
        receiver.delete(nowhere),
    ):
        with pytest.raises(UnknownHashError):
            await asked


async def test_what_is_here_and_does_not_open_is_no_unknown_hash(network: Network) -> None:
    alpha, beta = network["alpha"], network["beta"]
    payload = sealed(alpha)
    beta.store.kept[payload.hash] = payload
    with pytest.raises(UnopenableError):
        await beta.receiver.receive(payload.hash)


async def test_a_deleted_payload_is_gone(network: Network) -> None:
    alpha = network["alpha"]
    sent = await alpha.sender.send(SendRequest(b"x"))
    await alpha.receiver.delete(sent.hash)
    with pytest.raises(UnknownHashError):
        await alpha.replica().receiver.receive(sent.hash)


async def test_payloads_of_very_old_managers_name_those_who_open_them(network: Network) -> None:
    alpha, beta = network["alpha"], network["beta"]
    payload = replace(part(sealed(alpha, beta.key), beta.key), recipients=())
    await beta.receiver.accept(payload)
    read = await beta.receiver.receive(payload.hash)
    assert (read.payload, read.managed) == (b"x", (beta.key,))
    # One that was imported without names is read as well.
    beta.store.kept[payload.hash] = payload
    assert (await beta.receiver.receive(payload.hash)).managed == (beta.key,)


async def test_rubbish_that_is_pushed_is_not_kept(network: Network) -> None:
    alpha, beta, gamma = network["alpha"], network["beta"], network["gamma"]
    whole = sealed(alpha, beta.key)
    rubbish = (
        part(sealed(alpha, gamma.key), gamma.key),
        replace(part(whole, beta.key), ciphertext=os.urandom(40)),
        replace(part(whole, beta.key), boxes=(bytes(48),)),
        replace(whole, boxes=(), recipients=(beta.key,)),
        replace(whole, boxes=(), recipients=()),
        replace(whole, boxes=(bytes(48),), recipients=()),
        replace(part(whole, beta.key), sender=bytes(32)),
    )
    for payload in rubbish:
        with pytest.raises((UnopenableError, MalformedError)):
            await beta.receiver.accept(payload)
    assert not beta.store.kept


async def test_only_what_opens_here_is_kept_of_a_push(network: Network) -> None:
    """Otherwise whoever has seen a payload could make another of our keys a party of it afterwards."""
    alpha, gamma, two = network["alpha"], network["gamma"], network.add("two", keys=2)
    first, second = two.enclave.keys
    whole = sealed(alpha, first, gamma.key)
    box, others = whole.boxes[0], whole.boxes[1]
    pushes = (
        replace(whole, recipients=(first, second), boxes=(box, bytes(48))),
        replace(whole, recipients=(second, first), boxes=(box, box)),
        replace(whole, recipients=(first, second), boxes=(box,)),
        replace(whole, recipients=(first, gamma.key), boxes=(box, others)),
    )
    for payload in pushes:
        await two.receiver.accept(payload)
        assert two.store.kept[whole.hash] == part(whole, first)
        assert (await two.receiver.receive(whole.hash)).managed == (first,)


async def test_the_same_push_many_times_is_kept_once_and_another_with_its_hash_is_refused(network: Network) -> None:
    alpha, beta = network["alpha"], network["beta"]
    payload = part(sealed(alpha, beta.key), beta.key)
    replicas = [beta, beta.replica(), beta.replica()]
    hashes = await asyncio.gather(*(replicas[number % 3].receiver.accept(payload) for number in range(50)))
    assert set(hashes) == {payload.hash}
    assert list(beta.store.kept.values()) == [payload]
    with pytest.raises(ConflictError):
        await beta.receiver.accept(replace(payload, flag=PROTECTED))
    other = alpha.enclave.wrap(alpha.enclave.seal_raw(b"x", alpha.key), [beta.key])
    with pytest.raises((ConflictError, UnopenableError)):
        await beta.receiver.accept(replace(other, ciphertext=payload.ciphertext))
    assert list(beta.store.kept.values()) == [payload]


@pytest.mark.parametrize("flag", [PrivacyFlag.STANDARD, VALIDATED])
async def test_pushes_for_two_keys_of_one_member_keep_both_boxes(network: Network, flag: PrivacyFlag) -> None:
    alpha, two = network["alpha"], network.add("two", keys=2)
    exec_hash = EXEC_HASH if flag is VALIDATED else b""
    sent = await alpha.sender.send(
        SendRequest(b"x", recipients=tuple(two.enclave.keys), flag=flag, exec_hash=exec_hash)
    )
    assert len(two.pushed) == 2
    read = await two.replica().receiver.receive(sent.hash)
    assert set(read.managed) == set(two.enclave.keys)
    for key in two.enclave.keys:
        assert (await two.receiver.receive(sent.hash, key)).payload == b"x"


async def test_forged_security_hashes_are_dropped_or_refused(network: Network) -> None:
    alpha, beta, gamma = network["alpha"], network["beta"], network["gamma"]
    made = await alpha.sender.send(SendRequest(b"code", recipients=(beta.key,), flag=PROTECTED))
    forged = gamma.enclave.seal(b"call", gamma.key, [beta.key, gamma.key], flag=PROTECTED)
    forged = replace(part(forged, beta.key), affected={made.hash: bytes(64)})
    await beta.receiver.accept(forged)
    assert (await beta.receiver.receive(forged.hash)).affected == ()

    kept = await alpha.sender.send(SendRequest(b"c", recipients=(beta.key,), flag=VALIDATED, exec_hash=EXEC_HASH))
    payload = alpha.enclave.seal(
        b"call",
        alpha.key,
        [beta.key, alpha.key],
        flag=VALIDATED,
        exec_hash=EXEC_HASH,
        affected={kept.hash: alpha.store.kept[kept.hash]},
    )
    with pytest.raises(RuleError):
        await beta.receiver.accept(replace(payload, affected={kept.hash: bytes(64)}))
    # What affects something that beta does not have is answered, and not kept.
    unknown = replace(payload, affected={bytes(64): bytes(64)})
    assert await beta.receiver.accept(unknown) == unknown.hash
    with pytest.raises(UnknownHashError):
        await beta.receiver.receive(unknown.hash)


async def test_another_flag_than_the_contracts_is_answered_and_not_kept(network: Network) -> None:
    alpha, beta = network["alpha"], network["beta"]
    made = await alpha.sender.send(SendRequest(b"code", recipients=(beta.key,), flag=PROTECTED))
    call = alpha.enclave.seal(b"x", alpha.key, [beta.key], affected={made.hash: alpha.store.kept[made.hash]})
    assert await beta.receiver.accept(call) == call.hash
    assert list(beta.store.kept) == [made.hash]


async def test_nobody_adds_parties_to_a_validated_payload(network: Network) -> None:
    alpha, beta, gamma = network["alpha"], network["beta"], network["gamma"]
    sent = await alpha.sender.send(SendRequest(b"c", recipients=(beta.key,), flag=VALIDATED, exec_hash=EXEC_HASH))
    (pushed,) = beta.pushed
    with pytest.raises(ConflictError):
        await beta.receiver.accept(replace(pushed, recipients=(*pushed.recipients, gamma.key)))
    assert set(await beta.receiver.participants(sent.hash)) == {alpha.key, beta.key}


async def test_our_own_payload_that_comes_home_gets_our_box_again(network: Network) -> None:
    alpha, beta = network["alpha"], network["beta"]
    sent = await alpha.sender.send(SendRequest(b"sent", recipients=(beta.key,)))
    before = alpha.store.kept.pop(sent.hash)
    with pytest.raises(UnopenableError):
        await alpha.receiver.accept(replace(beta.store.kept[sent.hash], boxes=(bytes(48),)))
    await alpha.receiver.accept(beta.store.kept[sent.hash])
    after = alpha.store.kept[sent.hash]
    assert dict(zip(after.recipients, after.boxes, strict=True)) == dict(
        zip(before.recipients, before.boxes, strict=True)
    )
    assert (await alpha.receiver.receive(sent.hash)).payload == b"sent"
    # And a recipient that was missing is added to what is here.
    alpha.store.kept[sent.hash] = part(before, alpha.key)
    await alpha.receiver.accept(beta.store.kept[sent.hash])
    assert set(await alpha.receiver.participants(sent.hash)) == {alpha.key, beta.key}


async def test_our_own_payload_that_comes_home_is_judged_like_any_other(network: Network) -> None:
    alpha, beta = network["alpha"], network["beta"]
    made = await alpha.sender.send(SendRequest(b"code", recipients=(beta.key,), flag=PROTECTED))
    call = SendRequest(b"call", recipients=(beta.key,), flag=PROTECTED, affected=(made.hash,))
    called = await alpha.sender.send(call)
    alpha.store.kept.pop(called.hash)
    await alpha.receiver.accept(replace(beta.store.kept[called.hash], affected={made.hash: bytes(64)}))
    assert (await alpha.receiver.receive(called.hash)).affected == ()
    alpha.store.kept.pop(called.hash)
    await alpha.receiver.accept(beta.store.kept[called.hash])
    assert (await alpha.receiver.receive(called.hash)).affected == (made.hash,)


async def test_only_uuids_are_answered_as_challenges(network: Network) -> None:
    alpha, beta, gamma = network["alpha"], network["beta"], network["gamma"]
    text = str(uuid.uuid4())
    assert beta.receiver.answer_challenge(alpha.enclave.seal_challenge(text, beta.key)) == text
    for other in ("x" * 36, "a secret", text + "x", "{" + text[:-2] + "}"):
        with pytest.raises(MalformedError):
            beta.receiver.answer_challenge(alpha.enclave.seal_challenge(other, beta.key))
    with pytest.raises(MalformedError):
        beta.receiver.answer_challenge(alpha.enclave.seal_challenge(text, gamma.key))
