"""The database of a member as its workloads see it: SQLite files on one machine, a server in containers. Pure.

`on_servers` turns a specification into one for containers: who wrote `sqlite` gets a MariaDB server beside the member's
workloads, at the address of `alpha-database`. Passwords come as secrets then, also those of servers outside.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from muniment.identity.model import database_password_path
from muniment.spec.model import Consortium, Database, Member
from muniment.topology.model import Addresses, File, secret

PASSWORD = PurePosixPath("database-password")
SERVER_USER = "muniment"
SERVER_DATABASE = "muniment"


def server_name(member: str) -> str:
    """The workload that is the member's own database server."""
    return f"{member}-database"


def on_servers(spec: Consortium, addresses: Addresses) -> Consortium:
    """The specification with a database server for every own member and its password as a secret."""
    members = {
        name: member.model_copy(update={"database": _served(name, member, addresses)})
        if not member.identity
        else member
        for name, member in spec.members.items()
    }
    return spec.model_copy(update={"members": members})


def own_server(member: Member) -> bool:
    """Whether containers of this member get a server of their own."""
    return member.identity is None and member.database.url == "sqlite"


def _served(name: str, member: Member, addresses: Addresses) -> Database:
    password = secret(database_password_path(name))
    if not own_server(member):
        given = member.database.password_file
        return member.database.model_copy(update={"password_file": password if given else None})
    place = addresses.reach(server_name(name), "sql")
    url = f"mariadb://{SERVER_USER}@{place.host}:{place.port}/{SERVER_DATABASE}"
    return Database.model_construct(url=url, password_file=password)


def connection(database: Database, config: PurePosixPath) -> tuple[dict[str, Any], tuple[File, ...]]:
    """`url` and `password_file` for a workload's settings, and the file that goes into its config directory."""
    marker = database.password_file
    if marker is None or not marker.startswith("@secret:"):
        return {"url": database.url, "password_file": marker}, ()
    return {"url": database.url, "password_file": str(config / PASSWORD)}, (File(PASSWORD, marker),)
