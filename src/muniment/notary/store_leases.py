"""Leases in the database. The database's clock counts, not the notaries'."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection

from muniment.database.clock import now
from muniment.kernel.errors import TemporaryError
from muniment.notary.errors import LostLeaseError
from muniment.notary.leasing import Lease, granted
from muniment.notary.store_tables import batches, leases
from muniment.notary.values import State

ANCHORING: Final = "anchoring"


def take(connection: Connection, holder: str, term: int, *, renew_only: bool) -> int:
    """Take or renew the lease; returns the term in which `holder` has it, or 0 when it has not.

    Who takes it over tries every stored batch at once: when the one before wanted to try again is by its own clock.
    Raises `TemporaryError` when another one made the lease at the same moment.
    """
    lease = _locked(connection)
    after = granted(lease, holder, term, int(connection.execute(sa.select(now(connection))).scalar_one()))
    if after is None or (renew_only and after.term != term):
        return 0
    values = {"holder": after.holder, "term": after.term, "until": after.until}
    if lease is None:
        try:
            connection.execute(sa.insert(leases).values(name=ANCHORING, **values))
        except exc.IntegrityError as error:
            raise TemporaryError("another notary took the lease at the same moment: it is asked for again") from error
    else:
        connection.execute(sa.update(leases).where(leases.c.name == ANCHORING).values(**values))
    if after.term != term:
        waiting = sa.update(batches).where(batches.c.state == int(State.STORED), batches.c.retry_at > 0)
        connection.execute(waiting.values(retry_at=0))
    return after.term


def give_up(connection: Connection, holder: str, term: int) -> None:
    """Let another one have the lease at once; nothing when it is another one's already."""
    mine = (leases.c.name == ANCHORING, leases.c.holder == holder, leases.c.term == term)
    connection.execute(sa.update(leases).where(*mine).values(until=0))


def fence(connection: Connection, holder: str, term: int) -> None:
    """Let the transaction go on only if `holder` still has the lease in this term, which nobody ends before it does.

    Raises `LostLeaseError`.
    """
    lease = _locked(connection)
    if lease is None or (lease.holder, lease.term) != (holder, term):
        raise LostLeaseError("another notary anchors by now: it goes on where this one was")


def _locked(connection: Connection) -> Lease | None:
    query = sa.select(leases.c.holder, leases.c.term, leases.c.until).where(leases.c.name == ANCHORING)
    row = connection.execute(query.with_for_update()).one_or_none()
    return None if row is None else Lease(row[0], row[1], row[2])
