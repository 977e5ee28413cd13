"""Pieces of SQL that differ between the databases."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import Connection

from muniment.database.session import READ_ONLY

_WAS_THERE: Final = 1


def is_replica(dialect: str) -> sa.ColumnElement[Any]:
    """Whether the database may lack what its primary has acknowledged; part of a glance whose absence counts."""
    return sa.literal_column(READ_ONLY[dialect])


@functools.cache
def _insert(table: sa.Table) -> Any:
    """Made once: to compile a statement costs more than to run it."""
    return sa.insert(table)


@functools.cache
def _insert_new(table: sa.Table, dialect: str) -> Any:
    if dialect in ("mysql", "mariadb"):
        # A plain INSERT locks the row that it finds for readers only: two that go on to change it would be a deadlock.
        # It changes nothing here, but locks for writing, and leaves word that the row was there.
        key = next(iter(table.primary_key.columns))
        same = sa.func.if_(sa.func.last_insert_id(_WAS_THERE), key, key)
        return mysql.insert(table).on_duplicate_key_update({key.name: same})
    build = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return build(table).on_conflict_do_nothing()


def insert_new(connection: Connection, table: sa.Table, row: Mapping[str, Any]) -> bool:
    """Insert a row unless there is one with its primary key, which is locked then; whether it was inserted."""
    dialect = connection.dialect.name
    done = connection.execute(_insert_new(table, dialect), dict(row))
    if dialect in ("mysql", "mariadb"):
        return bool(done.lastrowid != _WAS_THERE)
    return bool(done.rowcount)


def insert_all(connection: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that are known to be new."""
    if rows:
        connection.execute(_insert(table), [dict(row) for row in rows])


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
