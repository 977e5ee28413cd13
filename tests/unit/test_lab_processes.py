"""Processes of a Kubernetes lab: those that a killed run left are found by their records, and nobody else's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.kubernetes.lab.processes import Processes

LEAVES_ONE = """
import os, pathlib, sys
from tests.kubernetes.lab.processes import Processes
folder = pathlib.Path(sys.argv[1])
print(Processes(folder, folder.parent).start("sleeper", ["sleep", "600"]).pid, flush=True)
os._exit(1)
"""


@pytest.fixture
def records(tmp_path: Path) -> Path:
    place = tmp_path / "running"
    place.mkdir()
    return place


def leave_one(records: Path) -> int:
    """Who started it is gone."""
    command = [sys.executable, "-c", LEAVES_ONE, str(records)]
    return int(subprocess.run(command, check=False, capture_output=True, text=True).stdout)


def test_what_was_left_is_ended(records: Path, tmp_path: Path) -> None:
    pid = leave_one(records)
    processes = Processes(records, tmp_path)
    assert processes.pid("sleeper") == pid
    processes.kill_all()
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert list(records.iterdir()) == []


def test_a_process_that_got_the_number_later_is_not_ended(records: Path, tmp_path: Path) -> None:
    other = Processes(records, tmp_path)
    pid = other.start("sleeper", ["sleep", "600"]).pid
    (records / "sleeper").write_text(f"{pid} 1")
    later = Processes(records, tmp_path)
    assert later.pid("sleeper") is None
    later.kill("sleeper")
    assert other.pid("sleeper") == pid
    other.kill("sleeper")
    assert other.pid("sleeper") is None


def test_who_ended_by_itself_is_known(records: Path, tmp_path: Path) -> None:
    processes = Processes(records, tmp_path)
    processes.start("short", ["true"]).wait(10)
    assert processes.pid("short") is None
    assert Processes(records, tmp_path).pid("short") is None
    processes.kill_all()
    assert list(records.iterdir()) == []
