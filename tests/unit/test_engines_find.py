"""Which executables are taken for engines, and which are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from muniment.engines import find
from muniment.engines.catalogue import ENGINES, engine, modules_root
from muniment.engines.find import Found, Origin, locate
from muniment.kernel.errors import InputError
from tests.support.toolchain import REAL_OUTPUT, Machine, script


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with nothing on it."""
    machine = Machine(tmp_path)
    for name, value in machine.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(find, "SYSTEM_PLACES", ())
    return machine


@pytest.mark.parametrize("name", [each.name for each in ENGINES])
def test_the_accepted_version_on_path_is_used(machine: Machine, name: str) -> None:
    machine.program(name, script(REAL_OUTPUT[name]))
    found = locate(engine(name))
    assert found is not None
    assert (found.path, found.origin) == (machine.bin / name, Origin.PATH)


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("geth", "Geth\nVersion: 1.10.3-stable\nArchitecture: amd64"),
        ("geth", "Geth\nVersion: 1.10.3-stable\nQuorum Version: 22.7.5"),
        ("ipfs", "ipfs version 0.42.1"),
        ("ipfs", "ipfs version 0.42.0-rc1"),
        ("ipfs-cluster-service", "ipfs-cluster-service version 1.0.8"),
        ("haproxy", "HAProxy version 2.2.9-2+deb11u6 2023/12/07"),
        ("haproxy", ""),
    ],
)
def test_other_versions_and_other_programs_are_not(machine: Machine, name: str, output: str) -> None:
    machine.program(name, script(output))
    assert locate(engine(name)) is None


@pytest.mark.parametrize("output", ["HAProxy version 2.4.0 2021/05/14", "HAProxy version 3.2.1-1 2025/06/10"])
def test_any_later_haproxy_is_used(machine: Machine, output: str) -> None:
    machine.program("haproxy", script(output))
    assert locate(engine("haproxy")) is not None


def test_a_program_that_fails_or_hangs_is_not_used(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "PROBE_SECONDS", 0.2)
    machine.program("ipfs", script(REAL_OUTPUT["ipfs"]) + "exit 1\n")
    assert locate(engine("ipfs")) is None
    machine.program("ipfs", "#!/bin/sh\nexec /bin/sleep 60\n")
    assert locate(engine("ipfs")) is None
    machine.program("ipfs", "not a program")
    assert locate(engine("ipfs")) is None


def test_haproxy_is_found_where_the_system_puts_servers(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = tmp_path / "sbin"
    places.mkdir()
    machine.program("haproxy", script(REAL_OUTPUT["haproxy"]))
    (machine.bin / "haproxy").rename(places / "haproxy")
    monkeypatch.setattr(find, "SYSTEM_PLACES", (str(places),))
    assert locate(engine("haproxy")) == Found(places / "haproxy", "2.6.12", Origin.PATH)


def test_a_second_one_on_path_is_used_when_the_first_is_another_version(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.program("ipfs", script(REAL_OUTPUT["ipfs"]))
    old = Machine(tmp_path / "old")
    old.program("ipfs", script("ipfs version 0.30.0"))
    monkeypatch.setenv("PATH", f"{old.bin}:{machine.bin}")
    assert locate(engine("ipfs")) == Found(machine.bin / "ipfs", "0.42.0", Origin.PATH)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="there is no engine besu: the engines are geth, ipfs"):
        engine("besu")


def test_the_catalogue_and_the_go_modules_name_the_same_versions() -> None:
    for name, module in (
        ("ipfs", "github.com/ipfs/kubo"),
        ("ipfs-cluster-service", "github.com/ipfs-cluster/ipfs-cluster"),
    ):
        wanted = engine(name)
        assert wanted.source is not None
        text = (modules_root() / wanted.source.module / "go.mod").read_text()
        assert f"require {module} v{wanted.wanted}\n" in text
