"""What a new connection to a server is asked and told, and what is part of reads whose absence counts."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from muniment.database.errors import ReadOnlyError

LOCK_SECONDS: Final = 2
"""How long a statement waits for a lock before it fails."""

STATEMENT_SECONDS: Final = 3
"""How long a server works on one statement before it gives up."""

READ_ONLY: Final[Mapping[str, str]] = {
    # A standby says so too: its transactions are read-only.
    "postgresql": "current_setting('transaction_read_only') = 'on'",
    "mysql": "@@global.read_only",
    "mariadb": "@@global.read_only",
    "sqlite": "0",
}
"""By dialect: SQL that is true where a row may be missing that the primary has: at a replica, at a former primary."""

_log = logging.getLogger(__name__)


def refusal(place: str) -> ReadOnlyError:
    """The error for a server, `place`, that takes no writes."""
    return ReadOnlyError(f"{place} is a replica or was made read-only: name the primary in the URL")


def prepare_postgresql(connection: Any, place: str) -> None:
    """Set up a connection of the driver. Raises `ReadOnlyError` when it leads to a standby."""
    # Whoever set remote_apply keeps it; a weaker setting would lose what was acknowledged.
    read_only, syncs, _ = _one(
        connection,
        f"SELECT {READ_ONLY['postgresql']}, current_setting('fsync') = 'on',"
        " set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') = 'remote_apply'"
        " THEN 'remote_apply' ELSE 'on' END, false)"
        f" || set_config('lock_timeout', '{LOCK_SECONDS * 1000}', false)"
        f" || set_config('statement_timeout', '{STATEMENT_SECONDS * 1000}', false)"
        f" || set_config('idle_in_transaction_session_timeout', '{STATEMENT_SECONDS * 2000}', false)",
    )
    connection.commit()
    if read_only:
        raise refusal(place)
    if not syncs:
        _warn(place, "fsync = on")


def prepare_mysql(connection: Any, place: str) -> None:
    """Set up a connection of the driver. Raises `ReadOnlyError` when it leads to a replica."""
    read_only, flushes, galera = _one(
        connection,
        "SELECT @@global.read_only, @@global.innodb_flush_log_at_trx_commit,"
        " (SELECT count(*) FROM information_schema.plugins WHERE plugin_name = 'wsrep')",
    )
    if read_only:
        raise refusal(place)
    # Without a strict mode the server cuts what is too long instead of refusing it.
    _do(
        connection,
        f"SET SESSION innodb_lock_wait_timeout = {LOCK_SECONDS},"
        " SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')",
    )
    if galera:
        # A node of Galera may lag behind the one that acknowledged: reads wait until it has caught up.
        _do(connection, "SET SESSION wsrep_sync_wait = 1")
    connection.commit()
    if flushes != 1:
        _warn(place, "innodb_flush_log_at_trx_commit = 1")


def _one(connection: Any, sql: str) -> tuple[Any, ...]:
    cursor = connection.cursor()
    try:
        cursor.execute(sql)
        row: tuple[Any, ...] = cursor.fetchone()
    finally:
        cursor.close()
    return row


def _do(connection: Any, sql: str) -> None:
    cursor = connection.cursor()
    try:
        cursor.execute(sql)
    finally:
        cursor.close()


def _warn(place: str, setting: str) -> None:
    _log.warning("%s may lose what it acknowledged when its machine fails: set %s there", place, setting)
