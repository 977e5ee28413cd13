"""Batches in the database: each function is one durable step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection, RowMapping

from muniment.kernel.errors import PermanentError
from muniment.notary.errors import NumberTakenError
from muniment.notary.store_files import give_batch
from muniment.notary.store_tables import CAUSE_LENGTH, batches, files
from muniment.notary.values import Anchor, Batch, Counts, NewBatch, Outbox, State

_FIXED = (
    "number",
    "size",
    "content_bytes",
    "root",
    "header",
    "digest",
    "previous",
    "directory",
    "opened_at",
    "closed_at",
)


def add(connection: Connection, batch: NewBatch, identifiers: Sequence[str], replica: str) -> None:
    """Fix a batch and its files.

    Raises `NumberTakenError` when another notary fixed one with its number, and `PermanentError` when a file has a
    batch already.
    """
    header = sa.insert(batches).values(state=int(State.BATCHED), replica=replica, **asdict(batch))
    try:
        connection.execute(header)
    except exc.IntegrityError as error:
        raise NumberTakenError(f"batch {batch.number} is another notary's: this one takes the next number") from error
    if give_batch(connection, batch.number, identifiers) != batch.size:
        raise PermanentError(
            f"files of batch {batch.number} are in another batch: let no two notaries work on this database with one"
            " name (a copied volume), or without one (`replicas`)"
        )


def get(connection: Connection, number: int) -> Batch | None:
    """One batch."""
    row = (connection.execute(sa.select(batches).where(batches.c.number == number))).mappings().one_or_none()
    return None if row is None else _batch(row)


def is_own(connection: Connection, number: int, replica: str) -> bool:
    """Whether a batch is still its maker's to work on, and that is `replica`."""
    query = sa.select(batches.c.state, batches.c.replica).where(batches.c.number == number)
    state, maker = connection.execute(query).one()
    return bool(state == State.BATCHED and maker == replica)


def last(connection: Connection) -> tuple[int, bytes] | None:
    """Number and digest of the newest batch."""
    query = sa.select(batches.c.number, batches.c.digest).order_by(batches.c.number.desc()).limit(1)
    row = (connection.execute(query)).one_or_none()
    return None if row is None else (row[0], row[1])


def in_state(connection: Connection, state: State, replica: str | None = None) -> list[Batch]:
    """All batches of a state, oldest first; with `replica` only those that it formed."""
    query = sa.select(batches).where(batches.c.state == int(state)).order_by(batches.c.number)
    if replica is not None:
        query = query.where(batches.c.replica == replica)
    return [_batch(row) for row in (connection.execute(query)).mappings()]


def set_stored(connection: Connection, number: int, holders: Sequence[str]) -> None:
    """The content is pinned by `holders`."""
    _change(connection, number, state=int(State.STORED), holders=" ".join(holders), **_NO_CAUSE)


def set_outbox(connection: Connection, number: int, outbox: Outbox) -> None:
    """Keep a signed transaction before it is sent."""
    _change(connection, number, outbox_raw=outbox.raw, outbox_hash=outbox.hash, outbox_nonce=outbox.nonce)


def set_anchored(connection: Connection, number: int, anchor: Anchor) -> None:
    """The chain holds the batch, finally."""
    _change(
        connection,
        number,
        state=int(State.ANCHORED),
        anchor_transaction=anchor.transaction,
        anchor_block=anchor.block_number,
        anchor_block_hash=anchor.block_hash,
        anchor_block_time=anchor.block_time,
        anchor_log_index=anchor.log_index,
        anchor_seq=anchor.seq,
        **_NO_CAUSE,
    )


def set_cause(connection: Connection, number: int, *, attempts: int, retry_at: int, cause: str) -> None:
    """The batch is stuck: why, how often it was tried, and when it is tried again (ms since 1970)."""
    _change(connection, number, attempts=attempts, retry_at=retry_at, cause=cause[:CAUSE_LENGTH])


_NO_CAUSE: dict[str, Any] = {"attempts": 0, "retry_at": 0, "cause": ""}


def _change(connection: Connection, number: int, **values: Any) -> None:
    connection.execute(sa.update(batches).where(batches.c.number == number).values(**values))


def counts(connection: Connection) -> Counts:
    """Files and batches by state."""
    query = sa.select(
        batches.c.state,
        sa.func.count(),
        sa.func.sum(batches.c.size),
        sa.func.sum(sa.case((batches.c.cause != "", 1), else_=0)),
    ).group_by(batches.c.state)
    by_files = dict.fromkeys(State, 0)
    by_batches = dict.fromkeys((State.BATCHED, State.STORED, State.ANCHORED), 0)
    stuck = 0
    for state, number, size, with_cause in connection.execute(query):
        by_files[State(state)] = int(size)
        by_batches[State(state)] = number
        stuck += int(with_cause)
    waiting = connection.execute(sa.select(sa.func.count()).where(files.c.batch.is_(None)))
    by_files[State.RECEIVED] = int(waiting.scalar_one())
    return Counts(by_files, by_batches, stuck)


def _batch(row: RowMapping) -> Batch:
    outbox = anchor = None
    if row["outbox_raw"] is not None:
        outbox = Outbox(row["outbox_raw"], row["outbox_hash"], row["outbox_nonce"])
    if row["anchor_transaction"] is not None:
        anchor = Anchor(
            row["anchor_transaction"],
            row["anchor_block"],
            row["anchor_block_hash"],
            row["anchor_block_time"],
            row["anchor_log_index"],
            row["anchor_seq"],
        )
    return Batch(
        fixed=NewBatch(**{name: row[name] for name in _FIXED}),
        state=State(row["state"]),
        attempts=row["attempts"],
        retry_at=row["retry_at"],
        cause=row["cause"],
        holders=tuple(row["holders"].split()),
        outbox=outbox,
        anchor=anchor,
    )
