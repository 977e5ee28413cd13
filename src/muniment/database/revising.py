"""Makes tables in revisions so that a revision may be applied again.

MySQL ends the transaction at every change of a table: after a crash in between, some tables of a revision are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op


def make_table(name: str, *columns: sa.Column[Any]) -> None:
    """Make a table unless it is there."""
    op.create_table(name, *columns, if_not_exists=True)


def make_index(name: str, table: str, columns: Sequence[str]) -> None:
    """Make an index unless it is there."""
    if name not in {known["name"] for known in sa.inspect(op.get_bind()).get_indexes(table)}:
        op.create_index(name, table, list(columns))
