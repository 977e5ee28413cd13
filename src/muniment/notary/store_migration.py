"""Brings the database to this version's tables at the start of the service, under a lock."""

from __future__ import annotations

import importlib

import sqlalchemy as sa
from sqlalchemy.engine import Connection

HEAD = "0001"
"""The newest revision in `migrations/versions`; a test compares them."""

_VERSIONS = sa.table("alembic_version", sa.column("version_num", sa.String))
_LOCK_NAME = "muniment notary"
_LOCK_NUMBER = 0x6D756E69
_LOCK_SECONDS = 60


def migrate(connection: Connection) -> None:
    """Apply the revisions that are missing, under a lock, in the transaction of `connection`."""
    _lock(connection)
    try:
        _upgrade(connection)
    finally:
        _unlock(connection)


def _lock(connection: Connection) -> None:
    # SQLite's write transaction is the lock there.
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK_NUMBER)))
    elif connection.dialect.name in ("mysql", "mariadb"):
        connection.execute(sa.select(sa.func.get_lock(_LOCK_NAME, _LOCK_SECONDS)))


def _unlock(connection: Connection) -> None:
    # MySQL's lock belongs to the connection, PostgreSQL's ends with the transaction.
    if connection.dialect.name in ("mysql", "mariadb"):
        connection.execute(sa.select(sa.func.release_lock(_LOCK_NAME)))


def _upgrade(connection: Connection) -> None:
    if _revision(connection) == HEAD:
        return
    # alembic takes a quarter of a second to import, and most starts find everything in place.
    importlib.import_module("muniment.notary.store_upgrade").upgrade(connection)


def _revision(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table(_VERSIONS.name):
        return None
    revision: str | None = connection.execute(sa.select(_VERSIONS.c.version_num)).scalar_one_or_none()
    return revision
