"""Applies a service's revisions with alembic."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from sqlalchemy.engine import Connection

from muniment.database.migration import Revisions


def upgrade(connection: Connection, revisions: Revisions) -> None:
    """Bring the tables to the newest revision, in the transaction of `connection`."""
    config = Config()
    config.set_main_option("script_location", str(revisions.place).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["version_table"] = revisions.table
    command.upgrade(config, "head")
