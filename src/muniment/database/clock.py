"""The database's clock: what several processes that share a database can agree on."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

# In UTC: the hour that comes twice when summer time ends has two meanings elsewhere.
_MYSQL: Final = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000"

_MILLISECONDS: Final = {
    "postgresql": "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
}


def now(connection: Connection) -> sa.ColumnElement[int]:
    """Milliseconds since 1970, as an expression for a statement on this connection."""
    return sa.literal_column(_MILLISECONDS[connection.dialect.name], sa.BigInteger)
