"""Makes tables in revisions so that a revision may be applied again.

MySQL ends the transaction at every change of a table: after a crash in between, some tables of a revision are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa
from alembic import op

_MYSQL: Final = {"engine": "InnoDB", "default_charset": "utf8mb4", "collate": "utf8mb4_bin"}
"""A server's own defaults may be a character set that has no Chinese, and an order in which `a` is `A`."""


def make_table(name: str, *columns: sa.Column[Any]) -> None:
    """Make a table unless it is there."""
    options = {f"{dialect}_{option}": value for dialect in ("mysql", "mariadb") for option, value in _MYSQL.items()}
    op.create_table(name, *columns, if_not_exists=True, **options)


def make_index(name: str, table: str, columns: Sequence[str]) -> None:
    """Make an index unless it is there."""
    if name not in {known["name"] for known in sa.inspect(op.get_bind()).get_indexes(table)}:
        op.create_index(name, table, list(columns))
