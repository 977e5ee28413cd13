"""Leases in the database: what one of several notaries does. The database's clock counts, not the notaries'."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from muniment.notary.store_tables import leases

_NOW: Final = {
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
    "postgresql": "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
    "mysql": "CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS SIGNED)",
    "mariadb": "CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS SIGNED)",
}
"""Milliseconds since 1970, by dialect."""


def take(connection: Connection, name: str, holder: str, seconds: float) -> bool:
    """Take or renew a lease for so many seconds; `False` while another one holds it."""
    row = connection.execute(sa.select(leases).where(leases.c.name == name).with_for_update()).one_or_none()
    clock = sa.literal_column(_NOW[connection.dialect.name], sa.BigInteger)
    now = connection.execute(sa.select(clock)).scalar_one()
    values = {"holder": holder, "until": int(now) + int(seconds * 1000)}
    if row is None:
        # Of two that insert at once one fails, and asks again.
        connection.execute(sa.insert(leases).values(name=name, **values))
        return True
    if row.holder != holder and row.until > now:
        return False
    connection.execute(sa.update(leases).where(leases.c.name == name).values(**values))
    return True
