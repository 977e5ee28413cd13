"""Promise: a changed specification is rolled out one node at a time, clients at the gateway notice nothing, and a
change that breaks what it changes stops by itself."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from typing import Any

import pytest

from tests.support.consortium import MUNIMENT, Consortium
from tests.support.waiting import STARTED, wait_until
from tests.support.writer import HeadWatcher, Writer

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

NODES = ("alpha-1", "alpha-2", "alpha-3", "beta-1")
MANAGERS = ("alpha-privacy-1", "alpha-privacy-2", "alpha-privacy-3")
NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"

STALL_SECONDS = 12.0
"""So long no block may come while one of four validators is away: some rounds, on a busy machine."""


class Watch(threading.Thread):
    """Notes how many validators were away at once."""

    def __init__(self, consortium: Consortium) -> None:
        super().__init__(daemon=True)
        self._consortium = consortium
        self.ended = threading.Event()
        self.away: list[set[str]] = []

    def run(self) -> None:
        while not self.ended.is_set():
            workloads = self._consortium.status()["workloads"]
            self.away.append({one["name"] for one in workloads if one["name"] in NODES and not one["running"]})


def test_one_node_after_the_other_also_after_an_interruption(own_demo: Consortium) -> None:
    own_demo.up()
    own_demo.wait_ready(timeout=STARTED)
    before = pids(own_demo)
    own_demo.specification["chain"]["cache_megabytes"] = 96
    own_demo.write_specification()
    heads = HeadWatcher([own_demo.endpoint(node) for node in NODES])
    with Writer(own_demo.member("alpha")["rpc"]) as writer, heads:
        watch = Watch(own_demo)
        watch.start()
        command = [*MUNIMENT, "up", str(own_demo.spec_file), "--state", str(own_demo.state), "--detach"]
        first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until("the first changed node", lambda: changed(own_demo, before), timeout=STARTED)
        first.send_signal(signal.SIGKILL)
        first.wait()
        assert changed(own_demo, before) != set(NODES)
        own_demo.up()
        watch.ended.set()
        watch.join()
    assert changed(own_demo, before) == set(NODES)
    assert writer.failures == []
    assert max(len(away) for away in watch.away) <= 1
    assert 0 < heads.longest_gap < STALL_SECONDS
    for node in NODES:
        launch: dict[str, Any] = json.loads((own_demo.state / "config" / node / "launch.json").read_text())
        assert launch["arguments"][launch["arguments"].index("--cache") + 1] == "96"
    journal = [json.loads(line) for line in (own_demo.state / "journal.jsonl").read_text().splitlines()]
    assert {line["action"] for line in journal} >= {f"change {node}" for node in NODES}


def test_a_change_that_breaks_something_stops_at_the_first_and_its_correction_goes_through(
    own_demo: Consortium,
) -> None:
    own_demo.up()
    before = pids(own_demo, *MANAGERS)
    own_demo.specification["members"]["alpha"]["database"] = {"url": NOWHERE}
    own_demo.write_specification()
    with Writer(own_demo.member("alpha")["rpc"]) as writer:
        arguments = ("up", own_demo.spec_file, "--state", own_demo.state, "--detach", "--unit-timeout", "10")
        for _ in range(2):
            refused = own_demo.run(*arguments, check=False)
            assert refused.returncode != 0
            assert len(changed(own_demo, before)) <= 1
        assert "nothing after it was changed" in refused.stderr or "is not changed yet" in refused.stderr
        del own_demo.specification["members"]["alpha"]["database"]
        own_demo.write_specification()
        own_demo.run(*arguments)
    own_demo.wait_ready()
    assert writer.failures == []


def pids(consortium: Consortium, *names: str) -> dict[str, int]:
    """Process IDs of these workloads, or else of the nodes."""
    wanted = names or NODES
    return {one["name"]: one["pid"] for one in consortium.status()["workloads"] if one["name"] in wanted}


def changed(consortium: Consortium, before: dict[str, int]) -> set[str]:
    """Those that run as another process than before."""
    return {name for name, pid in pids(consortium, *before).items() if pid not in (None, before[name])}
