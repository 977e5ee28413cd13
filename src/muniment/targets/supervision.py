"""supervisord: its configuration as one more rendering of the workloads, its start, and its XML-RPC on a unix socket.

A program counts as running from its first instant (`startsecs=0`): otherwise supervisord waits one second longer after
every start that failed, without end (process.py, `BACKOFF`). The launcher keeps such a program to one start a second.
"""

from __future__ import annotations

import http.client
import os
import shlex
import socket
import subprocess
import sys
import xmlrpc.client
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from muniment.kernel.errors import PermanentError, TemporaryError
from muniment.kernel.waiting import NotYetError, wait_blocking
from muniment.targets import launch
from muniment.targets.extension import DIGEST_VARIABLE
from muniment.targets.rendering import STATE_VARIABLE, WORKLOAD_VARIABLE, Rendered

ANSWER_SECONDS = 30.0
START_SECONDS = 30.0
ENDED_STATES = frozenset({"STOPPED", "FATAL", "UNKNOWN"})
"""States that supervisord leaves only when told to; one that has EXITED is started again within a second."""


@dataclass(frozen=True)
class Places:
    """Files of the supervisor of one state directory."""

    state: Path
    run: Path
    """Directory with a short path, for the socket."""

    @property
    def configuration(self) -> Path:
        """It is there from an `up` to the next `down`: without it nothing is meant to run."""
        return self.state / "run" / "supervisord.conf"

    @property
    def socket(self) -> Path:
        """Only its owner can connect to it."""
        return self.run / "supervisor.sock"

    @property
    def log(self) -> Path:
        """What supervisord says."""
        return self.state / "logs" / "supervisord.log"


def configuration(places: Places, workloads: Iterable[Rendered]) -> str:
    """The text of supervisord.conf. It holds no secret."""
    own = f"user={os.geteuid()}\n" if os.geteuid() == 0 else ""
    head = f"""\
[unix_http_server]
file={_quoted_value(places.socket)}
chmod=0700

[supervisord]
nodaemon=false
silent=true
{own}logfile={_quoted_value(places.log)}
logfile_maxbytes=0
pidfile={_quoted_value(places.state / "run" / "supervisord.pid")}
childlogdir={_quoted_value(places.state / "logs")}
directory={_quoted_value(places.state)}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[rpcinterface:muniment]
supervisor.rpcinterface_factory=muniment.targets.extension:make
directory={_quoted_value(places.state / "logs")}
"""
    return head + "".join(_program(places, workload) for workload in workloads)


def _program(places: Places, workload: Rendered) -> str:
    return f"""
[program:{workload.name}]
command={_quoted_value(_python(launch.__file__, workload.launch))}
environment={WORKLOAD_VARIABLE}="{workload.name}",{DIGEST_VARIABLE}="{workload.digest}"
autostart=true
autorestart=true
startsecs=0
startretries=1000000
stopsignal=TERM
stopwaitsecs={workload.stop_seconds}
stopasgroup=true
killasgroup=true
redirect_stderr=true
stdout_logfile=NONE
"""


def _python(script: str, argument: Path) -> str:
    """A command that runs a script of ours: without site packages, for the sake of its start."""
    return shlex.join([sys.executable, "-I", "-S", script, str(argument)])


def _quoted_value(value: object) -> str:
    # supervisord expands %(...)s in its values.
    return str(value).replace("%", "%%")


class Supervisor:
    """The supervisord of one state directory. Every method raises `TemporaryError` when it does not answer."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def answers(self) -> bool:
        """Whether it runs and answers."""
        try:
            self._call("getState")
        except TemporaryError:
            return False
        return True

    def start(self) -> None:
        """Start supervisord in a session of its own, with every workload of its configuration; wait for its answer."""
        places = self._places
        places.socket.unlink(missing_ok=True)
        environment = {**os.environ, STATE_VARIABLE: str(places.state)}
        environment.pop(WORKLOAD_VARIABLE, None)
        # It puts itself into the background, in a session of its own, and then the command below returns.
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-m", "supervisor.supervisord", "-c", str(places.configuration)],
                cwd=places.state,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=START_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise PermanentError(
                f"the supervisor did not start within {START_SECONDS:g} s: see {places.log}"
            ) from error
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
            raise PermanentError(f"the supervisor did not start: {said[-1].rstrip('.')}; see {places.log}")

        def probe() -> None:
            if not self.answers():
                raise NotYetError("it does not answer yet")

        wait_blocking("the start of the supervisor", probe, timeout=START_SECONDS)

    def infos(self) -> list[dict[str, Any]]:
        """State of every workload, as supervisord's getAllProcessInfo gives it."""
        found: list[dict[str, Any]] = self._call("getAllProcessInfo")
        return found

    def digests(self) -> dict[str, str]:
        """`Rendered.digest` of what each workload was started from, by name."""
        found: dict[str, str] = self._call("digests", namespace="muniment")
        return found

    def reload(self) -> tuple[list[str], list[str], list[str]]:
        """Read the configuration anew; names of the workloads that are new, changed, and gone from it."""
        added, changed, removed = self._call("reloadConfig")[0]
        return added, changed, removed

    def add(self, workload: str) -> None:
        """Take a workload over from the configuration, and start it."""
        self._call("addProcessGroup", workload)

    def discard(self, workload: str) -> None:
        """Forget a workload that is stopped."""
        self._call("removeProcessGroup", workload)

    def launch(self, workload: str) -> None:
        """Start a workload that is stopped; nothing happens when it runs."""
        self._call("startProcess", workload, False, tolerated="ALREADY_STARTED")

    def stop(self, workloads: Iterable[str], *, patience: float) -> None:
        """Stop all these at the same time, and wait until they have ended (`patience` in seconds)."""
        names = set(workloads)

        def probe() -> None:
            infos = {info["name"]: info["statename"] for info in self.infos() if info["name"] in names}
            left = [name for name, state in infos.items() if state not in ENDED_STATES]
            for name in left:
                # One that ends by itself at this moment would be started again: so it is told until it rests.
                if infos[name] != "STOPPING":
                    self._call("stopProcess", name, False, tolerated="NOT_RUNNING")
            if left:
                raise NotYetError(f"{', '.join(left)} did not end yet")

        wait_blocking("the stop", probe, timeout=patience)

    def shut_down(self) -> None:
        """End supervisord itself; it answers before it ends."""
        self._call("shutdown")

    def _call(self, method: str, *arguments: Any, tolerated: str = "", namespace: str = "supervisor") -> Any:
        try:
            with xmlrpc.client.ServerProxy("http://supervisor", _UnixTransport(str(self._places.socket))) as rpc:
                return getattr(getattr(rpc, namespace), method)(*arguments)
        except xmlrpc.client.Fault as fault:
            if tolerated and fault.faultString.startswith(tolerated):
                return None
            raise PermanentError(
                f"the supervisor refused {method} {arguments[:1]}: {fault.faultString}; see {self._places.log}"
            ) from fault
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            raise TemporaryError(
                f"the supervisor of {self._places.state} does not answer ({error}): run `muniment up`"
            ) from error


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("supervisor", timeout=ANSWER_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _UnixTransport(xmlrpc.client.Transport):
    """XML-RPC over a unix socket: supervisor's own transport does it too, but takes half a second to import."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        # The base class closes what it finds here.
        connection = _UnixConnection(self._path)
        self._connection = host, connection
        return connection
