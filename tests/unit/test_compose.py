"""The compose folder: the same files as on one machine, no secret where none belongs, and the same every time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from muniment.identity.store import IdentityStore
from muniment.kernel.errors import InputError
from muniment.spec.model import Consortium
from muniment.targets.compose.addresses import ComposeAddresses, OutsideAddresses, settled
from muniment.targets.compose.rendering import write
from muniment.targets.containers.images import images
from muniment.targets.loopback import LoopbackAddresses
from muniment.topology.derive import derive
from muniment.topology.model import Addresses, Topology

MEMBERS = {"alpha": {"nodes": 3, "peers": 3}, "beta": {"nodes": 1, "peers": 0, "notary": False}}
STATE = Path("/state")


def specification(**compose: str) -> Consortium:
    # The same database on both sides: it is what differs on purpose.
    database = {"url": "mariadb://user@db.example:3306/muniment"}
    members = {name: {**member, "database": database} for name, member in MEMBERS.items()}
    return Consortium.model_validate({"name": "demo", "compose": compose, "members": members})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> IdentityStore:
    return IdentityStore(tmp_path_factory.mktemp("identity"))


def derived(store: IdentityStore, spec: Consortium, addresses: Addresses) -> Topology:
    identities = store.ensure(settled(spec), Path())
    return derive(spec, identities, addresses, store.genesis(spec, identities))


def neutral(text: str) -> str:
    """Without addresses, ports and paths."""
    text = re.sub(r"/(state|muniment)/(config|data|run)/", "PATH/", text)
    text = re.sub(r"PATH/([a-z0-9-]+)", r"PATH/\1", text)
    text = re.sub(r"(/tmp/muniment-\d+-[0-9a-f]+|/state/run)", "PATH", text)
    text = re.sub(r"\b\d{1,3}(\.\d{1,3}){3}\b", "ADDRESS", text)
    text = re.sub(r"(?<=ADDRESS:)\d+|(?<=/tcp/)\d+|(?<=ADDRESS\", \"port\": )\d+", "PORT", text)
    text = re.sub(r'("port": |:)\d{4,5}\b', r"\1PORT", text)
    # On one machine peers announce no address beside the one that they listen at.
    return re.sub(r'\[\s*"/ip4/ADDRESS/tcp/PORT"\s*\]', "[]", text)


def test_files_are_those_of_one_machine(store: IdentityStore) -> None:
    spec = specification()
    ours = derived(store, spec, ComposeAddresses(spec))
    local = derived(store, spec, LoopbackAddresses(spec, STATE))
    assert [one.name for one in ours.workloads] == [one.name for one in local.workloads]
    for mine, other in zip(ours.workloads, local.workloads, strict=True):
        theirs = {(file.path, file.in_data): file.text for file in other.files}
        assert theirs.keys() == {(file.path, file.in_data) for file in mine.files}
        for file in mine.files:
            if mine.name.endswith("gateway") or "vhosts" in file.text:
                continue
            assert neutral(file.text) == neutral(theirs[file.path, file.in_data]), (mine.name, file.path)


def test_no_secret_outside_its_folder_and_the_same_every_time(store: IdentityStore, tmp_path: Path) -> None:
    spec = settled(specification())
    topology = derived(store, spec, ComposeAddresses(spec))

    def secret(path: str) -> str:
        return f"the secret {path}"

    write(tmp_path / "out", topology, spec, images({}), secret)
    first = contents(tmp_path / "out")
    (tmp_path / "out" / "config" / "gone").mkdir()
    write(tmp_path / "out", topology, spec, images({}), secret)
    assert contents(tmp_path / "out") == first
    holding = {name.split("/")[0] for name, text in first.items() if "the secret " in text}
    assert holding == {"secrets"}
    for name in first:
        if name.startswith("secrets/") or name == ".env":
            assert (tmp_path / "out" / name).stat().st_mode & 0o777 == 0o600


def test_every_container_has_an_address_of_its_own(store: IdentityStore, tmp_path: Path) -> None:
    spec = settled(specification())
    topology = derived(store, spec, ComposeAddresses(spec))
    write(tmp_path / "out", topology, spec, images({}), lambda path: path)
    document = yaml.safe_load((tmp_path / "out" / "compose.yaml").read_text())
    services = document["services"]
    addresses = [one["networks"]["consortium"]["ipv4_address"] for one in services.values() if "networks" in one]
    assert len(addresses) == len(set(addresses)) == len(topology.workloads)
    for service in services.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
    assert services["alpha-1"]["depends_on"]["alpha-privacy-1"] == {"condition": "service_healthy"}


def test_others_come_in_at_the_host(store: IdentityStore) -> None:
    with pytest.raises(InputError, match=r"compose\.host is missing"):
        OutsideAddresses(specification())
    place = OutsideAddresses(specification(host="192.0.2.10")).reach("alpha-1", "p2p")
    assert (place.host, place.port) == ("192.0.2.10", 21012)


def test_a_network_that_is_too_small_is_refused() -> None:
    with pytest.raises(InputError, match="too small for 2 members"):
        ComposeAddresses(specification(subnet="10.0.0.0/24"))


def contents(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}
