"""Payloads in SQL: one row each, and one for every recipient and every affected transaction."""

from __future__ import annotations

import functools
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from muniment.database.session import refusal
from muniment.kernel.errors import TemporaryError
from muniment.privacy.envelope import decode, encode
from muniment.privacy.errors import ConflictError
from muniment.privacy.store_sql import insert_all, insert_new, is_replica, put
from muniment.privacy.store_tables import affected, member, payloads, raw, recipients, staged, wrapped
from muniment.privacy.values import KEY_BYTES, Payload, PrivacyFlag, RawPayload

_FIXED = ("sender", "flag", "nonce", "recipient_nonce", "exec_hash", "mandatory")
"""What must be the same when a hash comes again. Affected transactions may differ: those that could not be checked at
the first time were left out."""

_one = sa.select(sa.literal_column("1").label("one")).subquery("one_row")


_MANY = sa.select(payloads).where(payloads.c.hash.in_(sa.bindparam("hashes", expanding=True)))
_RECIPIENTS = (
    sa.select(recipients)
    .where(recipients.c.hash.in_(sa.bindparam("hashes", expanding=True)))
    .order_by(recipients.c.hash, recipients.c.place)
)
_AFFECTED = sa.select(affected).where(affected.c.hash.in_(sa.bindparam("hashes", expanding=True)))


@functools.cache
def _lookup(dialect: str) -> sa.Select[Any]:
    # One row comes back in any case: it says whether what is missing here is missing at the primary of this member.
    wanted = payloads.c.hash.in_(sa.bindparam("hashes", expanding=True))
    instance = sa.select(member.c.instance).scalar_subquery()
    # Most affect nothing: one statement less for them.
    affects = sa.exists().where(affected.c.hash == payloads.c.hash)
    said = (is_replica(dialect).label("replica"), instance.label("instance"), affects.label("affects"))
    return sa.select(*said, payloads).select_from(_one.outerjoin(payloads, wanted))


def look_up(connection: Connection, hashes: Collection[bytes], instance: str | None) -> dict[bytes, Payload]:
    """Those of the payloads that the primary has, by hash; what is absent, the primary did not have.

    Raises `ReadOnlyError` when this is not the primary, and `TemporaryError` when `instance` (the identifier that the
    database was claimed with; None: any) is not its own: after a change of hosts this may be another database.
    """
    rows = connection.execute(_lookup(connection.dialect.name), {"hashes": list(hashes)}).all()
    if any(row.replica for row in rows):
        raise refusal("the database")
    if instance is not None and any(row.instance != instance for row in rows):
        raise TemporaryError("this is not the database that this manager knows: the next check decides")
    return _by_hash(connection, [row for row in rows if row.hash is not None])


def get_many(connection: Connection, hashes: Collection[bytes]) -> dict[bytes, Payload]:
    """Those of the payloads that there are, by hash."""
    return _by_hash(connection, connection.execute(_MANY, {"hashes": list(hashes)}).all())


def add(connection: Connection, payload: Payload, *, was_wrapped: bool) -> None:
    """See `ports.Store.add`."""
    row = _row(payload)
    payload_hash = row["hash"]
    if insert_new(connection, payloads, row):
        _insert_parts(connection, payload_hash, payload)
    else:
        _merge(connection, payload_hash, row, payload)
    if was_wrapped:
        connection.execute(sa.delete(wrapped).where(wrapped.c.hash == payload_hash))


def replace(connection: Connection, payload: Payload) -> None:
    """See `ports.Store.replace`."""
    payload_hash = payload.hash
    _delete(connection, payload_hash)
    insert_new(connection, payloads, _row(payload))
    _insert_parts(connection, payload_hash, payload)


def delete(connection: Connection, payload_hash: bytes) -> bool:
    """See `ports.Store.delete`."""
    gone = _delete(connection, payload_hash)
    for table in (raw, wrapped):
        gone += connection.execute(sa.delete(table).where(table.c.hash == payload_hash)).rowcount
    return gone > 0


def page(connection: Connection, key: bytes, after: bytes, limit: int) -> Sequence[Payload]:
    """See `ports.Store.page`."""
    named = sa.exists().where(recipients.c.hash == payloads.c.hash)
    wanted = sa.or_(payloads.c.sender == key, named.where(recipients.c.public_key == key), sa.not_(named))
    statement = sa.select(payloads).where(payloads.c.hash > after, wanted).order_by(payloads.c.hash).limit(limit)
    return _whole(connection, connection.execute(statement).all())


def get_raw(connection: Connection, payload_hash: bytes) -> RawPayload | None:
    """See `ports.Store.raw`."""
    row = connection.execute(sa.select(raw).where(raw.c.hash == payload_hash)).one_or_none()
    return None if row is None else RawPayload(row.sender, row.ciphertext, row.encrypted_key, row.nonce)


def add_raw(connection: Connection, payload: RawPayload) -> None:
    """See `ports.Store.add_raw`."""
    insert_new(
        connection,
        raw,
        {
            "hash": payload.hash,
            "sender": payload.sender,
            "ciphertext": payload.ciphertext,
            "encrypted_key": payload.encrypted_key,
            "nonce": payload.nonce,
            "kept_at": _now(),
        },
    )


def get_wrapped(connection: Connection, payload_hash: bytes) -> Payload | None:
    """See `ports.Store.wrapped`."""
    found = connection.execute(sa.select(wrapped.c.encoded).where(wrapped.c.hash == payload_hash)).scalar_one_or_none()
    return None if found is None else decode(found)


def keep_wrapped(connection: Connection, payload: Payload) -> Payload:
    """See `ports.Store.keep_wrapped`."""
    payload_hash = payload.hash
    if insert_new(connection, wrapped, {"hash": payload_hash, "encoded": encode(payload)}):
        return payload
    return get_wrapped(connection, payload_hash) or payload


def stage(connection: Connection, found: Collection[Payload]) -> None:
    """See `ports.Store.stage`."""
    for payload in found:
        payload_hash = payload.hash
        if insert_new(connection, staged, {"hash": payload_hash, "encoded": encode(payload)}):
            continue
        statement = sa.select(staged.c.encoded).where(staged.c.hash == payload_hash).with_for_update()
        before = decode(connection.execute(statement).scalar_one())
        put(connection, staged, {"hash": payload_hash, "encoded": encode(merged(before, payload))})


def get_staged(connection: Connection, after: bytes, limit: int) -> Sequence[Payload]:
    """See `ports.Store.staged`."""
    statement = sa.select(staged.c.encoded).where(staged.c.hash > after).order_by(staged.c.hash).limit(limit)
    return [decode(found) for found in connection.execute(statement).scalars()]


def clear_staged(connection: Connection) -> None:
    """Empty the staging table."""
    connection.execute(sa.delete(staged))


def merged(before: Payload, payload: Payload) -> Payload:
    """`before` with the recipients, boxes and affected transactions that only `payload` has; new recipients come first,
    as Tessera does it."""
    if not (before.recipients and payload.recipients):
        # A box without a name, of a very old manager: one form is as good as the other.
        return before if before.recipients else payload
    boxes = dict(zip(before.recipients, before.boxes, strict=False))
    fresh = {key: box for key, box in zip(payload.recipients, payload.boxes, strict=False) if key not in boxes}
    holders = (*fresh, *boxes)
    others = [key for key in (*before.recipients, *payload.recipients) if key not in fresh and key not in boxes]
    return Payload(
        before.sender,
        before.ciphertext,
        before.nonce,
        (*fresh.values(), *boxes.values()),
        before.recipient_nonce,
        tuple(dict.fromkeys((*holders, *others))),
        before.flag,
        # A member that is no party of what a payload affects does not keep that part of it.
        {**payload.affected, **before.affected},
        before.exec_hash,
        before.mandatory,
        before.group_id,
    )


def _now() -> int:
    # For people who look into the tables; nothing is decided by it.
    return int(time.time() * 1000)


def _row(payload: Payload) -> dict[str, Any]:
    return {
        "hash": payload.hash,
        "sender": payload.sender,
        "flag": int(payload.flag),
        "ciphertext": payload.ciphertext,
        "nonce": payload.nonce,
        "recipient_nonce": payload.recipient_nonce,
        "exec_hash": payload.exec_hash,
        "mandatory": b"".join(sorted(payload.mandatory)),
        "group_id": payload.group_id,
        "kept_at": _now(),
    }


def _insert_parts(connection: Connection, payload_hash: bytes, payload: Payload) -> None:
    _insert_recipients(connection, payload_hash, payload)
    insert_all(
        connection,
        affected,
        [
            {"hash": payload_hash, "affected": other, "security_hash": proof}
            for other, proof in payload.affected.items()
        ],
    )


def _insert_recipients(connection: Connection, payload_hash: bytes, payload: Payload) -> None:
    boxes: Sequence[bytes | None] = (*payload.boxes, *[None] * (len(payload.recipients) - len(payload.boxes)))
    insert_all(
        connection,
        recipients,
        [
            {"hash": payload_hash, "public_key": key, "box": box, "place": place}
            for place, (key, box) in enumerate(zip(payload.recipients, boxes, strict=True))
        ],
    )


def _merge(connection: Connection, payload_hash: bytes, row: Mapping[str, Any], payload: Payload) -> None:
    # The row is locked: two managers that get boxes for two of our keys at once must keep both.
    statement = sa.select(payloads).where(payloads.c.hash == payload_hash).with_for_update()
    stored = connection.execute(statement).one()
    if any(getattr(stored, name) != row[name] for name in _FIXED):
        raise ConflictError("another payload with the same hash is kept here: it was refused")
    before = _whole(connection, [stored])[0]
    if before.flag is PrivacyFlag.PRIVATE_STATE_VALIDATION and {*before.recipients} != {*payload.recipients}:
        # Whoever knows a payload could name further parties, and later transactions of the contract would be refused.
        raise ConflictError("the same payload with other recipients is kept here: it was refused")
    after = merged(before, payload)
    if (after.recipients, after.boxes) != (before.recipients, before.boxes):
        connection.execute(sa.delete(recipients).where(recipients.c.hash == payload_hash))
        _insert_recipients(connection, payload_hash, after)


def _delete(connection: Connection, payload_hash: bytes) -> int:
    for table in (recipients, affected):
        connection.execute(sa.delete(table).where(table.c.hash == payload_hash))
    return connection.execute(sa.delete(payloads).where(payloads.c.hash == payload_hash)).rowcount


def _by_hash(connection: Connection, rows: Sequence[Row[Any]]) -> dict[bytes, Payload]:
    return {row.hash: payload for row, payload in zip(rows, _whole(connection, rows), strict=True)}


def _whole(connection: Connection, rows: Sequence[Row[Any]]) -> list[Payload]:
    """The payloads of these rows, in their order."""
    hashes = [row.hash for row in rows]
    if not hashes:
        return []
    keys: dict[bytes, list[Row[Any]]] = {each: [] for each in hashes}
    for one in connection.execute(_RECIPIENTS, {"hashes": hashes}):
        keys[one.hash].append(one)
    touched: dict[bytes, dict[bytes, bytes]] = {each: {} for each in hashes}
    affecting = [row.hash for row in rows if getattr(row, "affects", True)]
    for one in connection.execute(_AFFECTED, {"hashes": affecting}) if affecting else ():
        touched[one.hash][one.affected] = one.security_hash
    return [_payload(row, keys[row.hash], touched[row.hash]) for row in rows]


def _payload(row: Row[Any], keys: Iterable[Row[Any]], touched: Mapping[bytes, bytes]) -> Payload:
    parties = list(keys)
    mandatory = row.mandatory
    return Payload(
        sender=row.sender,
        ciphertext=row.ciphertext,
        nonce=row.nonce,
        boxes=tuple(one.box for one in parties if one.box is not None),
        recipient_nonce=row.recipient_nonce,
        recipients=tuple(one.public_key for one in parties),
        flag=PrivacyFlag(row.flag),
        affected=touched,
        exec_hash=row.exec_hash,
        mandatory=tuple(mandatory[at : at + KEY_BYTES] for at in range(0, len(mandatory), KEY_BYTES)),
        group_id=row.group_id,
    )


def is_empty(connection: Connection) -> bool:
    """Whether no payload is kept."""
    return connection.execute(sa.select(payloads.c.hash).limit(1)).first() is None
