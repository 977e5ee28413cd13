"""Brings a database to a version's tables at the start of a service, under a lock.

Each service has its revisions and its own table that says which one is in place, so that several may share a database.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from muniment.kernel.errors import TemporaryError

_LOCK_SECONDS = 3


@dataclass(frozen=True)
class Revisions:
    """The revisions of one service."""

    service: str
    """Names the lock."""
    place: Path
    """Directory of alembic's `env.py` and `versions`."""
    head: str
    """The newest revision."""
    table: str
    """Of the revision in place."""


def migrate(connection: Connection, revisions: Revisions) -> None:
    """Apply the revisions that are missing, under a lock, in the transaction of `connection`.

    Raises `TemporaryError` while another one does it.
    """
    if _revision(connection, revisions) == revisions.head:
        return
    _lock(connection, revisions)
    try:
        if _revision(connection, revisions) != revisions.head:
            # alembic takes a quarter of a second to import, and most starts find everything in place.
            importlib.import_module("muniment.database.upgrade").upgrade(connection, revisions)
    finally:
        _unlock(connection, revisions)


def _lock(connection: Connection, revisions: Revisions) -> None:
    # SQLite's write transaction is the lock there.
    name = f"muniment {revisions.service}"
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(crc32(name.encode()))))
    elif connection.dialect.name in ("mysql", "mariadb"):
        got = connection.execute(sa.select(sa.func.get_lock(name, _LOCK_SECONDS))).scalar_one()
        if not got:
            raise TemporaryError("another process makes the tables of the database: it is waited for")


def _unlock(connection: Connection, revisions: Revisions) -> None:
    # MySQL's lock belongs to the connection, PostgreSQL's ends with the transaction.
    if connection.dialect.name in ("mysql", "mariadb"):
        connection.execute(sa.select(sa.func.release_lock(f"muniment {revisions.service}")))


def _revision(connection: Connection, revisions: Revisions) -> str | None:
    if not sa.inspect(connection).has_table(revisions.table):
        return None
    versions = sa.table(revisions.table, sa.column("version_num", sa.String))
    revision: str | None = connection.execute(sa.select(versions.c.version_num)).scalar_one_or_none()
    return revision
