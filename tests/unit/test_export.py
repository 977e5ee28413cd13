from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from muniment.identity import export
from muniment.identity.model import Endpoint, MemberIdentity
from muniment.kernel.errors import InputError
from muniment.spec.model import Consensus, Tls
from tests.unit.identities import member, privacy_key

ALPHA = member("alpha", first_key=1, nodes=2, peers=2)


class Somewhere:
    """Every port of every workload has a number of its own."""

    def __init__(self) -> None:
        self.numbers: dict[tuple[str, str], int] = {}

    def reach(self, workload: str, port: str) -> Endpoint:
        number = self.numbers.setdefault((workload, port), 2000 + len(self.numbers))
        return Endpoint(host="alpha.example.org", port=number)


def exported(consensus: Consensus = Consensus.QBFT) -> MemberIdentity:
    return export.export(ALPHA, Somewhere(), consensus=consensus)


def written(tmp_path: Path, member: MemberIdentity, **changes: Any) -> Path:
    file = tmp_path / "alpha.public.yaml"
    text = export.dump(member)
    file.write_text(yaml.safe_dump(yaml.safe_load(text) | changes) if changes else text)
    return file


@pytest.mark.parametrize("consensus", Consensus)
def test_round_trip(tmp_path: Path, consensus: Consensus) -> None:
    member = exported(consensus)
    file = written(tmp_path, member)
    assert export.read(file) == member
    export.check_reachable(file, member, consensus)


def test_addresses_are_read_with_their_checksum(tmp_path: Path) -> None:
    member = exported()
    small = [node.model_dump(exclude_none=True) | {"coinbase": node.coinbase.lower()} for node in member.nodes]
    assert export.read(written(tmp_path, member, account=member.account.lower(), nodes=small)) == member


def test_endpoints_are_those_of_the_workloads() -> None:
    addresses = Somewhere()
    member = export.export(ALPHA, addresses, consensus=Consensus.QBFT)
    assert set(addresses.numbers) == {
        ("alpha-1", "p2p"), ("alpha-2", "p2p"),
        ("alpha-kubo-1", "swarm"), ("alpha-kubo-2", "swarm"),
        ("alpha-cluster-1", "swarm"), ("alpha-cluster-2", "swarm"),
        ("alpha-gateway", "privacy"),
    }  # fmt: skip
    assert member.nodes[1].p2p == addresses.reach("alpha-2", "p2p")
    assert member.nodes[1].raft is None
    assert member.peers[0].kubo == addresses.reach("alpha-kubo-1", "swarm")
    assert member.peers[0].cluster == addresses.reach("alpha-cluster-1", "swarm")


def test_raft_endpoints_with_raft_only() -> None:
    assert all(node.raft for node in exported(Consensus.RAFT).nodes)


def test_it_says_what_it_is_for() -> None:
    text = export.dump(exported())
    assert text.startswith("# Public part of member alpha")
    assert "identity: alpha.public.yaml" in text


@pytest.mark.parametrize(
    ("lacking", "consensus", "said"),
    [
        (ALPHA, Consensus.QBFT, "alpha-1: p2p, alpha-2: p2p, peer 1: kubo, peer 1: cluster"),
        (exported(Consensus.QBFT), Consensus.RAFT, "alpha-1: raft, alpha-2: raft"),
    ],
)
def test_lacking_endpoints(tmp_path: Path, lacking: MemberIdentity, consensus: Consensus, said: str) -> None:
    file = written(tmp_path, lacking)
    with pytest.raises(InputError) as caught:
        export.check_reachable(file, export.read(file), consensus)
    assert str(caught.value).startswith(f"{file}: no endpoint is given for {said}")


NODES = yaml.safe_load(export.dump(exported()))["nodes"]
PEERS = yaml.safe_load(export.dump(exported()))["peers"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"nodes": NODES[::-1]}, "'alpha-2' stands where 'alpha-1' must"),
        ({"nodes": [NODES[0] | {"name": "../../etc"}]}, "'../../etc' stands where 'alpha-1' must"),
        ({"nodes": [NODES[0] | {"coinbase": NODES[1]["coinbase"]}]}, "the coinbase of alpha-1 is not the address"),
        ({"nodes": [NODES[0] | {"enode_id": "ab"}]}, "nodes.0.enode_id: 'ab' does not fit: an enode ID is 128"),
        ({"nodes": [NODES[0] | {"validator": "yes"}]}, "nodes.0.validator: must be true or false"),
        ({"nodes": [NODES[0] | {"key": "1"}]}, "nodes.0.key: there is no such field"),
        ({"nodes": [NODES[0] | {"p2p": {"host": "a\nb", "port": 1}}]}, "nodes.0.p2p.host"),
        ({"nodes": [NODES[0] | {"p2p": {"host": "a", "port": 0}}]}, "nodes.0.p2p.port: must be at least 1"),
        ({"nodes": []}, "nodes: needs at least 1"),
        ({"peers": PEERS[::-1]}, "'peer 2' stands where 'peer 1' must"),
        ({"peers": [PEERS[0] | {"kubo_id": "Qm"}]}, "peers.0.kubo_id: 'Qm' does not fit: a peer ID begins with"),
        ({"account": ALPHA.account.swapcase().replace("0X", "0x")}, "wrong checksum"),
        ({"format": "muniment-member/2"}, "format: must be 'muniment-member/1'"),
    ],
)
def test_a_wrong_file(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    file = written(tmp_path, exported(), **changes)
    with pytest.raises(InputError) as caught:
        export.read(file)
    assert str(caught.value).startswith(f"{file}:")
    assert said in str(caught.value)


TEXT = export.dump(exported(Consensus.RAFT)).encode()


@given(st.integers(0, len(TEXT) - 1), st.integers(1, 255))
def test_a_changed_byte_is_only_ever_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, at: int, mask: int
) -> None:
    file = tmp_path_factory.getbasetemp() / "changed.yaml"
    file.write_bytes(TEXT[:at] + bytes([TEXT[at] ^ mask]) + TEXT[at + 1 :])
    try:
        export.read(file)
    except InputError as error:
        assert str(error).startswith(str(file))  # noqa: PT017 - a comment or a port may change unseen


def test_the_managers_are_reached_at_the_gateway() -> None:
    addresses = Somewhere()
    member = export.export(ALPHA, addresses, consensus=Consensus.QBFT)
    assert member.privacy is not None
    assert member.privacy.endpoint == addresses.reach("alpha-gateway", "privacy")
    assert member.privacy.keys == ALPHA.privacy.keys  # type: ignore[union-attr]


def test_a_file_of_a_version_without_private_transactions_is_read(tmp_path: Path) -> None:
    older = exported().model_copy(update={"privacy": None})
    file = written(tmp_path, older)
    assert "privacy:" not in file.read_text()
    assert export.read(file) == older
    export.check_reachable(file, older, Consensus.QBFT, tls=Tls.STRICT)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"keys": ["A" * 43]}, "privacy.keys"),
        ({"keys": [privacy_key(1), privacy_key(1)]}, "twice"),
        ({"keys": []}, "privacy.keys"),
        ({"authority": "no certificate"}, "privacy.authority"),
        ({"authority": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}, "public.yaml"),
    ],
)
def test_a_damaged_privacy_part_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    member = exported()
    part = yaml.safe_load(export.dump(member))["privacy"] | changes
    with pytest.raises(InputError, match=said):
        export.read(written(tmp_path, member, privacy=part))


def test_what_others_need_of_the_managers_must_be_there() -> None:
    assert ALPHA.privacy is not None
    with pytest.raises(InputError, match=r"no endpoint is given for .*privacy"):
        export.check_reachable(Path("x.yaml"), ALPHA, Consensus.QBFT)
    part = exported().privacy
    assert part is not None
    bare = exported().model_copy(update={"privacy": part.model_copy(update={"authority": None})})
    export.check_reachable(Path("x.yaml"), bare, Consensus.QBFT)
    with pytest.raises(InputError, match=r"no authority.*privacy\.tls is strict"):
        export.check_reachable(Path("x.yaml"), bare, Consensus.QBFT, tls=Tls.STRICT)
