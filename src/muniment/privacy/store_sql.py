"""Pieces of SQL that differ between the databases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import Connection

_MILLISECONDS = {
    "postgresql": "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
    "mysql": "CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS SIGNED)",
    "mariadb": "CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS SIGNED)",
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
}

_IS_REPLICA = {
    "postgresql": "pg_is_in_recovery()",
    "mysql": "@@global.read_only",
    "mariadb": "@@global.read_only",
    "sqlite": "0",
}


def now(connection: Connection) -> sa.ColumnElement[int]:
    """Milliseconds since 1970 by the database's clock, which all managers share."""
    return sa.literal_column(_MILLISECONDS[connection.dialect.name], sa.BigInteger)


def is_replica(connection: Connection) -> sa.ColumnElement[Any]:
    """Whether the database may lack what its primary has acknowledged; part of every read whose absence counts."""
    return sa.literal_column(_IS_REPLICA[connection.dialect.name])


def insert_new(connection: Connection, table: sa.Table, *rows: Mapping[str, Any]) -> int:
    """Insert rows that are not there yet, by their primary key; gives the number of those that were inserted."""
    if not rows:
        return 0
    values = [dict(row) for row in rows]
    if connection.dialect.name in ("mysql", "mariadb"):
        return _insert_on_mysql(connection, table, values)
    build = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = build(table).values(values).on_conflict_do_nothing()
    return int(connection.execute(statement).rowcount)


def _insert_on_mysql(connection: Connection, table: sa.Table, values: list[dict[str, Any]]) -> int:
    # INSERT IGNORE would pass over other errors too, and the driver warns of every row that is there.
    try:
        return int(connection.execute(sa.insert(table).values(values)).rowcount)
    except exc.IntegrityError:
        return sum(_insert_on_mysql(connection, table, [one]) for one in values) if len(values) > 1 else 0


def put(connection: Connection, table: sa.Table, row: Mapping[str, Any]) -> None:
    """Insert a row, or replace the one with its primary key."""
    keys = {column.name for column in table.primary_key.columns}
    rest = {name: value for name, value in row.items() if name not in keys}
    if connection.dialect.name in ("mysql", "mariadb"):
        connection.execute(mysql.insert(table).values(dict(row)).on_duplicate_key_update(rest))
        return
    build = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = build(table).values(dict(row))
    connection.execute(statement.on_conflict_do_update(index_elements=sorted(keys), set_=rest))
