"""The launcher: files, preparation, and becoming the program."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from muniment.targets import launch
from muniment.targets.extension import keep_small

SHOW = "import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]))"


class Place:
    """A description of a launch under a temporary directory."""

    def __init__(self, root: Path) -> None:
        self.data = root / "data"
        self.log = root / "x.log"
        self.file = root / "launch.json"
        (root / "source").write_text("content")
        self.launch: dict[str, Any] = {
            "program": [sys.executable],
            "arguments": ["-c", SHOW, "one", "two"],
            "environment": {"ONLY": "this"},
            "data": str(self.data),
            "directories": [str(root / "run")],
            "files": [{"source": str(root / "source"), "target": str(self.data / "in" / "key"), "mode": 0o600}],
            "prepare": None,
            "log": str(self.log),
            "starts": str(root / "counts" / "x.starts"),
        }

    def prepare(self, code: str) -> None:
        self.launch["prepare"] = {"arguments": ["-c", code], "creates": "store/done"}

    def run(self) -> int:
        self.file.write_text(json.dumps(self.launch))
        script = str(launch.__file__)
        return subprocess.run([sys.executable, "-I", "-S", script, str(self.file)], check=False, timeout=30).returncode


MAKE = "import os; os.mkdir('store'); open('store/done', 'w').close(); open('extra', 'w').close()"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_it_becomes_the_program(place: Place) -> None:
    assert place.run() == 0
    arguments, environment, directory = json.loads(place.log.read_text())
    assert arguments == ["one", "two"]
    assert environment["ONLY"] == "this"
    assert "HOME" not in environment
    assert directory == str(place.data)
    assert (place.data / "in" / "key").read_text() == "content"
    assert (place.data / "in" / "key").stat().st_mode & 0o777 == 0o600


def test_files_are_written_anew(place: Place) -> None:
    place.run()
    key = place.data / "in" / "key"
    key.write_text("changed by the program")
    key.chmod(0o644)
    place.run()
    assert key.read_text() == "content"
    assert key.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in key.parent.iterdir()] == ["key"]


def test_prepare_runs_once(place: Place) -> None:
    place.prepare(MAKE)
    assert place.run() == 0
    (place.data / "store" / "done").write_text("in use")
    assert place.run() == 0
    assert (place.data / "store" / "done").read_text() == "in use"
    assert not (place.data / launch.PREPARING).exists()


def test_unfinished_prepare_is_cleared_and_done_again(place: Place) -> None:
    place.prepare(MAKE)
    place.data.mkdir()
    (place.data / "kept").write_text("from before")
    (place.data / launch.PREPARING).write_text("kept\n")
    (place.data / "store").mkdir()
    (place.data / "extra").write_text("half")
    assert place.run() == 0
    assert (place.data / "store" / "done").exists()
    assert (place.data / "extra").read_text() == ""
    assert (place.data / "kept").read_text() == "from before"


def test_failing_prepare_is_said_and_cleared_the_next_time(place: Place) -> None:
    place.prepare("import os, sys; os.mkdir('store'); sys.exit(3)")
    assert place.run() == 1
    assert "cannot be launched" in place.log.read_text()
    assert "exit status 3" in place.log.read_text()
    place.prepare(MAKE)
    assert place.run() == 0


def test_prepare_that_creates_nothing_is_an_error(place: Place) -> None:
    place.prepare("pass")
    assert place.run() == 1
    assert "store/done" in place.log.read_text()


def test_missing_source_is_one_line(place: Place) -> None:
    place.launch["files"][0]["source"] = "/nonexistent/source"
    assert place.run() == 1
    assert place.log.read_text().count("\n") == 1
    assert "/nonexistent/source" in place.log.read_text()


def test_starts_are_counted_and_kept_apart(tmp_path: Path) -> None:
    starts = tmp_path / "x.starts"
    launch.note_start(starts)
    begun = time.monotonic()
    launch.note_start(starts)
    assert time.monotonic() - begun > launch.SHORTEST_RUN / 2
    assert starts.read_bytes() == b"++"


def test_a_start_on_purpose_does_not_wait(tmp_path: Path) -> None:
    starts = tmp_path / "x.starts"
    launch.note_start(starts)
    with starts.open("ab") as stream:
        stream.write(b"-")
    begun = time.monotonic()
    launch.note_start(starts)
    assert time.monotonic() - begun < launch.SHORTEST_RUN / 2


def test_launcher_needs_the_standard_library_only() -> None:
    code = f"import runpy; runpy.run_path({str(launch.__file__)!r})"
    done = subprocess.run([sys.executable, "-I", "-S", "-X", "importtime", "-c", code], capture_output=True, check=True)
    assert b"muniment" not in done.stderr
    assert b"asyncio" not in done.stderr


def test_long_logs_become_numbered_old_ones(tmp_path: Path) -> None:
    log, small = tmp_path / "x.log", tmp_path / "y.log"
    small.write_text("short")
    for text in ("first" * 10, "second" * 10, "third" * 10, "fourth" * 10):
        with log.open("a") as writer:
            writer.write(text)
            writer.flush()
            keep_small(tmp_path, longest=20)
            writer.write("after")
            writer.flush()
            assert log.read_text() == "after"
        log.write_text("")
    assert small.read_text() == "short"
    assert (tmp_path / "x.log.1").read_text() == "fourth" * 10
    assert (tmp_path / "x.log.3").read_text() == "second" * 10
    assert not (tmp_path / "x.log.4").exists()


class Needed:
    """Something that a workload needs: answers with these, one after the other, and goes on with the last."""

    def __init__(self, *answers: str) -> None:
        self._left = list(answers)
        self.asked: list[str] = []
        self._door = socket.create_server(("127.0.0.1", 0))
        self.need = {"host": "127.0.0.1", "port": self._door.getsockname()[1], "path": "/ready"}
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Needed:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        self._thread.join()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._door.accept()
                with connection:
                    self.asked.append(connection.recv(1000).decode().splitlines()[0])
                    answer = self._left.pop(0) if len(self._left) > 1 else self._left[0]
                    connection.sendall(answer.encode())


def test_the_program_waits_for_what_it_needs(place: Place) -> None:
    with Needed("", "HTTP/1.0 503 Away\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n") as needed:
        place.launch["needs"] = [needed.need]
        assert place.run() == 0
    assert needed.asked == ["GET /ready HTTP/1.0"] * 3
    assert json.loads(place.log.read_text())[0] == ["one", "two"]


def test_a_need_that_does_not_get_ready_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "NEED_SECONDS", 0.1)
    with Needed("HTTP/1.1 503 Away\r\n\r\n") as needed, pytest.raises(TimeoutError, match=r"ready: it answers.* 503"):
        launch.wait_for(needed.need)
    assert "refused" in launch.refusal(needed.need)
