"""Building engines, with a toolchain of shell scripts: once, whole or not at all, and with an error that helps."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from muniment.engines import find
from muniment.engines.build import ensure_engines
from muniment.engines.catalogue import engine
from muniment.kernel.errors import MissingToolError, MunimentError, PermanentError
from muniment.kernel.events import Step
from tests.support.toolchain import REAL_OUTPUT, Machine, script
from tests.support.waiting import wait_until

ENDED = 30.0


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with a C compiler and a Go that builds geth."""
    machine = Machine(tmp_path)
    for name, value in machine.environment().items():
        monkeypatch.setenv(name, value)
    for name in ("CC", "XDG_CACHE_HOME", "GOFLAGS", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(find, "SYSTEM_PLACES", ())
    machine.c_compiler()
    machine.go("geth")
    return machine


def test_an_engine_is_built_once_and_then_comes_from_the_cache(machine: Machine) -> None:
    steps: list[Step] = []
    first = ensure_engines(steps.append, ["geth"])
    assert first["geth"].is_relative_to(machine.cache / "engines")
    assert [(step.text, step.state) for step in steps if step.state == "begin"] == [
        ("downloading sources", "begin"),
        ("compiling", "begin"),
    ]
    assert [(step.done, step.total) for step in steps if step.text == "compiling"] == [(0, 3), (1, 3), (2, 3)]
    assert steps[-1].state == "end"
    assert {step.subject for step in steps} == {"geth"}
    again: list[Step] = []
    assert ensure_engines(again.append, ["geth"]) == first
    assert again == []
    assert len(machine.builds()) == 1
    assert machine.hidden() == []
    assert list((machine.cache / "engines").glob("*.log")) == []


def test_the_build_is_reproducible_and_pinned(machine: Machine) -> None:
    ensure_engines(names=["geth"])
    (command,) = machine.builds()
    flags = command.split(" -o ")[0]
    assert flags == "build -v -trimpath -buildvcs=false -mod=readonly -ldflags=-checklinkname=0"
    assert command.endswith(" github.com/ethereum/go-ethereum/cmd/geth")


def test_another_go_makes_another_engine(machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first = ensure_engines(names=["geth"])["geth"]
    other = Machine(tmp_path / "other")
    other.c_compiler()
    other.go("geth", version="1.26.9")
    monkeypatch.setenv("PATH", str(other.bin))
    second = ensure_engines(names=["geth"])["geth"]
    assert first != second
    assert first.exists()
    assert second.exists()


def test_an_engine_on_path_is_not_built(machine: Machine) -> None:
    machine.program("geth", script(REAL_OUTPUT["geth"]))
    assert ensure_engines(names=["geth"]) == {"geth": machine.bin / "geth"}
    assert machine.builds() == []


def test_no_c_compiler(machine: Machine) -> None:
    (machine.bin / "gcc").unlink()
    with pytest.raises(MissingToolError, match=r"needs a C compiler.*: run: apt-get install gcc libc6-dev$"):
        ensure_engines(names=["geth"])


def test_a_c_compiler_without_headers(machine: Machine) -> None:
    machine.c_compiler(works=False)
    with pytest.raises(MissingToolError, match=r"headers: run: apt-get install gcc libc6-dev$"):
        ensure_engines(names=["geth"])


def test_no_haproxy_is_told_before_anything_is_built(machine: Machine) -> None:
    with pytest.raises(MissingToolError, match=r"haproxy 2\.4 or later is not on .*: run: apt-get install haproxy$"):
        ensure_engines(names=["geth", "haproxy"])
    assert machine.builds() == []


@pytest.mark.parametrize("version", ["1.25.4", "1.26.3", "1.27.0", None])
def test_no_fitting_go_and_none_to_be_had(machine: Machine, version: str | None) -> None:
    (machine.bin / "go").unlink()
    if version:
        machine.go("geth", version=version)
    with pytest.raises(MissingToolError) as failure:
        ensure_engines(names=["geth"])
    text = str(failure.value)
    assert text.startswith("building the engines needs Go 1.26, and it could not be installed (")
    assert "put Go 1.26.6 on PATH" in text
    assert "-m pip install" in text
    assert "\n" not in text
    assert list((machine.cache / "toolchain").iterdir()) == []


def test_broken_sums_fail_with_the_log(machine: Machine) -> None:
    machine.go("geth", on_list="echo 'verifying one@v1: checksum mismatch' >&2; echo 'For more, see help.' >&2; exit 1")
    with pytest.raises(
        PermanentError, match=r"sources could not be fetched \(verifying one@v1: checksum mis"
    ) as failure:
        ensure_engines(names=["geth"])
    log = Path(str(failure.value).rsplit(" ", 1)[1])
    assert "checksum mismatch" in log.read_text()
    assert machine.hidden() == []
    machine.go("geth")
    assert ensure_engines(names=["geth"])["geth"].exists()
    assert not log.exists()


def test_a_compiler_error_fails_with_the_log(machine: Machine) -> None:
    machine.go("geth", on_build="echo 'x.c:1: error: out of cheese' >&2; exit 1")
    with pytest.raises(PermanentError, match=r"geth could not be built, it does not compile \(x\.c:1: error: out of"):
        ensure_engines(names=["geth"])


def test_a_result_that_tells_another_version_is_not_kept(machine: Machine) -> None:
    machine.go("ipfs")
    with pytest.raises(PermanentError, match=r"geth was built but tells no version instead of 22\.7\.4"):
        ensure_engines(names=["geth"])
    assert find.locate(engine("geth")) is None


def test_a_build_that_is_killed_leaves_nothing_that_looks_complete(machine: Machine) -> None:
    gate = machine.notes / "gate"
    os.mkfifo(gate)
    machine.go("geth", on_build=f'echo half > "$2"; read _ < {gate}')
    killed = machine.start("geth")
    wait_until("the build to be in its middle", machine.builds, timeout=ENDED)
    killed.kill()
    killed.communicate()
    gate.write_text("go on\n")
    assert len(machine.hidden()) == 1
    assert not list((machine.cache / "engines").glob("geth-*/geth"))
    machine.go("geth")
    built = ensure_engines(names=["geth"])["geth"]
    assert "22.7.4" in built.read_text()
    assert machine.hidden() == []


def test_two_builds_at_once_build_once(machine: Machine) -> None:
    gate = machine.notes / "gate"
    os.mkfifo(gate)
    machine.go("geth", on_build=f"read _ < {gate}")
    processes = [machine.start("geth") for _ in range(2)]
    gate.write_text("go on\n")
    answers = {process.communicate(timeout=ENDED)[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert len(answers) == 1
    assert len(machine.builds()) == 1


def test_an_unwritable_cache_is_one_sentence(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine.root / "file").write_text("")
    monkeypatch.setenv("MUNIMENT_CACHE", str(machine.root / "file"))
    with pytest.raises(MunimentError, match="cannot be written"):
        ensure_engines(names=["geth"])
