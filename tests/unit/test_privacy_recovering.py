"""Recovery of a lost database: what comes back, in which order it is kept, and what is told when some is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from muniment.kernel.errors import TemporaryError
from muniment.privacy import recovering
from muniment.privacy.errors import PeerAwayError, RuleError, UnopenableError
from muniment.privacy.recovering import Outcome, Recovery
from muniment.privacy.values import Payload, PrivacyFlag, SendRequest
from tests.support.memory_store import MemoryStore
from tests.support.privacy_network import Member, MemoryOthers, Network
from tests.unit.privacy_payloads import EXEC_HASH

pytestmark = pytest.mark.anyio

PROTECTED = PrivacyFlag.PARTY_PROTECTION
MANDATORY = PrivacyFlag.MANDATORY_RECIPIENTS
VALIDATED = PrivacyFlag.PRIVATE_STATE_VALIDATION


@pytest.fixture
def network() -> Network:
    return Network("alpha", "beta", "gamma")


async def sent(sender: Member, plain: bytes, *to: Member, flag: PrivacyFlag, affected: Sequence[bytes] = ()) -> bytes:
    request = SendRequest(
        plain,
        recipients=tuple(member.key for member in to),
        flag=flag,
        affected=tuple(affected),
        exec_hash=EXEC_HASH if flag is VALIDATED else b"",
        mandatory=(sender.key,) if flag is MANDATORY else (),
    )
    return (await sender.sender.send(request)).hash


def lose(member: Member) -> dict[bytes, Payload]:
    """Empty the member's database; gives what was there."""
    lost = dict(member.store.kept)
    member.store.kept.clear()
    return lost


def boxes(payload: Payload) -> dict[bytes, bytes]:
    return dict(zip(payload.recipients, payload.boxes, strict=False))


def affected(member: Member) -> dict[bytes, Mapping[bytes, bytes]]:
    return {each: payload.affected for each, payload in member.store.kept.items()}


async def test_everything_comes_back_in_the_order_of_its_dependencies(network: Network) -> None:
    alpha, beta, gamma = network["alpha"], network["beta"], network["gamma"]
    for flag in PrivacyFlag:
        chain: list[bytes] = []
        for number in range(6):
            giver, takers = (alpha, (beta, gamma)) if number % 2 == 0 or flag is MANDATORY else (gamma, (alpha, beta))
            chain.append(await sent(giver, b"%d" % number, *takers, flag=flag, affected=chain[-2:]))
    lost = lose(alpha)
    result = await alpha.recover(beta, gamma)
    assert (result.outcome, result.kept, result.lacking) == (Outcome.ALL, 24, set())
    # What gamma sent comes from gamma alone: only it has alpha's box.
    assert result.peers == {beta.url: 15, gamma.url: 24}
    assert alpha.store.kept.keys() == lost.keys()
    for payload_hash, before in lost.items():
        after = alpha.store.kept[payload_hash]
        assert (after.affected, after.flag, after.mandatory) == (before.affected, before.flag, before.mandatory)
        if before.sender == alpha.key:
            assert boxes(after) == boxes(before)
        else:
            assert after.recipients[0] == alpha.key
        assert alpha.enclave.open(after)
    assert not alpha.store.recovers


async def test_without_batches_payloads_without_flags_come_back(network: Network) -> None:
    alpha, beta = network["alpha"], network["beta"]
    network.without_batches.add("beta")
    there = await sent(alpha, b"x", beta, flag=PrivacyFlag.STANDARD)
    lose(alpha)
    result = await alpha.recover(beta)
    assert result.whole
    assert (await alpha.receiver.receive(there)).payload == b"x"


async def test_who_cannot_be_asked_is_told_and_the_member_goes_on_recovering(network: Network) -> None:
    alpha, beta, gamma = network["alpha"], network["beta"], network["gamma"]
    first = await sent(beta, b"code", alpha, gamma, flag=PROTECTED)
    call = await sent(gamma, b"call", alpha, flag=PROTECTED, affected=[first])
    plain = await sent(alpha, b"plain", gamma, flag=PrivacyFlag.STANDARD)
    lost = lose(alpha)
    network.away.add("beta")
    result = await alpha.recover(beta, gamma)
    assert result.outcome is Outcome.PARTIAL
    assert result.failed.keys() == {beta.url}
    # Kept without what it affects it would stay so.
    assert result.refused.keys() == {call}
    assert alpha.store.kept.keys() == {plain}
    assert alpha.store.recovers
    network.away.clear()
    again = await alpha.recover(beta, gamma)
    assert again.outcome is Outcome.ALL
    assert affected(alpha) == {each: payload.affected for each, payload in lost.items()}


@pytest.mark.parametrize("order", [("beta", "gamma"), ("gamma", "beta")])
async def test_what_one_giver_does_not_know_comes_from_another(network: Network, order: Sequence[str]) -> None:
    """Gamma is no party of the contract, and keeps nothing of what the call affects."""
    alpha, beta, gamma = network["alpha"], network["beta"], network["gamma"]
    first = await sent(alpha, b"code", beta, flag=PROTECTED)
    call = await sent(alpha, b"call", beta, gamma, flag=PROTECTED, affected=[first])
    assert (await gamma.receiver.receive(call)).affected == ()
    lost = lose(alpha)
    assert (await alpha.recover(*(network[name] for name in order))).outcome is Outcome.ALL
    assert affected(alpha) == {each: payload.affected for each, payload in lost.items()}
    assert boxes(alpha.store.kept[call]) == boxes(lost[call])


async def test_nothing_came(network: Network) -> None:
    alpha, beta = network["alpha"], network["beta"]
    network.away.add("beta")
    result = await alpha.recover(beta)
    assert (result.outcome, result.kept) == (Outcome.NONE, 0)
    assert alpha.store.recovers


@pytest.mark.parametrize("sender", ["alpha", "gamma"])
async def test_a_loss_that_is_accepted_is_mended_by_a_later_recovery(network: Network, sender: str) -> None:
    alpha, beta, gamma = network["alpha"], network["beta"], network["gamma"]
    caller = network[sender]
    first = await sent(beta, b"code", *{alpha.name: alpha, sender: caller}.values(), flag=PROTECTED)
    call = await sent(caller, b"call", alpha, beta, gamma, flag=PROTECTED, affected=[first])
    lost = lose(alpha)
    network.away.add("beta")
    result = await alpha.recover(beta, gamma, partial=True)
    # Gamma gives what it has: as the sender all, else nothing of what the call affects.
    assert (result.outcome, result.kept, call in result.lacking) == (Outcome.PARTIAL, 1, sender == "gamma")
    assert not alpha.store.recovers
    assert (await alpha.receiver.receive(call)).affected == ()
    network.away.clear()
    again = await alpha.recover(beta, gamma)
    assert (again.outcome, again.lacking) == (Outcome.ALL, set())
    assert affected(alpha) == {each: payload.affected for each, payload in lost.items()}
    assert boxes(alpha.store.kept[call]) == boxes(lost[call])


async def test_what_affects_transactions_that_nobody_has_is_told(network: Network) -> None:
    alpha, beta, gamma = network["alpha"], network["beta"], network["gamma"]
    protected = await sent(alpha, b"code", beta, flag=PROTECTED)
    validated = await sent(beta, b"code", alpha, gamma, flag=VALIDATED)
    call = await sent(alpha, b"call", beta, flag=PROTECTED, affected=[protected])
    checked = await sent(beta, b"call", alpha, gamma, flag=VALIDATED, affected=[validated])
    lose(alpha)
    for member in (beta, gamma):
        for gone in (protected, validated):
            member.store.kept.pop(gone, None)
    told: list[str] = []
    result = await alpha.recovery.run([beta.url, gamma.url], told.append)
    assert (result.kept, result.lacking) == (1, {call})
    assert result.refused.keys() == {checked}
    assert "is missing" in result.refused[checked]
    assert any("1 payloads affect transactions that are not here" in said for said in told)


async def test_circles_are_told(network: Network) -> None:
    alpha, beta = network["alpha"], network["beta"]
    one, two = (beta.enclave.seal(text, beta.key, [alpha.key], flag=PROTECTED) for text in (b"1", b"2"))
    itself = beta.enclave.seal(b"3", beta.key, [alpha.key], flag=PROTECTED)
    on_top = beta.enclave.seal(b"4", beta.key, [alpha.key], flag=PROTECTED)
    circle = (
        replace(one, affected={two.hash: bytes(64)}),
        replace(two, affected={one.hash: bytes(64)}),
        replace(itself, affected={itself.hash: bytes(64)}),
        replace(on_top, affected={one.hash: bytes(64)}),
    )
    for payload in circle:
        beta.store.kept[payload.hash] = payload
    good = await sent(beta, b"good", alpha, flag=PROTECTED)
    lose(alpha)
    result = await alpha.recover(beta)
    assert result.refused.keys() == {payload.hash for payload in circle}
    assert all("circle" in cause for cause in result.refused.values())
    assert alpha.store.kept.keys() == {good}
    assert alpha.store.recovers


async def test_forged_payloads_are_not_kept(network: Network) -> None:
    alpha, beta = network["alpha"], network["beta"]
    code = await sent(alpha, b"code", beta, flag=VALIDATED)
    call = await sent(beta, b"call", alpha, flag=VALIDATED, affected=[code])
    beta.store.kept[call] = replace(beta.store.kept[call], affected={code: bytes(64)})
    lose(alpha)
    result = await alpha.recover(beta)
    assert result.refused.keys() == {call}
    assert alpha.store.kept.keys() == {code}


async def test_batches_are_taken_while_the_member_recovers_only(network: Network) -> None:
    alpha, beta = network["alpha"], network["beta"]
    payload = beta.enclave.seal(b"x", beta.key, [alpha.key])
    with pytest.raises(RuleError):
        await alpha.recovery.accept_batch([payload])
    alpha.store.recovers = True
    await alpha.replica().recovery.accept_batch([payload])
    with pytest.raises(UnopenableError):
        await alpha.recovery.accept_batch([beta.enclave.seal(b"x", beta.key, [beta.key])])
    assert list(alpha.store.stages) == [payload.hash]


async def test_what_is_staged_after_the_end_is_refused(network: Network) -> None:
    alpha, beta = network["alpha"], network["beta"]
    payload = beta.enclave.seal(b"x", beta.key, [alpha.key])
    alpha.store.recovers = True
    staging = alpha.store.stage

    class Ending(MemoryStore):
        async def stage(self, payloads: object) -> None:
            await staging([payload])
            self.recovers = False

    store = Ending()
    store.recovers = True
    with pytest.raises(RuleError):
        await Recovery(alpha.enclave, store, MemoryOthers(network), alpha.receiver).accept_batch([payload])


async def test_what_others_send_meanwhile_is_kept_too(network: Network) -> None:
    alpha, two = network["alpha"], network.add("two", keys=2)
    first, second = two.enclave.keys
    late = alpha.enclave.seal(b"late", alpha.key, [first, second, alpha.key])
    one, other = (replace(late, recipients=(key,), boxes=(late.boxes[at],)) for at, key in enumerate((first, second)))
    others = [alpha.enclave.seal(b"%d" % number, alpha.key, [first]) for number in range(30)]

    class Busy(MemoryStore):
        """Others push while staged payloads are kept, and until the end."""

        async def add(self, payload: Payload, *, was_wrapped: bool = False) -> None:
            await super().add(payload, was_wrapped=was_wrapped)
            if self.recovers and others:
                await two.recovery.accept_batch([others.pop()])

        async def set_recovering(self, recovering: bool) -> None:
            if not recovering:
                await two.recovery.accept_batch([other])
            await super().set_recovering(recovering)
            if recovering:
                await two.recovery.accept_batch([one])

    two.store = Busy()
    two.__post_init__()
    hashes = {payload.hash for payload in (*others, late)}
    result = await two.recover(alpha)
    assert result.outcome is Outcome.ALL
    assert result.kept == len(two.store.kept)
    assert two.store.kept.keys() >= {late.hash}
    assert two.store.kept.keys() == hashes - {payload.hash for payload in others}
    assert set((await two.receiver.receive(late.hash)).managed) == {first, second}


async def test_a_short_absence_of_the_database_refuses_nothing(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovering, "PATIENCE_SECONDS", 0.0)
    alpha, beta = network["alpha"], network["beta"]
    await sent(beta, b"x", alpha, flag=PrivacyFlag.STANDARD)
    lose(alpha)
    add = alpha.store.add

    async def fails(payload: Payload, *, was_wrapped: bool = False) -> None:
        raise TemporaryError("the database is away")

    monkeypatch.setattr(alpha.store, "add", fails)
    with pytest.raises(TemporaryError, match="the database is away"):
        await alpha.recover(beta)
    assert alpha.store.recovers
    monkeypatch.setattr(alpha.store, "add", add)
    assert (await alpha.recover(beta)).outcome is Outcome.ALL


async def test_two_members_recover_from_one_another_at_once(network: Network) -> None:
    alpha, beta, gamma = network["alpha"], network["beta"], network["gamma"]
    both = await sent(gamma, b"x", alpha, beta, flag=PrivacyFlag.STANDARD)
    lose(alpha)
    lose(beta)
    results = await asyncio.gather(alpha.recover(gamma), beta.recover(gamma))
    assert [result.outcome for result in results] == [Outcome.ALL, Outcome.ALL]
    for member in (alpha, beta):
        assert (await member.receiver.receive(both)).payload == b"x"


async def test_a_member_that_is_away_is_no_peer(network: Network) -> None:
    network.away.add("beta")
    with pytest.raises(PeerAwayError):
        network.at(network["beta"].url)
