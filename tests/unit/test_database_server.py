"""Servers: URLs of several hosts, and what is said when none answers. Real servers are tested in tests/integration."""

from __future__ import annotations

import pytest
from sqlalchemy.engine import Connection

from muniment.database.server import hosts, open_server
from muniment.kernel.errors import InputError, TemporaryError

pytestmark = pytest.mark.anyio


def test_a_url_may_name_several_hosts() -> None:
    found = hosts("postgresql://u@a:5432,b,[::1]:5433/name")
    assert [(one.drivername, one.username, one.host, one.port, one.database) for one in found] == [
        ("postgresql+asyncpg", "u", "a", 5432, "name"),
        ("postgresql+asyncpg", "u", "b", None, "name"),
        ("postgresql+asyncpg", "u", "::1", 5433, "name"),
    ]
    assert [one.drivername for one in hosts("mysql://u@a,b/n")] == ["mysql+asyncmy"] * 2


@pytest.mark.parametrize("url", ["", "sqlite://", "postgres", "oracle://u@h/d", "postgresql://u@h:port/d"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(InputError, match="names no known database"):
        hosts(url)


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
async def test_when_no_host_answers_each_has_its_cause_and_no_secret(kind: str) -> None:
    database = open_server(f"{kind}://u@127.0.0.1:1,127.0.0.1:2/d", "a secret")

    def work(_connection: Connection) -> None:
        raise AssertionError("there is no server")

    for call in (database.read, database.write, database.glance, database.alter):
        with pytest.raises(TemporaryError, match="no host of the database takes writes") as raised:
            await call(work)
        assert "'127.0.0.1', 1" in str(raised.value)
        assert "'127.0.0.1', 2" in str(raised.value)
        assert "a secret" not in str(raised.value)
    await database.close()
