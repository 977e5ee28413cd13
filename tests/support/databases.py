"""Real database servers on loopback, MariaDB and PostgreSQL, each in a temporary directory."""

from __future__ import annotations

import functools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import psutil

from muniment.kernel.waiting import NotYetError, wait_blocking

USER = "muniment"
NAME = "muniment"
PASSWORD = "a secret of the tests"
START_SECONDS = 60
STOP_SECONDS = 60


class DatabaseServer:
    """A server on 127.0.0.1. `url` has no password; that is in `password_file`. `options` are the server's own."""

    scheme = ""

    def __init__(self, directory: Path, port: int, *options: str) -> None:
        self._options = options
        self.directory = directory
        self.data = directory / "data"
        self.port = port
        self.password_file = directory / "password"
        self.log = directory / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        directory.mkdir(parents=True, exist_ok=True)
        self.password_file.touch(mode=0o600)
        self.password_file.write_text(PASSWORD)

    @property
    def url(self) -> str:
        """Of a database that is empty at the first start."""
        return f"{self.scheme}://{USER}@127.0.0.1:{self.port}/{NAME}"

    def fresh(self) -> str:
        """The URL of a new empty database."""
        self._databases += 1
        self._make_database(f"{NAME}_{self._databases}")
        return self.last()

    def last(self) -> str:
        """The URL that `fresh` gave last."""
        return f"{self.scheme}://{USER}@127.0.0.1:{self.port}/{NAME}_{self._databases}"

    def start(self) -> None:
        """Start the server, made at the first time, and wait until it takes connections."""
        first = not self.data.exists()
        if first:
            self._make()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        wait_blocking(f"the start of {self.scheme}", self._answers, timeout=START_SECONDS)
        if first:
            self._first_start()

    def stop(self) -> None:
        """Stop the server in order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9 of the server."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let the server hang: connections stay, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End the pause."""
        self._signal(signal.SIGCONT)

    def remove(self) -> None:
        """Kill it when it runs, and delete its data."""
        if self._process is not None:
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def statement(self, sql: str) -> str:
        """Run a statement as the server's administrator; gives what it prints."""
        done = subprocess.run([*self._client(), sql], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def run(self, sql: str) -> None:
        """Run a statement in the tests' database, as its owner; it comes by standard input, so it may be long."""
        raise NotImplementedError

    def read_only(self, value: bool) -> None:
        """Let the server refuse writes, as a replica does."""
        raise NotImplementedError

    def _make(self) -> None:
        raise NotImplementedError

    def _command(self) -> Sequence[str]:
        raise NotImplementedError

    def _client(self) -> Sequence[str]:
        raise NotImplementedError

    def _first_start(self) -> None:
        raise NotImplementedError

    def _make_database(self, name: str) -> None:
        raise NotImplementedError

    def _answers(self) -> None:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"{self.scheme} ended at its start: {self.log.read_text(errors='replace')[-2000:]}")
        try:
            subprocess.run([*self._client(), "SELECT 1"], capture_output=True, text=True, check=True)
        except subprocess.CalledProcessError as error:
            raise NotYetError(error.stderr) from error

    def _signal(self, number: int) -> None:
        assert self._process is not None
        main = psutil.Process(self._process.pid)
        # PostgreSQL has a process for every connection.
        for process in (main, *main.children(recursive=True)):
            process.send_signal(number)

    def _end(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        if number == signal.SIGTERM:
            self._process.send_signal(signal.SIGCONT)
        self._process.wait(STOP_SECONDS)
        self._process = None


class MariaDb(DatabaseServer):
    """MariaDB."""

    scheme = "mysql"

    def run(self, sql: str) -> None:
        command = [*self._client()[:-1], NAME]
        subprocess.run(command, input=sql, text=True, check=True, capture_output=True)

    def read_only(self, value: bool) -> None:
        self.statement(f"SET GLOBAL read_only = {int(value)}")

    def _make(self) -> None:
        subprocess.run(
            [
                _program("mariadb-install-db"),
                "--no-defaults",
                f"--datadir={self.data}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                *_as_root("--user=root"),
            ],
            check=True,
            capture_output=True,
        )

    def _command(self) -> Sequence[str]:
        return [
            _program("mariadbd"),
            "--no-defaults",
            f"--datadir={self.data}",
            "--bind-address=127.0.0.1",
            f"--port={self.port}",
            f"--socket={self._socket()}",
            f"--pid-file={self.directory / 'pid'}",
            "--innodb-buffer-pool-size=64M",
            "--max-allowed-packet=64M",
            *self._options,
            *_as_root("--user=root"),
        ]

    def _client(self) -> Sequence[str]:
        return [_program("mariadb"), "--no-defaults", "--user=root", f"--socket={self._socket()}", "-N", "-B", "-e"]

    def _first_start(self) -> None:
        self.statement(f"CREATE USER {USER}@127.0.0.1 IDENTIFIED BY '{PASSWORD}'")
        self._make_database(NAME)

    def _make_database(self, name: str) -> None:
        # Not on *.*: such a user may write to a read-only server.
        self.statement(f"CREATE DATABASE {name}; GRANT ALL ON {name}.* TO {USER}@127.0.0.1")

    def _socket(self) -> Path:
        return self.directory / "s"


class PostgreSql(DatabaseServer):
    """PostgreSQL. It refuses to run as root; then it runs as its package's user."""

    scheme = "postgresql"

    def run(self, sql: str) -> None:
        command = [*self._client()[:-1], "-d", NAME]
        owned = f"SET ROLE {USER}; {sql}"
        subprocess.run(command, input=owned, text=True, check=True, capture_output=True)

    def read_only(self, value: bool) -> None:
        self.statement(f"ALTER SYSTEM SET default_transaction_read_only = {'on' if value else 'off'}")
        self.statement("SELECT pg_reload_conf()")
        # The server tells its sessions before it opens another one (postmaster.c, process_pm_reload_request).
        wait_blocking("the reload", functools.partial(self._reloaded, value), timeout=START_SECONDS)

    def _reloaded(self, value: bool) -> None:
        if self.statement("SHOW default_transaction_read_only") != ("on" if value else "off"):
            raise NotYetError("the setting is the old one")

    def __init__(self, directory: Path, port: int, *options: str) -> None:
        super().__init__(directory, port, *options)
        # A place of its own: the directories of tests are closed to other users, as which the server runs.
        self._place = Path(tempfile.mkdtemp(prefix="muniment-postgresql-"))
        self.data = self._place / "data"

    def remove(self) -> None:
        super().remove()
        shutil.rmtree(self._place, ignore_errors=True)

    def _make(self) -> None:
        self.data.mkdir()
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            for path in (self._place, self.data):
                os.chown(path, user.pw_uid, user.pw_gid)
        make = ("-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
        subprocess.run([*_not_root(), self._bin("initdb"), *make], check=True, capture_output=True, cwd="/")
        hba = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        (self.data / "pg_hba.conf").write_text(hba)

    def _command(self) -> Sequence[str]:
        return [
            *_not_root(),
            self._bin("postgres"),
            *("-D", str(self.data), "-p", str(self.port), "-k", str(self._place), "-h", "127.0.0.1"),
            *("-c", "shared_buffers=64MB"),
            *self._options,
        ]

    def tool(self, name: str) -> Sequence[str]:
        """The beginning of a command of PostgreSQL that connects to this server as its administrator."""
        return [*_not_root(), self._bin(name), "-h", str(self._place), "-p", str(self.port), "-U", "postgres"]

    def _client(self) -> Sequence[str]:
        return [*self.tool("psql"), "-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-c"]

    def _first_start(self) -> None:
        self.statement(f"CREATE USER {USER} PASSWORD '{PASSWORD}'")
        self._make_database(NAME)

    def _make_database(self, name: str) -> None:
        self.statement(f"CREATE DATABASE {name} OWNER {USER}")

    def _bin(self, name: str) -> str:
        found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
        return str(found[-1]) if found else _program(name)

    def _end(self, number: int) -> None:
        # In order and at once: SIGTERM would wait for clients to go.
        super()._end(signal.SIGINT if number == signal.SIGTERM else number)


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin:/usr/bin")
    assert found, f"{name} is not on this machine: scripts/setup test installs it"
    return found


def _as_root(*arguments: str) -> Sequence[str]:
    return arguments if os.getuid() == 0 else ()


def _not_root() -> Sequence[str]:
    """setpriv becomes the program, so that the process is the server itself."""
    if os.getuid() != 0:
        return ()
    return ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--")
