"""What the managers of a member share beside payloads: peers, leases, which database it is, recovery."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from muniment.database.clock import now
from muniment.kernel.errors import IntegrityError
from muniment.privacy import store_payloads
from muniment.privacy.store_sql import insert_all, insert_new, put
from muniment.privacy.store_tables import leases, member, own_keys, peer_keys, peers
from muniment.privacy.values import Checked, Peer

STALE_SECONDS = 60
"""A key whose owner has not announced it for so long may be announced by another URL: its member has moved."""

MOST_PEERS = 4096


def all_peers(connection: Connection) -> Sequence[Peer]:
    """See `ports.Store.peers`."""
    keys: dict[bytes, set[bytes]] = {}
    for row in connection.execute(sa.select(peer_keys.c.public_key, peer_keys.c.peer)):
        keys.setdefault(row.peer, set()).add(row.public_key)
    rows = connection.execute(sa.select(peers).order_by(peers.c.heard_at, peers.c.digest))
    return [_peer(row.url, keys.get(row.digest, set()), row.versions) for row in rows]


def owner(connection: Connection, key: bytes) -> Peer | None:
    """See `ports.Store.owner`."""
    statement = (
        sa.select(peers.c.url, peers.c.versions)
        .join(peer_keys, peer_keys.c.peer == peers.c.digest)
        .where(peer_keys.c.public_key == key)
    )
    row = connection.execute(statement).one_or_none()
    return None if row is None else _peer(row.url, {key}, row.versions)


def announce(connection: Connection, peer: Peer) -> None:
    """See `ports.Store.announce`."""
    digest = _digest(peer.url)
    at = connection.execute(sa.select(now(connection))).scalar_one()
    versions = ",".join(sorted(peer.versions))[:255]
    row = {"digest": digest, "url": peer.url, "versions": versions, "heard_at": at, "failures": 0}
    put(connection, peers, row)
    known = connection.execute(
        sa.select(peer_keys).where(sa.or_(peer_keys.c.public_key.in_(list(peer.keys)), peer_keys.c.peer == digest))
    ).all()
    stale = at - STALE_SECONDS * 1000
    elsewhere = {one.public_key for one in known if one.peer != digest and one.heard_at > stale}
    for key in sorted(peer.keys - elsewhere):
        put(connection, peer_keys, {"public_key": key, "peer": digest, "heard_at": at})
    gone = [one.public_key for one in known if one.peer == digest and one.public_key not in peer.keys]
    if gone:
        connection.execute(sa.delete(peer_keys).where(peer_keys.c.public_key.in_(gone)))


def learn(connection: Connection, urls: Collection[str]) -> None:
    """See `ports.Store.learn`."""
    room = MOST_PEERS - connection.execute(sa.select(sa.func.count()).select_from(peers)).scalar_one()
    for url in sorted(urls)[: max(room, 0)]:
        row = {"digest": _digest(url), "url": url, "versions": "", "heard_at": 0, "failures": 0}
        insert_new(connection, peers, row)


def note_failure(connection: Connection, url: str) -> None:
    """See `ports.Store.note_failure`."""
    statement = sa.update(peers).where(peers.c.digest == _digest(url)).values(failures=peers.c.failures + 1)
    connection.execute(statement)


def take_lease(connection: Connection, name: str, holder: str, seconds: float) -> bool:
    """See `ports.Store.take_lease`."""
    at = connection.execute(sa.select(now(connection))).scalar_one()
    until = at + int(seconds * 1000)
    statement = (
        sa.update(leases)
        .where(leases.c.name == name, sa.or_(leases.c.holder == holder, leases.c.until < at))
        .values(holder=holder, until=until)
    )
    if connection.execute(statement).rowcount:
        return True
    return insert_new(connection, leases, {"name": name, "holder": holder, "until": until})


def claim(connection: Connection, keys: Collection[bytes]) -> str:
    """See `ports.Store.claim`."""
    fresh = {"one": 1, "instance": secrets.token_hex(16), "recovering": 0, "checked_at": 0}
    insert_new(connection, member, fresh)
    # Locked: of two managers that start at once, the second sees the keys of the first.
    instance = connection.execute(sa.select(member.c.instance).with_for_update()).scalar_one()
    known = set(connection.execute(sa.select(own_keys.c.public_key)).scalars())
    if not known.issubset(keys):
        raise IntegrityError(
            "the database keeps payloads of a key that this manager does not hold: give all managers of the member the"
            " same keys, or another database"
        )
    insert_all(connection, own_keys, [{"public_key": key} for key in sorted(set(keys) - known)])
    return str(instance)


def check(connection: Connection) -> Checked:
    """See `ports.Store.check`."""
    connection.execute(sa.update(member).values(checked_at=now(connection)))
    row = connection.execute(sa.select(member.c.instance, member.c.recovering)).one_or_none()
    if row is None:
        raise IntegrityError("the database was emptied while it was used: restore it, or recover the payloads")
    return Checked(row.instance, bool(row.recovering))


def adopt(connection: Connection, instance: str) -> None:
    """See `ports.Store.adopt`."""
    connection.execute(sa.update(member).values(instance=instance))


def recovering(connection: Connection) -> bool:
    """See `ports.Store.recovering`."""
    return bool(connection.execute(sa.select(member.c.recovering)).scalar_one_or_none())


def set_recovering(connection: Connection, value: bool) -> None:
    """See `ports.Store.set_recovering`."""
    if value:
        store_payloads.clear_staged(connection)
    connection.execute(sa.update(member).values(recovering=int(value)))


def _peer(url: str, keys: Collection[bytes], versions: str) -> Peer:
    return Peer(url, frozenset(keys), frozenset(version for version in versions.split(",") if version))


def _digest(url: str) -> bytes:
    return hashlib.sha256(url.encode()).digest()
