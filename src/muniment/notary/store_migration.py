"""Brings the database to this version's tables with alembic, at the start of the service."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy.engine import Connection

HEAD = "0001"
"""The newest revision in `migrations/versions`; a test compares them."""

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
    if MigrationContext.configure(connection).get_current_revision() == HEAD:
        return
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
