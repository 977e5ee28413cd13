"""Making the tables: every database gets those that the code uses, even after a crash in between, or by two at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.engine import Connection

from muniment.database.engine import open_database
from muniment.database.migration import Revisions, migrate
from muniment.notary import store as notary
from muniment.notary import store_tables as notary_tables
from muniment.privacy import store as privacy
from muniment.privacy import store_tables as privacy_tables
from tests.support.databases import PASSWORD, DatabaseServer

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["sqlite", "mariadb", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """Of an empty database."""
    if request.param == "sqlite":
        return "sqlite"
    server: DatabaseServer = request.getfixturevalue(request.param)
    return server.fresh()


@pytest.mark.parametrize(
    ("revisions", "metadata", "first"),
    [
        (privacy.REVISIONS, privacy_tables.metadata, "privacy_payload"),
        (notary.REVISIONS, notary_tables.metadata, "requests"),
    ],
)
async def test_revisions_make_the_tables_that_the_code_uses(
    url: str, tmp_path: Path, revisions: Revisions, metadata: sa.MetaData, first: str
) -> None:
    databases = [open_database(url, None if url == "sqlite" else PASSWORD, tmp_path / "a.sqlite") for _ in range(2)]
    # As after a crash between two tables, which MySQL does not undo.
    await databases[0].write(lambda connection: metadata.tables[first].create(connection))
    await asyncio.gather(*(database.alter(migrate, revisions) for database in databases))
    await databases[0].alter(migrate, revisions)

    def differences(connection: Connection) -> list[object]:
        opts = {
            "include_name": lambda name, kind, _: kind != "table" or name in metadata.tables,
            # MySQL turns BLOB(128) into TINYBLOB.
            "compare_type": connection.dialect.name not in ("mysql", "mariadb"),
        }
        return list(compare_metadata(MigrationContext.configure(connection, opts=opts), metadata))

    assert await databases[0].read(differences) == []
    for database in databases:
        await database.close()


async def test_two_services_share_a_database(url: str, tmp_path: Path) -> None:
    database = open_database(url, None if url == "sqlite" else PASSWORD, tmp_path / "a.sqlite")
    for revisions in (notary.REVISIONS, privacy.REVISIONS):
        await database.alter(migrate, revisions)
    tables = await database.read(lambda connection: set(sa.inspect(connection).get_table_names()))
    assert tables >= {*notary_tables.metadata.tables, *privacy_tables.metadata.tables}
    await database.close()
