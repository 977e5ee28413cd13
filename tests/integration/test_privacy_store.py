"""Every store does the same, in memory and in SQLite, MariaDB, PostgreSQL; replicas that share one lose nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from muniment.kernel.errors import IntegrityError, TemporaryError
from muniment.kernel.waiting import NotYetError, wait_for
from muniment.privacy import store_member
from muniment.privacy.errors import ConflictError
from muniment.privacy.ports import Store
from muniment.privacy.store import open_store
from muniment.privacy.values import Payload, Peer, PrivacyFlag, RawPayload
from tests.support.databases import PASSWORD
from tests.support.memory_store import MemoryStore

pytestmark = pytest.mark.anyio

KEYS = [bytes([n]) * 32 for n in range(1, 9)]
AT_ONCE = 20
MIGRATE_SECONDS = 60
RAW = b"a raw payload's ciphertext"

Open = Callable[[], Awaitable[Store]]


@pytest.fixture(params=["memory", "sqlite", "mariadb", "postgresql"])
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Open]:
    """Opens stores that share one database, as replicas do."""
    stores: list[Store] = [MemoryStore()]
    of_server = request.param in ("mariadb", "postgresql")
    place = request.getfixturevalue(request.param).fresh() if of_server else "sqlite"

    async def another() -> Store:
        if request.param == "memory":
            return stores[0]
        store = open_store(place, PASSWORD if of_server else None, tmp_path / "privacy.sqlite")
        stores.append(store)
        await wait_for("making the tables", lambda: migrated(store), timeout=MIGRATE_SECONDS)
        return store

    yield another
    for store in stores:
        await store.close()


async def migrated(store: Store) -> None:
    """Makes the tables as a manager does: it tries again while another one is at it."""
    try:
        await store.migrate()
    except TemporaryError as error:
        raise NotYetError(str(error)) from error


@pytest.fixture
async def store(opened: Open) -> Store:
    """One store, claimed."""
    store = await opened()
    await store.claim(KEYS[:2])
    return store


def payload(*recipients: bytes, text: bytes = b"", flag: PrivacyFlag = PrivacyFlag.STANDARD) -> Payload:
    """A payload with a box for each recipient."""
    return Payload(
        sender=KEYS[7],
        ciphertext=text or os.urandom(100),
        nonce=b"n" * 24,
        boxes=tuple(key[:1] * 48 for key in recipients),
        recipient_nonce=b"r" * 24,
        recipients=recipients,
        flag=flag,
        exec_hash=b"x" * 44 if flag is PrivacyFlag.PRIVATE_STATE_VALIDATION else b"",
    )


def raw(text: bytes = RAW) -> RawPayload:
    return RawPayload(KEYS[0], text, b"k" * 48, b"n" * 24)


async def test_what_was_added_is_read_as_it_was(store: Store) -> None:
    every_field = Payload(
        sender=KEYS[0],
        ciphertext=os.urandom(3 << 20),
        nonce=bytes(24),
        boxes=(b"\xff" * 48, b"\x00" * 48),
        recipient_nonce=b"'\\\"%s\n\x00".ljust(24, b"%"),
        recipients=(KEYS[2], KEYS[0]),
        flag=PrivacyFlag.MANDATORY_RECIPIENTS,
        affected={b"a" * 64: b"b" * 64, b"c" * 64: b"d" * 64},
        mandatory=(KEYS[0], KEYS[2]),
        group_id=b"g" * 32,
    )
    kept = [every_field, payload(KEYS[0]), payload(KEYS[1], KEYS[0], flag=PrivacyFlag.PRIVATE_STATE_VALIDATION)]
    assert await store.payload(every_field.hash) is None
    assert await store.is_empty()
    for one in kept:
        await store.add(one)
        await store.add(one)
    assert [await store.payload(one.hash) for one in kept] == kept
    assert await store.payloads([*(one.hash for one in kept), bytes(64)]) == {one.hash: one for one in kept}
    assert await store.payload(bytes(64)) is None
    assert not await store.is_empty()


async def test_a_hash_ends_with_any_byte(store: Store) -> None:
    kept = [payload(KEYS[0], text=b"%d" % n) for n in range(200)]
    await asyncio.gather(*(store.add(one) for one in kept))
    assert [await store.payload(one.hash) for one in kept] == kept


async def test_new_boxes_come_first_and_nothing_is_lost(store: Store) -> None:
    whole = payload(KEYS[0], KEYS[1], KEYS[2])
    for n in range(3):
        await store.add(replace(whole, boxes=whole.boxes[n : n + 1], recipients=whole.recipients[n : n + 1]))
    await store.add(replace(whole, boxes=whole.boxes[:1], recipients=whole.recipients[:1]))
    found = await store.payload(whole.hash)
    assert found == replace(whole, boxes=whole.boxes[::-1], recipients=whole.recipients[::-1])


async def test_with_state_validation_the_new_key_moves_to_the_front(store: Store) -> None:
    whole = payload(KEYS[0], KEYS[1], KEYS[2], flag=PrivacyFlag.PRIVATE_STATE_VALIDATION)
    first = replace(whole, boxes=whole.boxes[:1])
    second = replace(whole, boxes=whole.boxes[2:], recipients=(KEYS[2], KEYS[0], KEYS[1]))
    await store.add(first)
    assert await store.payload(whole.hash) == first
    await store.add(second)
    await store.add(second)
    assert await store.payload(whole.hash) == replace(
        whole, boxes=(whole.boxes[2], whole.boxes[0]), recipients=(KEYS[2], KEYS[0], KEYS[1])
    )


async def test_boxes_pushed_to_replicas_at_once_are_all_kept(opened: Open) -> None:
    replicas = [await opened() for _ in range(3)]
    for _ in range(10):
        whole = payload(*KEYS[:6])
        parts = [replace(whole, boxes=whole.boxes[n : n + 1], recipients=whole.recipients[n : n + 1]) for n in range(6)]
        await asyncio.gather(*(replicas[n % 3].add(part) for n, part in enumerate(parts * 2)))
        found = await replicas[0].payload(whole.hash)
        assert found is not None
        assert dict(zip(found.recipients, found.boxes, strict=True)) == dict(
            zip(whole.recipients, whole.boxes, strict=True)
        )


async def test_the_same_push_to_all_replicas_is_one_payload(opened: Open) -> None:
    replicas = [await opened() for _ in range(3)]
    one = payload(KEYS[0])
    await asyncio.gather(*(replicas[n % 3].add(one) for n in range(50)))
    assert [await replica.payload(one.hash) for replica in replicas] == [one] * 3


async def test_what_is_acknowledged_is_seen_by_every_replica(opened: Open) -> None:
    replicas = [await opened() for _ in range(3)]
    for n in range(100):
        one = payload(KEYS[0])
        seen = await asyncio.gather(*(replica.payload(one.hash) for replica in replicas))
        await replicas[n % 3].add(one)
        assert seen == [None] * 3
        assert await asyncio.gather(*(replica.payload(one.hash) for replica in replicas)) == [one] * 3


@pytest.mark.parametrize(
    "change",
    [{"sender": KEYS[3]}, {"nonce": b"N" * 24}, {"recipient_nonce": b"R" * 24}, {"flag": PrivacyFlag.PARTY_PROTECTION}],
)
async def test_other_contents_under_the_same_hash_are_refused(store: Store, change: dict[str, bytes]) -> None:
    one = payload(KEYS[0])
    await store.add(one)
    with pytest.raises(ConflictError):
        await store.add(replace(one, **change))  # type: ignore[arg-type]
    assert await store.payload(one.hash) == one


async def test_a_refusal_does_not_touch_its_neighbours(store: Store) -> None:
    one = payload(KEYS[0])
    await store.add(one)
    others = [payload(KEYS[0]) for _ in range(AT_ONCE)]
    bad = replace(one, nonce=b"N" * 24)
    results = await asyncio.gather(*(store.add(each) for each in (*others, bad)), return_exceptions=True)
    assert [type(result) for result in results] == [type(None)] * AT_ONCE + [ConflictError]
    assert len(await store.payloads([each.hash for each in others])) == AT_ONCE


async def test_a_rebuilt_payload_replaces_the_old_one(store: Store) -> None:
    old = payload(KEYS[0])
    new = replace(old, recipients=(KEYS[1],), boxes=(b"z" * 48,), affected={b"a" * 64: b"b" * 64})
    await store.add(old)
    await store.replace(new)
    assert await store.payload(old.hash) == new


async def test_what_is_deleted_is_gone_in_all_its_forms(store: Store) -> None:
    one = payload(KEYS[0], text=RAW)
    await store.add(replace(one, affected={b"a" * 64: b"b" * 64}))
    await store.add_raw(raw())
    await store.keep_wrapped(one)
    assert await store.delete(one.hash)
    assert (await store.payload(one.hash), await store.raw(one.hash), await store.wrapped(one.hash)) == (None,) * 3
    assert not await store.delete(one.hash)
    await store.add(one)
    assert await store.payload(one.hash) == one


async def test_pages_hold_a_keys_payloads_in_order_of_their_hashes(store: Store) -> None:
    mine = [payload(KEYS[0], KEYS[1]) for _ in range(7)]
    sent = replace(payload(KEYS[2]), sender=KEYS[0])
    nobodys = payload()
    for one in (*mine, sent, nobodys, payload(KEYS[2])):
        await store.add(one)
    wanted = sorted((*mine, sent, nobodys), key=lambda one: one.hash)
    found: list[Payload] = []
    while page := await store.page(KEYS[0], found[-1].hash if found else b"", 4):
        assert len(page) <= 4
        found.extend(page)
    assert found == wanted


async def test_raw_payloads_are_kept_until_they_are_deleted(store: Store) -> None:
    one = raw(os.urandom(100_000))
    assert await store.raw(one.hash) is None
    await store.add_raw(one)
    await store.add_raw(one)
    assert await store.raw(one.hash) == one
    assert await store.payload(one.hash) is None


async def test_of_what_is_wrapped_twice_the_first_stays(opened: Open) -> None:
    replicas = [await opened() for _ in range(2)]
    forms = [payload(KEYS[0], text=RAW), replace(payload(KEYS[0], text=RAW), recipient_nonce=b"2" * 24)]
    kept = await asyncio.gather(*(replica.keep_wrapped(form) for replica, form in zip(replicas, forms, strict=True)))
    assert kept[0] == kept[1]
    assert kept[0] in forms
    assert await replicas[0].payload(forms[0].hash) is None
    assert await replicas[1].wrapped(forms[0].hash) == kept[0]
    await replicas[0].add(kept[0], was_wrapped=True)
    assert await replicas[1].wrapped(forms[0].hash) is None
    assert await replicas[1].payload(forms[0].hash) == kept[0]


async def test_a_key_has_one_owner(store: Store) -> None:
    first = Peer("http://a/", frozenset(KEYS[:2]), frozenset({"v2", "4.0"}))
    await store.announce(first)
    assert await store.peers() == [first]
    await store.announce(Peer("http://b/", frozenset(KEYS[1:3]), frozenset({"v1"})))
    owners = [await store.owner(key) for key in KEYS[:4]]
    assert [owner and owner.url for owner in owners] == ["http://a/", "http://a/", "http://b/", None]
    await store.announce(Peer("http://a/", frozenset(KEYS[:1]), frozenset({"v1"})))
    assert await store.owner(KEYS[1]) is None
    assert {peer.url: (peer.keys, peer.versions) for peer in await store.peers()} == {
        "http://a/": (frozenset(KEYS[:1]), frozenset({"v1"})),
        "http://b/": (frozenset(KEYS[2:3]), frozenset({"v1"})),
    }


async def test_a_key_whose_owner_is_silent_moves(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await store.announce(Peer("http://a/", frozenset(KEYS[:1])))
    monkeypatch.setattr(store_member, "STALE_SECONDS", -1)
    monkeypatch.setattr("tests.support.memory_store.STALE_SECONDS", -1)
    await store.announce(Peer("http://b/", frozenset(KEYS[:1])))
    owner = await store.owner(KEYS[0])
    assert owner is not None
    assert owner.url == "http://b/"


async def test_learned_urls_change_nothing_that_is_known(store: Store) -> None:
    known = Peer("http://a/", frozenset(KEYS[:1]), frozenset({"v2"}))
    await store.announce(known)
    await store.learn(["http://a/", "http://c/"])
    await store.learn(["http://c/"])
    await store.note_failure("http://a/")
    await store.note_failure("http://unknown/")
    assert sorted(await store.peers(), key=lambda peer: peer.url) == [known, Peer("http://c/")]
    assert await store.owner(KEYS[0]) is not None


async def test_announcements_at_once_do_not_get_in_each_others_way(opened: Open) -> None:
    replicas = [await opened() for _ in range(3)]
    peers = [Peer(f"http://{n}/", frozenset(KEYS[n : n + 2])) for n in range(6)]
    await asyncio.gather(*(replicas[n % 3].announce(peer) for n, peer in enumerate(peers * 4)))
    found = {peer.url: peer.keys for peer in await replicas[0].peers()}
    assert set(found) == {peer.url for peer in peers}
    assert sorted(key for keys in found.values() for key in keys) == KEYS[:7]


async def test_a_lease_has_one_holder_at_a_time(opened: Open) -> None:
    replicas = [await opened() for _ in range(4)]
    for name in ("one", "two"):
        got = await asyncio.gather(*(replica.take_lease(name, str(n), 60) for n, replica in enumerate(replicas)))
        assert sum(got) == 1
        assert await replicas[0].take_lease(name, str(got.index(True)), 60)
        assert await replicas[0].take_lease(name, str(got.index(True)), -1)
        assert await replicas[1].take_lease(name, "next", 60)


async def test_managers_that_start_at_once_claim_one_database(opened: Open) -> None:
    replicas = await asyncio.gather(*(opened() for _ in range(4)))
    claimed = await asyncio.gather(*(replica.claim(KEYS[:2]) for replica in replicas))
    assert len(set(claimed)) == 1
    assert claimed[0]
    assert (await replicas[0].check()).instance == claimed[0]


async def test_other_keys_are_refused_and_more_keys_are_taken(store: Store) -> None:
    instance = await store.claim(KEYS[:3])
    for keys in (KEYS[:2], KEYS[3:4]):
        with pytest.raises(IntegrityError, match="key"):
            await store.claim(keys)
    assert await store.claim(KEYS[:3]) == instance
    await store.adopt("0123")
    assert await store.claim(KEYS[:3]) == "0123"


async def test_of_managers_with_other_keys_one_is_refused(opened: Open) -> None:
    replicas = [await opened() for _ in range(2)]
    results = await asyncio.gather(
        *(replica.claim([key]) for replica, key in zip(replicas, KEYS, strict=False)), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) == ["IntegrityError", "str"]


async def test_a_database_without_an_identifier_fails_the_check(opened: Open) -> None:
    store = await opened()
    with pytest.raises(IntegrityError):
        await store.check()


async def test_recovered_payloads_are_staged_until_the_next_recovery(store: Store) -> None:
    assert not await store.recovering()
    await store.set_recovering(True)
    assert (await store.check()).recovering
    whole = payload(KEYS[0], KEYS[1])
    parts = [replace(whole, boxes=whole.boxes[n : n + 1], recipients=whole.recipients[n : n + 1]) for n in range(2)]
    others = [payload(KEYS[0]) for _ in range(5)]
    await store.stage([parts[0], *others])
    await store.stage([parts[1]])
    found: list[Payload] = []
    while page := await store.staged(found[-1].hash if found else b"", 2):
        found.extend(page)
    merged = replace(whole, boxes=whole.boxes[::-1], recipients=whole.recipients[::-1])
    assert found == sorted((merged, *others), key=lambda one: one.hash)
    assert await store.payload(whole.hash) is None
    await store.set_recovering(False)
    assert not await store.recovering()
    await store.set_recovering(True)
    assert await store.staged(b"", 10) == []


async def test_a_payload_of_an_old_manager_that_is_staged_twice_keeps_a_box(store: Store) -> None:
    named = payload(KEYS[0])
    unnamed = replace(named, recipients=())
    await store.stage([unnamed, named])
    await store.stage([unnamed])
    assert await store.staged(b"", 10) == [named]


async def test_what_is_staged_twice_affects_all_that_either_form_names(store: Store) -> None:
    whole = replace(payload(KEYS[0]), flag=PrivacyFlag.PARTY_PROTECTION)
    first, second = {b"a" * 64: b"1" * 64}, {b"b" * 64: b"2" * 64}
    for affected in ({}, first, second):
        await store.stage([replace(whole, affected=affected)])
    (found,) = await store.staged(b"", 10)
    assert found.affected == first | second


async def test_what_is_kept_gains_no_affected_transactions(store: Store) -> None:
    whole = replace(payload(KEYS[0]), flag=PrivacyFlag.PARTY_PROTECTION)
    await store.add(whole)
    await store.add(replace(whole, affected={b"a" * 64: b"1" * 64}))
    assert await store.payload(whole.hash) == whole


async def test_with_private_state_validation_the_recipients_are_the_same_for_ever(store: Store) -> None:
    whole = payload(KEYS[0], KEYS[1], KEYS[2], flag=PrivacyFlag.PRIVATE_STATE_VALIDATION)
    first = replace(whole, boxes=whole.boxes[:1])
    await store.add(first)
    with pytest.raises(ConflictError):
        await store.add(replace(first, recipients=(*first.recipients, KEYS[3])))
    with pytest.raises(ConflictError):
        await store.add(replace(first, recipients=first.recipients[:2]))
    assert await store.payload(whole.hash) == first
    keys = (KEYS[1], KEYS[0], KEYS[2])
    await store.add(replace(whole, boxes=whole.boxes[1:2], recipients=keys))
    assert await store.payload(whole.hash) == replace(whole, boxes=whole.boxes[1::-1], recipients=keys)
