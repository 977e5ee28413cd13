"""Files and requests in the database."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection

from muniment.kernel.errors import TemporaryError
from muniment.notary.replica import ALONE
from muniment.notary.store_tables import batches, files, requests
from muniment.notary.values import Backlog, FileView, Member, NewFile, NewRequest, Place, Repeated, State

IN_CHUNK = 500
"""Identifiers in one IN list: every database takes that many parameters."""

_STATE = sa.func.coalesce(batches.c.state, int(State.RECEIVED))
_VIEW = sa.select(
    files.c.id, files.c.name, files.c.size, files.c.sha256, files.c.cid, _STATE, files.c.batch, batches.c.cause
).select_from(files.outerjoin(batches, files.c.batch == batches.c.number))
_MEMBER = sa.select(
    files.c.id,
    files.c.size,
    files.c.sha256,
    files.c.cid,
    files.c.dag_size,
    files.c.statement,
    files.c.segment,
    files.c.segment_offset,
)


def accept(connection: Connection, group: Sequence[NewRequest], replica: str) -> dict[str, Repeated]:
    """Insert every request of `group` whose key is new, whole; the others are answered by identifier of the request.

    A request that is already there under its own identifier (its commit succeeded, and only the answer was lost) is
    left as it is. Raises `TemporaryError` when another notary takes one of the keys at the same moment.
    """
    known = _known_keys(connection, [request.key for request in group if request.key])
    repeated: dict[str, Repeated] = {}
    fresh: list[NewRequest] = []
    for request in group:
        earlier = known.get(request.key) if request.key else None
        if earlier is None:
            fresh.append(request)
            if request.key:
                known[request.key] = (request.id, request.fingerprint)
        elif earlier[0] != request.id:
            repeated[request.id] = Repeated(earlier[0], same=earlier[1] == request.fingerprint)
    _insert(connection, fresh, replica)
    return repeated


def _known_keys(connection: Connection, keys: Sequence[str]) -> dict[str, tuple[str, bytes]]:
    if not keys:
        return {}
    query = sa.select(requests.c.key_digest, requests.c.request, requests.c.fingerprint)
    rows = connection.execute(query.where(requests.c.key_digest.in_(keys)))
    return {row[0]: (row[1], row[2]) for row in rows}


def _insert(connection: Connection, fresh: Sequence[NewRequest], replica: str) -> None:
    keyed = [
        {"key_digest": r.key, "request": r.id, "fingerprint": r.fingerprint, "received_at": r.files[0].received_at}
        for r in fresh
        if r.key
    ]
    if keyed:
        try:
            connection.execute(sa.insert(requests), keyed)
        except exc.IntegrityError as error:
            raise TemporaryError("another notary takes the same upload: it is asked for", delay=0.2) from error
    rows = [{**_row(file), "replica": replica} for request in fresh for file in request.files]
    if rows:
        connection.execute(sa.insert(files), rows)


def _row(file: NewFile) -> dict[str, Any]:
    return {
        "id": file.id,
        "name": file.name,
        "size": file.size,
        "sha256": file.sha256,
        "cid": file.cid,
        "dag_size": file.dag_size,
        "statement": file.statement,
        "segment": file.place.segment,
        "segment_offset": file.place.offset,
        "received_at": file.received_at,
    }


def present(connection: Connection, identifiers: Sequence[str]) -> set[str]:
    """Those of `identifiers` that are files."""
    found: set[str] = set()
    for some in in_chunks(identifiers):
        rows = connection.execute(sa.select(files.c.id).where(files.c.id.in_(some)))
        found.update(row[0] for row in rows)
    return found


def views(connection: Connection, identifiers: Sequence[str]) -> dict[str, FileView]:
    """What the API says of files, by identifier; unknown ones are absent."""
    found: dict[str, FileView] = {}
    for some in in_chunks(identifiers):
        for row in connection.execute(_VIEW.where(files.c.id.in_(some))):
            found[row[0]] = _view(row)
    return found


def views_of_request(connection: Connection, request: str) -> list[FileView]:
    """The files of one request in their order."""
    query = _VIEW.where(files.c.id.between(request, request + "g")).order_by(files.c.id)
    return [_view(row) for row in connection.execute(query)]


def _view(row: Sequence[Any]) -> FileView:
    identifier, name, size, sha256, cid, state, batch, cause = row
    return FileView(identifier, name, size, sha256, cid, State(state), batch, cause or "")


def backlog(connection: Connection, replica: str) -> Backlog:
    """What of a replica waits for a batch."""
    query = sa.select(sa.func.count(), sa.func.sum(files.c.size), sa.func.min(files.c.received_at))
    row = (connection.execute(query.where(files.c.batch.is_(None), files.c.replica == replica))).one()
    return Backlog(row[0], int(row[1] or 0), row[2])


def waiting(connection: Connection, limit: int, replica: str) -> list[Member]:
    """The oldest files of a replica without a batch, at most `limit`, in leaf order."""
    query = _MEMBER.where(files.c.batch.is_(None), files.c.replica == replica).order_by(files.c.id).limit(limit)
    return [_member(row) for row in connection.execute(query)]


def members(connection: Connection, batch: int) -> list[Member]:
    """The files of a batch in leaf order."""
    query = _MEMBER.where(files.c.batch == batch).order_by(files.c.id)
    return [_member(row) for row in connection.execute(query)]


def _member(row: Sequence[Any]) -> Member:
    identifier, size, sha256, cid, dag_size, statement, segment, offset = row
    return Member(identifier, size, sha256, cid, dag_size, statement, Place(segment, offset))


def statements(connection: Connection, batch: int) -> list[tuple[str, bytes]]:
    """Identifier and statement of every leaf of a batch, in leaf order."""
    query = sa.select(files.c.id, files.c.statement).where(files.c.batch == batch).order_by(files.c.id)
    return [(row[0], row[1]) for row in connection.execute(query)]


def statements_of(connection: Connection, identifiers: Sequence[str]) -> dict[str, bytes]:
    """Statements by identifier."""
    found: dict[str, bytes] = {}
    for some in in_chunks(identifiers):
        rows = connection.execute(sa.select(files.c.id, files.c.statement).where(files.c.id.in_(some)))
        found.update((row[0], row[1]) for row in rows)
    return found


def unstored_by_segment(connection: Connection, replica: str) -> dict[int, int]:
    """How many files of each segment of a replica's spool are not stored yet; segments without any are absent."""
    query = (
        sa.select(files.c.segment, sa.func.count())
        .select_from(files.outerjoin(batches, files.c.batch == batches.c.number))
        .where(_STATE.in_((int(State.RECEIVED), int(State.BATCHED))), files.c.replica == replica)
        .group_by(files.c.segment)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def adopt(connection: Connection, segments: Collection[int], replica: str) -> int:
    """Give a name to what an only notary left, if that is the one with these `segments`; returns its files.

    Only what is not stored yet is somebody's.
    """
    if unstored_by_segment(connection, ALONE).keys().isdisjoint(segments):
        return 0
    mine = sa.select(batches.c.number).where(batches.c.state == int(State.BATCHED), batches.c.replica == ALONE)
    numbers = list(connection.execute(mine).scalars())
    adopted = 0
    for which in (files.c.batch.is_(None), files.c.batch.in_(numbers)):
        change = sa.update(files).where(which, files.c.replica == ALONE).values(replica=replica)
        adopted += connection.execute(change).rowcount
    connection.execute(sa.update(batches).where(batches.c.number.in_(numbers)).values(replica=replica))
    return adopted


def in_chunks(identifiers: Sequence[str]) -> Iterator[Sequence[str]]:
    """`identifiers` in pieces that fit an IN list."""
    for start in range(0, len(identifiers), IN_CHUNK):
        yield identifiers[start : start + IN_CHUNK]


def give_batch(connection: Connection, number: int, identifiers: Iterable[str]) -> int:
    """Put files that have no batch into one; returns how many the batch then has."""
    for some in in_chunks(list(identifiers)):
        change = sa.update(files).where(files.c.id.in_(some), files.c.batch.is_(None)).values(batch=number)
        connection.execute(change)
    count = connection.execute(sa.select(sa.func.count()).where(files.c.batch == number))
    return int(count.scalar_one())
