"""The public file of a member: made for other operators, and read from them. It holds no secret."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Protocol

import yaml

from muniment.identity.certificates import check_authority
from muniment.identity.keys import address_bytes, address_of_public_key, checksum_address
from muniment.identity.model import Endpoint, MemberIdentity, NodeIdentity
from muniment.identity.privacy_keys import KEY_BYTES
from muniment.kernel.errors import InputError
from muniment.spec.document import read_model
from muniment.spec.model import Consensus, Tls

_HEAD = """\
# Public part of member {member}: enode IDs, validator addresses, peer IDs, privacy keys, and where they are reached.
# It holds no secret. Give it to the other operators: in their specifications it stands as
#   members:
#     {member}: {{identity: {member}.public.yaml}}
# The endpoints must be reachable from their machines.
"""


class Reach(Protocol):
    """Where others reach a port of a workload; the `Addresses` of a target do it."""

    def reach(self, workload: str, port: str) -> Endpoint:
        """The endpoint of this port."""


def export(member: MemberIdentity, addresses: Reach, *, consensus: Consensus) -> MemberIdentity:
    """The member's public part with the endpoints at which other operators reach it; `raft` ones with raft only."""
    name = member.member
    nodes = tuple(
        node.model_copy(
            update={
                "p2p": addresses.reach(node.name, "p2p"),
                "raft": addresses.reach(node.name, "raft") if consensus is Consensus.RAFT else None,
            }
        )
        for node in member.nodes
    )
    peers = tuple(
        peer.model_copy(
            update={
                "kubo": addresses.reach(f"{name}-kubo-{peer.index}", "swarm"),
                "cluster": addresses.reach(f"{name}-cluster-{peer.index}", "swarm"),
            }
        )
        for peer in member.peers
    )
    privacy = member.privacy and member.privacy.model_copy(
        update={"endpoint": addresses.reach(f"{name}-gateway", "privacy")}
    )
    return member.model_copy(update={"nodes": nodes, "peers": peers, "privacy": privacy})


def dump(member: MemberIdentity) -> str:
    """The public file's text: YAML with a comment that says what it is for."""
    body = yaml.safe_dump(member.model_dump(mode="json", exclude_none=True), sort_keys=False, width=160)
    return _HEAD.format(member=member.member) + body


def read(path: Path) -> MemberIdentity:
    """Read a public file; raises `InputError` naming the file, and the line and field where one is to blame.

    Checked beyond the types: names and numbers in order, and every coinbase the address of its enode ID.
    """
    member = read_model(path, MemberIdentity, made_by="muniment member export")
    try:
        account = checksum_address(address_bytes(member.account))
        nodes = tuple(_checked(node, f"{member.member}-{number}") for number, node in enumerate(member.nodes, start=1))
        for number, peer in enumerate(member.peers, start=1):
            _check_order(f"peer {peer.index}", f"peer {number}")
        _check_privacy(member)
    except ValueError as error:
        raise InputError(f"{path}: {error}: ask that member's operator to export it again") from error
    return member.model_copy(update={"account": account, "nodes": nodes})


def check_reachable(path: Path, member: MemberIdentity, consensus: Consensus, *, tls: Tls = Tls.OFF) -> None:
    """Raises `InputError` naming `path` when an endpoint that others need is not given, or with `tls` the authority
    that signs its certificates."""
    if tls is Tls.STRICT and member.privacy and member.privacy.authority is None:
        raise InputError(
            f"{path}: no authority is given for the managers of {member.member}, and privacy.tls is strict: ask that"
            " member's operator to write the file by `muniment member export`"
        )
    lacking = [f"{node.name}: p2p" for node in member.nodes if node.p2p is None]
    if consensus is Consensus.RAFT:
        lacking += [f"{node.name}: raft" for node in member.nodes if node.raft is None]
    for peer in member.peers:
        lacking += [f"peer {peer.index}: {port}" for port in ("kubo", "cluster") if getattr(peer, port) is None]
    if member.privacy and member.privacy.endpoint is None:
        lacking.append("privacy")
    if lacking:
        raise InputError(
            f"{path}: no endpoint is given for {', '.join(lacking)}: ask that member's operator to write the file by"
            " `muniment member export`"
        )


def _check_privacy(member: MemberIdentity) -> None:
    if member.privacy is None:
        return
    for key in member.privacy.keys:
        if len(base64.b64decode(key, validate=True)) != KEY_BYTES:
            raise ValueError(f"{key} is no privacy key")
    if len(set(member.privacy.keys)) < len(member.privacy.keys):
        raise ValueError("a privacy key stands there twice")
    if member.privacy.authority is not None:
        check_authority(member.privacy.authority)


def _check_order(found: str, expected: str) -> None:
    if found != expected:
        raise ValueError(f"{found!r} stands where {expected!r} must")


def _checked(node: NodeIdentity, name: str) -> NodeIdentity:
    _check_order(node.name, name)
    coinbase = address_of_public_key(bytes.fromhex(node.enode_id))
    if address_bytes(node.coinbase) != address_bytes(coinbase):
        raise ValueError(f"the coinbase of {name} is not the address of its enode ID")
    return node.model_copy(update={"coinbase": coinbase})
