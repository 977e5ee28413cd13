"""Pairs of database servers of which one takes writes and the other follows it, and takes its place when it dies."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from muniment.kernel.waiting import NotYetError, wait_blocking
from tests.support.databases import NAME, PASSWORD, USER, DatabaseServer, MariaDb, PostgreSql, free_port

FOLLOW_SECONDS = 60


class PostgreSqlStandby(PostgreSql):
    """Follows `primary`, which acknowledges nothing that this one does not have."""

    def __init__(self, directory: Path, port: int, primary: PostgreSql) -> None:
        super().__init__(directory, port)
        self._primary = primary

    def promote(self) -> None:
        """Let it take writes; it has everything that the first has acknowledged."""
        self.statement("SELECT pg_promote()")

    def _make(self) -> None:
        hba = self._primary.data / "pg_hba.conf"
        hba.write_text("local replication all trust\n" + hba.read_text())
        self._primary.statement("SELECT pg_reload_conf()")
        os.chown(self._place, hba.stat().st_uid, hba.stat().st_gid)
        subprocess.run(
            [*self._primary.tool("pg_basebackup"), "-D", self.data, "-R", "-X", "stream", "-c", "fast"],
            check=True,
            capture_output=True,
            cwd="/",
        )

    def _first_start(self) -> None:
        self._primary.statement("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self._primary.statement("SELECT pg_reload_conf()")
        wait_blocking("synchronous replication", self._follows, timeout=FOLLOW_SECONDS)

    def _follows(self) -> None:
        state = self._primary.statement("SELECT sync_state FROM pg_stat_replication")
        if state != "sync":
            raise NotYetError(state)


class MariaDbReplica(MariaDb):
    """Follows `primary`, which acknowledges nothing that this one has not received."""

    def __init__(self, directory: Path, port: int, primary: MariaDb) -> None:
        options = ("--server-id=2", "--log-bin", "--log-slave-updates", "--read-only=1")
        super().__init__(directory, port, *options, "--rpl-semi-sync-slave-enabled=1")
        self._primary = primary

    def promote(self) -> None:
        """Let it take writes when it has applied everything that it received."""
        self.statement("STOP SLAVE IO_THREAD")
        received = self._status("Gtid_IO_Pos")
        self.statement(f"SELECT MASTER_GTID_WAIT('{received}', {FOLLOW_SECONDS})")
        self.statement("STOP SLAVE; SET GLOBAL read_only = 0")

    def _first_start(self) -> None:
        self._primary.statement(
            f"CREATE USER replica@127.0.0.1 IDENTIFIED BY '{PASSWORD}';"
            " GRANT REPLICATION SLAVE ON *.* TO replica@127.0.0.1"
        )
        self.statement(
            f"CHANGE MASTER TO master_host='127.0.0.1', master_port={self._primary.port}, master_user='replica',"
            f" master_password='{PASSWORD}', master_use_gtid=slave_pos; START SLAVE"
        )
        self._primary.statement(
            "SET GLOBAL rpl_semi_sync_master_wait_point = 'AFTER_SYNC';"
            " SET GLOBAL rpl_semi_sync_master_timeout = 600000;"
            " SET GLOBAL rpl_semi_sync_master_enabled = 1"
        )
        wait_blocking("semi-synchronous replication", self._follows, timeout=FOLLOW_SECONDS)

    def _follows(self) -> None:
        clients = self._primary.statement("SHOW STATUS LIKE 'Rpl_semi_sync_master_clients'").split()[-1]
        if clients != "1":
            raise NotYetError(f"{clients} replicas; {self._status('Last_IO_Error')}{self._status('Last_SQL_Error')}")

    def _status(self, name: str) -> str:
        lines = self.statement("SHOW SLAVE STATUS\\G").splitlines()
        return next((line.partition(":")[2].strip() for line in lines if line.strip().startswith(f"{name}:")), "")


class Pair:
    """Two servers; `url` names both, with the one that takes writes first."""

    def __init__(self, kind: str, directory: Path) -> None:
        self.primary: DatabaseServer
        self.follower: PostgreSqlStandby | MariaDbReplica
        if kind == "postgresql":
            postgresql = PostgreSql(directory / "primary", free_port())
            self.primary = postgresql
            self.follower = PostgreSqlStandby(directory / "follower", free_port(), postgresql)
        else:
            mariadb = MariaDb(directory / "primary", free_port(), "--server-id=1", "--log-bin", "--sync-binlog=1")
            self.primary = mariadb
            self.follower = MariaDbReplica(directory / "follower", free_port(), mariadb)
        self.url = f"{self.primary.scheme}://{USER}@127.0.0.1:{self.primary.port},127.0.0.1:{self.follower.port}/{NAME}"

    def start(self) -> None:
        """Start both, the second following the first."""
        self.primary.start()
        self.follower.start()

    def fail_over(self) -> None:
        """Kill the first and let the second take writes."""
        self.primary.kill()
        self.follower.promote()

    def remove(self) -> None:
        """Kill both and delete their data."""
        self.follower.remove()
        self.primary.remove()
