"""The supervisor's configuration."""

from __future__ import annotations

from configparser import ConfigParser
from dataclasses import replace
from pathlib import Path

import pytest

from muniment.kernel.errors import InputError, TemporaryError
from muniment.targets.rendering import Rendered, check_path
from muniment.targets.supervision import Places, Supervisor, configuration

WORKLOAD = Rendered("alpha-1", "0123456789abcdef", Path("/srv/100% ours/config/alpha-1/launch.json"), 35)
PLACES = Places(Path("/srv/100% ours"), Path("/srv/100% ours/run"))


def parsed(text: str) -> ConfigParser:
    parser = ConfigParser()
    parser.read_string(text)
    return parser


def test_one_program_for_each_workload() -> None:
    found = parsed(configuration(PLACES, [WORKLOAD, replace(WORKLOAD, name="alpha-2")]))
    assert [name for name in found.sections() if name.startswith("program:")] == ["program:alpha-1", "program:alpha-2"]
    program = found["program:alpha-1"]
    assert "'/srv/100% ours/config/alpha-1/launch.json'" in program["command"]
    assert program["stopwaitsecs"] == "35"
    assert program["autorestart"] == "true"
    assert program["stopasgroup"] == program["killasgroup"] == "true"
    assert found["unix_http_server"]["file"] == "/srv/100% ours/run/supervisor.sock"
    assert "inet_http_server" not in found


def test_a_changed_workload_changes_its_section_only() -> None:
    other = replace(WORKLOAD, name="alpha-2")
    before = parsed(configuration(PLACES, [WORKLOAD, other]))
    after = parsed(configuration(PLACES, [replace(WORKLOAD, digest="fedcba9876543210"), other]))
    assert [name for name in before.sections() if dict(before[name]) != dict(after[name])] == ["program:alpha-1"]


@pytest.mark.parametrize("name", ["/srv/a;b", '/srv/a"b', "/srv/a\nb", "/srv/a#b", "/srv/a'b"])
def test_names_that_could_be_misread_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="--state"):
        check_path(Path(name))


def test_supervisor_that_is_not_there(tmp_path: Path) -> None:
    supervisor = Supervisor(Places(tmp_path, tmp_path))
    assert not supervisor.answers()
    with pytest.raises(TemporaryError, match="muniment up"):
        supervisor.infos()


def test_stale_socket(tmp_path: Path) -> None:
    (tmp_path / "supervisor.sock").write_text("not a socket")
    assert not Supervisor(Places(tmp_path, tmp_path)).answers()
