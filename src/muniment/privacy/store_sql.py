"""Pieces of SQL that differ between the databases."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import Connection

from muniment.database.session import READ_ONLY

_DUPLICATE: Final = 1062
"""MySQL's code for a key that is there already."""

_MILLISECONDS = {
    "postgresql": "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
    "mysql": "CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS SIGNED)",
    "mariadb": "CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS SIGNED)",
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
}


def now(connection: Connection) -> sa.ColumnElement[int]:
    """Milliseconds since 1970 by the database's clock, which all managers share."""
    return sa.literal_column(_MILLISECONDS[connection.dialect.name], sa.BigInteger)


def is_replica(dialect: str) -> sa.ColumnElement[Any]:
    """Whether the database may lack what its primary has acknowledged; part of a glance whose absence counts."""
    return sa.literal_column(READ_ONLY[dialect])


@functools.cache
def _insert(table: sa.Table, dialect: str, *, conflicts: bool) -> Any:
    """Made once: to compile a statement costs more than to run it."""
    if dialect in ("mysql", "mariadb") or not conflicts:
        return sa.insert(table)
    build = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return build(table).on_conflict_do_nothing()


def insert_new(connection: Connection, table: sa.Table, row: Mapping[str, Any]) -> bool:
    """Insert a row unless there is one with its primary key; whether it was inserted."""
    dialect = connection.dialect.name
    statement = _insert(table, dialect, conflicts=True)
    try:
        return bool(connection.execute(statement, dict(row)).rowcount)
    except exc.IntegrityError as error:
        # MySQL's own INSERT IGNORE would pass over other errors too. There, a failed statement ends no transaction.
        if error.orig is None or error.orig.args[0] != _DUPLICATE:
            raise
        return False


def insert_all(connection: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that are known to be new."""
    if rows:
        connection.execute(_insert(table, connection.dialect.name, conflicts=False), [dict(row) for row in rows])


@functools.cache
def _put(table: sa.Table, dialect: str, names: frozenset[str]) -> Any:
    keys = {column.name for column in table.primary_key.columns}
    if dialect in ("mysql", "mariadb"):
        ours = mysql.insert(table)
        return ours.on_duplicate_key_update({name: ours.inserted[name] for name in sorted(names - keys)})
    build = postgresql.insert if dialect == "postgresql" else sqlite.insert
    statement = build(table)
    rest = {name: statement.excluded[name] for name in sorted(names - keys)}
    return statement.on_conflict_do_update(index_elements=sorted(keys), set_=rest)


def put(connection: Connection, table: sa.Table, row: Mapping[str, Any]) -> None:
    """Insert a row, or replace the one with its primary key."""
    connection.execute(_put(table, connection.dialect.name, frozenset(row)), dict(row))
