"""Promise: what the local target starts stays up, is stopped whole, and can always be brought back."""

from __future__ import annotations

import json
import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import psutil
import pytest

from muniment.identity.model import Endpoint
from muniment.kernel.errors import InputError
from muniment.targets.local import LocalTarget
from muniment.targets.processes import marked
from muniment.targets.supervision import Supervisor
from muniment.topology.model import File, Port, Prepare, Probe, Program, Role, Topology, Workload, secret
from tests.support.ports import port_block
from tests.support.waiting import wait_until

pytestmark = pytest.mark.engines

SECRET = "not for everybody's eyes"
SERVER = """
import http.server, os, signal, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = open(self.path[1:], "rb").read() if self.path != "/" else str(os.getpid()).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        # As a Go program does it: who writes to a closed pipe dies.
        os.write(2, b"request\\n")
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
print("serving", os.environ["MUNIMENT_WORKLOAD"], flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
PREPARE = "import os; os.mkdir('store'); open('store/made', 'w').write('by prepare')"
SOON = 30.0


@dataclass
class Rig:
    """A state directory with tiny web servers as workloads; each serves the files of its data directory."""

    state: Path
    base: int
    target: LocalTarget = field(init=False)

    def __post_init__(self) -> None:
        self.target = LocalTarget(self.state, {"geth": Path(sys.executable)}, lambda _path: SECRET)

    def workload(self, number: int, *, text: str = "first") -> Workload:
        name = f"alpha-{number}"
        endpoint = Endpoint(host="127.0.0.1", port=self.base + number)
        port = Port("rpc", endpoint, endpoint)
        return Workload(
            name=name,
            member="alpha",
            role=Role.NODE,
            program=Program.GETH,
            arguments=("-c", SERVER, str(endpoint.port)),
            ready=Probe(port.url),
            ports=(port,),
            files=(
                File(PurePosixPath("public.txt"), text),
                File(PurePosixPath("key"), secret("alpha/key") + "\n"),
                File(PurePosixPath("inner/key"), secret("alpha/key"), in_data=True),
            ),
            environment=(("OWN", "yes"),),
            prepare=Prepare(("-c", PREPARE), PurePosixPath("store")),
            stop_seconds=5,
        )

    def topology(self, *workloads: Workload) -> Topology:
        return Topology("rig", workloads or (self.workload(1), self.workload(2)), "{}", ("alpha",))

    def apply(self, *workloads: Workload) -> dict[str, int]:
        """Apply, wait until all serve, and return their process IDs."""
        topology = self.topology(*workloads)
        self.target.apply(topology)
        return {workload.name: self.pid(workload.name) for workload in topology.workloads}

    def get(self, name: str, path: str = "/") -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.base + int(name[-1])}{path}", timeout=5) as answer:
            return bytes(answer.read())

    def pid(self, name: str, *, other_than: int | None = None) -> int:
        """Process ID of the workload as it says itself, once it serves."""

        def served() -> int | None:
            pid = int(self.get(name))
            return pid if pid != other_than else None

        return int(wait_until(f"{name} to serve", served, timeout=SOON) or 0)

    def supervisor(self) -> int:
        return next(pid for pid, (_, workload) in marked(str(self.state)).items() if not workload)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with port_block() as base:
        rig = Rig(tmp_path / "state", base)
        try:
            yield rig
        finally:
            rig.target.down()
            assert not marked(str(rig.state))


def test_workloads_run_with_their_files_and_nothing_of_ours(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTER_SECRET", "of the user")
    pids = rig.apply()
    process = psutil.Process(pids["alpha-1"])
    environment = process.environ()
    assert environment["OWN"] == "yes"
    assert environment["MUNIMENT_STATE"] == str(rig.state)
    assert "CLUSTER_SECRET" not in environment
    assert process.cwd() == str(rig.state / "data" / "alpha-1")
    key = rig.state / "config" / "alpha-1" / "key"
    assert key.read_text() == SECRET + "\n"
    assert key.stat().st_mode & 0o777 == 0o600
    assert (rig.state / "config" / "alpha-1" / "public.txt").read_text() == "first"
    assert rig.get("alpha-1", "/inner/key") == SECRET.encode()
    assert rig.get("alpha-1", "/store/made") == b"by prepare"
    assert {name: (p.running, p.pid, p.restarts) for name, p in rig.target.observe().items()} == {
        name: (True, pid, 0) for name, pid in pids.items()
    }
    assert rig.target.fault() == ""


def test_no_secret_in_configuration_of_the_supervisor(rig: Rig) -> None:
    rig.apply()
    holders = [path for path in rig.state.rglob("*") if path.is_file() and SECRET in path.read_text(errors="replace")]
    assert holders
    assert {path.stat().st_mode & 0o777 for path in holders} == {0o600}
    assert not {path.name for path in holders} & {"launch.json", "supervisord.conf"}


def test_killed_workload_is_started_again_and_counted(rig: Rig) -> None:
    pids = rig.apply()
    os.kill(pids["alpha-1"], signal.SIGKILL)
    again = rig.pid("alpha-1", other_than=pids["alpha-1"])
    observed = rig.target.observe()
    assert (observed["alpha-1"].pid, observed["alpha-1"].restarts) == (again, 1)
    assert (observed["alpha-2"].pid, observed["alpha-2"].restarts) == (pids["alpha-2"], 0)


def test_second_apply_changes_nothing(rig: Rig) -> None:
    assert rig.apply() == rig.apply()


def test_only_what_changed_is_restarted_and_what_is_gone_is_stopped(rig: Rig) -> None:
    one, two, three = (rig.workload(number) for number in (1, 2, 3))
    pids = rig.apply(one, two, three)
    changed = rig.workload(2, text="second")
    rig.target.apply(rig.topology(one, changed))
    assert rig.pid("alpha-2", other_than=pids["alpha-2"])
    assert (rig.state / "config" / "alpha-2" / "public.txt").read_text() == "second"
    assert rig.pid("alpha-1") == pids["alpha-1"]
    assert set(rig.target.observe()) == {"alpha-1", "alpha-2"}
    assert rig.target.observe()["alpha-2"].restarts == 0
    assert not psutil.pid_exists(pids["alpha-3"])


def test_a_change_that_was_interrupted_is_pending_and_restarts_nothing_else(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted after the supervisor's configuration was written, and before the supervisor was told."""
    pids = rig.apply()
    wanted = rig.topology(rig.workload(1, text="second"), rig.workload(2, text="second"))
    with monkeypatch.context() as interrupted:
        interrupted.setattr(Supervisor, "reload", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            rig.target.apply(wanted, {"alpha-1"})
    assert list(rig.target.pending(wanted)) == ["alpha-1", "alpha-2"]
    rig.target.apply(wanted, {"alpha-2"})
    rig.pid("alpha-2", other_than=pids["alpha-2"])
    assert rig.pid("alpha-1") == pids["alpha-1"]
    assert list(rig.target.pending(wanted)) == ["alpha-1"]
    rig.target.apply(wanted, {"alpha-1"})
    rig.pid("alpha-1", other_than=pids["alpha-1"])
    assert rig.target.pending(wanted) == {}


def _interrupt(_supervisor: Supervisor) -> None:
    raise KeyboardInterrupt


def test_stopped_stays_stopped_until_apply(rig: Rig) -> None:
    pids = rig.apply()
    rig.target.stop("alpha-1")
    observed = rig.target.observe()["alpha-1"]
    assert (observed.running, observed.cause) == (False, "it is stopped")
    rig.target.start("alpha-1")
    second = rig.pid("alpha-1", other_than=pids["alpha-1"])
    rig.target.stop("alpha-1")
    rig.apply()
    assert rig.pid("alpha-1") != second
    assert rig.target.observe()["alpha-1"].restarts == 0


def test_lost_volume_is_prepared_again(rig: Rig) -> None:
    pids = rig.apply()
    volume = rig.state / "data" / "alpha-1"
    (volume / "store" / "made").write_text("changed later")
    volume.rename(rig.state / "lost")
    os.kill(pids["alpha-1"], signal.SIGKILL)
    rig.pid("alpha-1", other_than=pids["alpha-1"])
    assert rig.get("alpha-1", "/store/made") == b"by prepare"
    assert rig.get("alpha-1", "/inner/key") == SECRET.encode()


def test_volume_survives_a_restart(rig: Rig) -> None:
    pids = rig.apply()
    (rig.state / "data" / "alpha-1" / "store" / "made").write_text("changed later")
    os.kill(pids["alpha-1"], signal.SIGKILL)
    rig.pid("alpha-1", other_than=pids["alpha-1"])
    assert rig.get("alpha-1", "/store/made") == b"changed later"


def test_killed_supervisor_is_said_and_mended_by_apply(rig: Rig) -> None:
    pids = rig.apply()
    os.kill(rig.supervisor(), signal.SIGKILL)
    wait_until("the supervisor to be gone", lambda: "supervisor" in rig.target.fault(), timeout=SOON)
    for _ in range(3):
        assert {name: rig.pid(name) for name in pids} == pids
    orphans = rig.target.observe()
    assert {name: process.pid for name, process in orphans.items()} == pids
    rig.target.apply(rig.topology())
    for name, pid in pids.items():
        assert rig.pid(name, other_than=pid)
        assert not psutil.pid_exists(pid)
    assert rig.target.fault() == ""


def test_down_ends_what_a_killed_supervisor_left(rig: Rig) -> None:
    rig.apply()
    os.kill(rig.supervisor(), signal.SIGKILL)
    rig.target.down()
    assert not marked(str(rig.state))
    assert {process.cause for process in rig.target.observe().values()} == {"it is stopped"}
    with pytest.raises(urllib.error.URLError):
        rig.get("alpha-1")


def test_down_twice_and_up_again(rig: Rig) -> None:
    first = rig.apply()
    rig.target.down()
    rig.target.down()
    assert not marked(str(rig.state))
    assert rig.apply().keys() == first.keys()


def test_logs(rig: Rig, capfd: pytest.CaptureFixture[str]) -> None:
    workload = rig.workload(1)
    rig.apply(workload)
    wait_until("the log", lambda: "serving" in (rig.state / "logs" / "alpha-1.log").read_text(), timeout=SOON)
    rig.target.logs(workload, lines=5, follow=False)
    assert "serving alpha-1" in capfd.readouterr().out
    with pytest.raises(InputError, match="alpha-9 has no log"):
        rig.target.show_log("alpha-9", lines=5, follow=False)


def test_failing_program_is_started_once_a_second_and_says_so(rig: Rig) -> None:
    failing = replace(rig.workload(1), arguments=("-c", "raise SystemExit(3)"), prepare=None)
    rig.target.apply(rig.topology(failing))
    wait_until("some starts", lambda: rig.target.observe()["alpha-1"].restarts >= 2, timeout=SOON)
    starts = rig.state / "run" / "alpha-1.starts"
    before = rig.target.observe()["alpha-1"].restarts
    seconds = psutil.Process(rig.supervisor()).create_time()
    assert before <= starts.stat().st_mtime - seconds + 1


def test_state_directory_with_a_long_and_foreign_name(rig: Rig, tmp_path: Path) -> None:
    state = tmp_path / "目录 with a space" / ("long" * 20)
    other = Rig(state, rig.base + 50)
    try:
        other.apply()
        assert json.loads((state / "config" / "alpha-1" / "launch.json").read_bytes())["workload"] == "alpha-1"
    finally:
        other.target.down()
    assert not marked(str(state))


def test_two_states_do_not_touch_one_another(rig: Rig, tmp_path: Path) -> None:
    other = Rig(tmp_path / "state2", rig.base + 50)
    pids = other.apply()
    try:
        rig.apply()
        rig.target.down()
        assert {name: other.pid(name) for name in pids} == pids
    finally:
        other.target.down()


def test_port_of_a_stranger_is_refused_by_name(rig: Rig) -> None:
    rig.apply()
    rig.target.check(rig.topology())
    other = LocalTarget(rig.state.with_name("other"), {"geth": Path(sys.executable)}, lambda _path: SECRET)
    with pytest.raises(
        InputError, match=rf"port {rig.base + 1} \(rpc of alpha-1\) is in use by .*process \d+.*ports.base"
    ):
        other.check(rig.topology())
