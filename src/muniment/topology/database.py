"""The database of a member as its workloads see it: SQLite files on one machine, a server in containers. Pure.

`on_servers` turns a specification into one for containers: who wrote `sqlite` gets a MariaDB server beside the member's
workloads, as the workload `alpha-database`. Passwords come as secrets then, also those of servers outside.

The server is for trials: it is one process with one volume. User and database are made by its `--init-file`, at every
start anew, so that a changed password is taken over.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from muniment.identity.model import database_password_path
from muniment.spec.model import Consortium, Database, Member
from muniment.topology.model import Addresses, File, Port, Prepare, Probe, Program, Role, Workload, secret, secrets_in

PASSWORD = PurePosixPath("database-password")
INIT_FILE = PurePosixPath("init.sql")
FILES = PurePosixPath("mariadb")
"""The server's files, in its data directory."""

SERVER_USER = "muniment"
SERVER_DATABASE = "muniment"
STOP_SECONDS = 60


def server_name(member: str) -> str:
    """The workload that is the member's own database server."""
    return f"{member}-database"


def on_servers(spec: Consortium, addresses: Addresses) -> Consortium:
    """The specification with a database server for every own member and its password as a secret. Repeating it changes
    nothing."""
    members = {
        name: member if member.identity else member.model_copy(update={"database": _served(name, member, addresses)})
        for name, member in spec.members.items()
    }
    return spec.model_copy(update={"members": members})


def _served(name: str, member: Member, addresses: Addresses) -> Database:
    password = secret(database_password_path(name))
    if member.database.url != "sqlite":
        given = member.database.password_file
        return member.database.model_copy(update={"password_file": password if given else None})
    place = addresses.reach(server_name(name), "sql")
    url = f"mariadb://{SERVER_USER}@{place.host}:{place.port}/{SERVER_DATABASE}"
    return Database.model_construct(url=url, password_file=password)


def connection(database: Database, config: PurePosixPath) -> tuple[dict[str, Any], tuple[File, ...]]:
    """`url` and `password_file` for a workload's settings, and the file that goes into its config directory."""
    marker = database.password_file
    if marker is None or not secrets_in(marker):
        return {"url": database.url, "password_file": marker}, ()
    return {"url": database.url, "password_file": str(config / PASSWORD)}, (File(PASSWORD, marker),)


def servers(spec: Consortium, addresses: Addresses) -> tuple[Workload, ...]:
    """The database servers of own members to whom `on_servers` gave one."""
    return tuple(
        _server(name, addresses)
        for name, member in spec.own_members.items()
        if member.database.password_file == secret(database_password_path(name))
        and f"//{SERVER_USER}@{addresses.reach(server_name(name), 'sql').host}:" in member.database.url
    )


def _server(member: str, addresses: Addresses) -> Workload:
    name = server_name(member)
    config, data, run = addresses.config(name), addresses.data(name), addresses.run(name)
    port = Port("sql", addresses.listen(name, "sql"), addresses.reach(name, "sql"), scheme="tcp")
    return Workload(
        name=name,
        member=member,
        role=Role.DATABASE,
        program=Program.MARIADB,
        arguments=(
            "--no-defaults",
            f"--datadir={data / FILES}",
            f"--bind-address={port.listen.host}",
            f"--port={port.listen.port}",
            f"--socket={run / 'mariadb.sock'}",
            f"--pid-file={run / 'mariadb.pid'}",
            f"--init-file={config / INIT_FILE}",
            "--character-set-server=utf8mb4",
            "--innodb-buffer-pool-size=128M",
            # The largest payload of a private transaction is 16 MiB.
            "--max-allowed-packet=64M",
            "--skip-name-resolve",
        ),
        ready=Probe(port.url),
        ports=(port,),
        files=(File(INIT_FILE, _init_sql(member)),),
        prepare=Prepare(
            arguments=(
                "--no-defaults",
                f"--datadir={data / FILES}",
                "--auth-root-authentication-method=socket",
                "--skip-test-db",
            ),
            creates=FILES / "mysql",
            program="mariadb-install-db",
        ),
        stop_seconds=STOP_SECONDS,
    )


def _init_sql(member: str) -> str:
    # The password is of letters and digits only (identity.keystore.new_passphrase), so it needs no quoting.
    user = f"'{SERVER_USER}'@'%'"
    password = secret(database_password_path(member))
    return f"""\
CREATE DATABASE IF NOT EXISTS {SERVER_DATABASE};
CREATE USER IF NOT EXISTS {user} IDENTIFIED BY '{password}';
ALTER USER {user} IDENTIFIED BY '{password}';
GRANT ALL ON {SERVER_DATABASE}.* TO {user};
"""
