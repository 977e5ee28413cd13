"""From a specification to all workloads; the demo's is kept as files in tests/golden/demo.

After a change that is meant, write them anew by `MUNIMENT_GOLDEN=write pytest tests/unit/test_derive.py`, and read the
difference.
"""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from muniment.identity.model import Identities
from muniment.kernel.encoding import pretty_json
from muniment.kernel.errors import IntegrityError
from muniment.spec.load import load
from muniment.spec.model import Consortium
from muniment.targets.loopback import LoopbackAddresses
from muniment.topology.derive import check_distinct, derive
from muniment.topology.model import Role, Topology, Workload
from tests.unit.identities import consortium, member

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "demo"
GENESIS = '{"stands": "here"}\n'
STATE = Path("/srv/state")

DEMO = load(ROOT / "examples" / "demo.yaml")
IDENTITIES = consortium(member("alpha", first_key=1, nodes=3, peers=3), member("beta", first_key=50, nodes=1))


def demo(spec: Consortium = DEMO, identities: Identities = IDENTITIES) -> Topology:
    return derive(spec, identities, LoopbackAddresses(spec, STATE), GENESIS)


def readable(workload: Workload) -> str:
    """The workload as JSON with the lines of its files."""
    value: dict[str, Any] = asdict(workload)
    value["files"] = [{**file, "text": file["text"].splitlines()} for file in value["files"]]
    value["ports"] = [{**port, "listen": _url(port["listen"]), "reach": _url(port["reach"])} for port in value["ports"]]
    return pretty_json(_plain(value))


def _url(endpoint: Any) -> str:
    return f"{endpoint.host}:{endpoint.port}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, PurePosixPath) else value


def test_golden() -> None:
    made = {f"{workload.name}.json": readable(workload) for workload in demo().workloads}
    if os.environ.get("MUNIMENT_GOLDEN") == "write":
        GOLDEN.mkdir(parents=True, exist_ok=True)
        for name, text in made.items():
            (GOLDEN / name).write_text(text, "utf-8")
    kept = {path.name: path.read_text("utf-8") for path in GOLDEN.iterdir()}
    assert made.keys() == kept.keys()
    for name, text in made.items():
        assert text == kept[name]


def test_same_input_same_value() -> None:
    assert demo() == demo()


def test_workloads_of_the_demo() -> None:
    topology = demo()
    assert topology.members == ("alpha", "beta")
    assert topology.genesis == GENESIS
    roles = {role: [workload.name for workload in topology.workloads if workload.role is role] for role in Role}
    assert roles[Role.NODE] == ["alpha-1", "alpha-2", "alpha-3", "beta-1"]
    assert roles[Role.PRIVACY] == ["alpha-privacy-1", "alpha-privacy-2", "alpha-privacy-3", "beta-privacy-1"]
    assert roles[Role.KUBO] == ["alpha-kubo-1", "alpha-kubo-2", "alpha-kubo-3"]
    assert roles[Role.GATEWAY] == ["alpha-gateway", "beta-gateway"]
    assert roles[Role.AGENT] == ["alpha-agent", "beta-agent"]
    assert roles[Role.NOTARY] == ["alpha-notary"]


def test_other_operators_get_no_workloads(tmp_path: Path) -> None:
    fields = {"name": "demo", "members": {"alpha": {}, "beta": {"identity": str(tmp_path / "beta.public.yaml")}}}
    spec = Consortium.model_validate(fields)
    addresses = LoopbackAddresses(DEMO, STATE)
    beta = IDENTITIES.of("beta")
    nodes = tuple(node.model_copy(update={"p2p": addresses.reach(node.name, "p2p")}) for node in beta.nodes)
    identities = Identities(
        members=(IDENTITIES.of("alpha"), beta.model_copy(update={"nodes": nodes})), own=frozenset({"alpha"})
    )
    topology = demo(spec, identities)
    assert topology.members == ("alpha",)
    assert {workload.member for workload in topology.workloads} == {"alpha"}


def test_one_port_twice_is_refused() -> None:
    first, second = demo().of("alpha", Role.NODE)[:2]
    clash = replace(second, ports=(first.ports[0], *second.ports[1:]))
    with pytest.raises(IntegrityError, match=r"alpha-1 \(rpc\) and alpha-2 \(rpc\).*port 21010"):
        check_distinct([first, clash], LoopbackAddresses(DEMO, STATE))


def test_one_name_twice_is_refused() -> None:
    first, second = demo().of("alpha", Role.NODE)[:2]
    with pytest.raises(IntegrityError, match="two workloads are named alpha-1"):
        check_distinct([first, replace(second, name="alpha-1")], LoopbackAddresses(DEMO, STATE))


class OneVolume(LoopbackAddresses):
    """Addresses that give everybody the same data directory."""

    def data(self, workload: str) -> PurePosixPath:
        del workload
        return PurePosixPath("/srv/data")


def test_one_data_directory_twice_is_refused() -> None:
    nodes = demo().of("alpha", Role.NODE)[:2]
    with pytest.raises(IntegrityError, match="alpha-1 and alpha-2 would share a data directory"):
        check_distinct(nodes, OneVolume(DEMO, STATE))
