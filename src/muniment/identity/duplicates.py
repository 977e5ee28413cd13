"""One identity, one place: two things with the same identity are refused before anything starts.

Two nodes with one enode ID look like one to devp2p and neither syncs; two services on one peer ID throw each other out
of the swarm; two members with one privacy key read one another's private transactions; two processes on one directory
corrupt it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from muniment.identity.model import MemberIdentity, account_paths, node_key_path, peer_key_path, privacy_key_path
from muniment.kernel.errors import IntegrityError


@dataclass(frozen=True)
class Claim:
    """Something that must be alone in the consortium: its kind, its value, and where it stands."""

    kind: str
    value: str
    place: str


def check_alone(claims: Iterable[Claim]) -> None:
    """Raises `IntegrityError` naming both places when two claims are of one kind and value."""
    seen: dict[tuple[str, str], Claim] = {}
    for claim in claims:
        first = seen.setdefault((claim.kind, claim.value.lower()), claim)
        if first is not claim:
            raise IntegrityError(
                f"the {claim.kind} {claim.value} is used twice, in {first.place} and in {claim.place}: every node, peer"
                " and account needs its own; remove the copy"
            )


def own_claims(root: Path, member: MemberIdentity) -> list[Claim]:
    """What a member of ours claims; places are the files of its secrets in the identity store at `root`."""
    name = member.member
    places = {node.name: str(root / node_key_path(name, node.name)) for node in member.nodes}
    for peer in member.peers:
        for kind in ("kubo", "cluster"):
            workload = f"{name}-{kind}-{peer.index}"
            places[workload] = str(root / peer_key_path(name, workload))
    for number in range(1, len(member.privacy.keys) + 1 if member.privacy else 1):
        places[_key_name(name, number)] = str(root / privacy_key_path(name, number))
    return _claims(member, places, str(root / account_paths(name)[0]))


def foreign_claims(path: Path, member: MemberIdentity) -> list[Claim]:
    """What another operator's member claims; places are entries of its public file at `path`, endpoints count too."""
    name = member.member
    claims = _claims(member, {}, f"{path} (account)", f"{path} ")
    for node in member.nodes:
        claims += [
            Claim("endpoint", f"{endpoint.host}:{endpoint.port}", f"{path} ({node.name}, {port})")
            for port, endpoint in (("p2p", node.p2p), ("raft", node.raft))
            if endpoint
        ]
    for peer in member.peers:
        claims += [
            Claim("endpoint", f"{endpoint.host}:{endpoint.port}", f"{path} ({name}-{port}-{peer.index})")
            for port, endpoint in (("kubo", peer.kubo), ("cluster", peer.cluster))
            if endpoint
        ]
    if member.privacy and (endpoint := member.privacy.endpoint):
        claims.append(Claim("endpoint", f"{endpoint.host}:{endpoint.port}", f"{path} ({name}, privacy)"))
    return claims


def _claims(member: MemberIdentity, places: dict[str, str], account: str, prefix: str = "") -> list[Claim]:
    def place(workload: str) -> str:
        return places.get(workload, f"{prefix}({workload})")

    claims = [Claim("submitting account", member.account, account)]
    for node in member.nodes:
        claims.append(Claim("enode ID", node.enode_id, place(node.name)))
        claims.append(Claim("coinbase", node.coinbase, place(node.name)))
    for peer in member.peers:
        claims.append(Claim("peer ID", peer.kubo_id, place(f"{member.member}-kubo-{peer.index}")))
        claims.append(Claim("peer ID", peer.cluster_id, place(f"{member.member}-cluster-{peer.index}")))
    for number, key in enumerate(member.privacy.keys if member.privacy else (), start=1):
        claims.append(Claim("privacy key", key, place(_key_name(member.member, number))))
    return claims


def _key_name(member: str, number: int) -> str:
    return f"{member}-key-{number}"
