"""The record of a deployment: what later verbs must know without specification and identities. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from muniment.identity.model import Identities
from muniment.spec.model import Consensus, Consortium
from muniment.topology.model import Probe, Role, Topology, Workload


@dataclass(frozen=True)
class Part:
    """What must be known of a workload to observe it."""

    name: str
    member: str
    role: Role
    ready: Probe
    endpoints: Mapping[str, str]
    """URL by name of the port."""
    validator: bool = False


@dataclass(frozen=True)
class Record:
    """What was deployed from one state directory."""

    consortium: str
    consensus: Consensus
    validators: int
    """Of the whole consortium, other operators' included."""
    members: tuple[str, ...]
    """Those that run here."""
    parts: tuple[Part, ...]

    def of(self, member: str, role: Role) -> tuple[Part, ...]:
        """The member's parts with this role."""
        return tuple(part for part in self.parts if part.member == member and part.role is role)

    def urls(self, member: str) -> dict[str, str | None]:
        """Where the member is reached: rpc, ws, notary (None when it has none)."""
        gateway = next((part.endpoints for part in self.of(member, Role.GATEWAY)), {})
        notary = next((part.endpoints for part in self.of(member, Role.NOTARY)), {})
        return {"rpc": gateway.get("rpc"), "ws": gateway.get("ws"), "notary": notary.get("api")}


def record_of(spec: Consortium, identities: Identities, topology: Topology) -> Record:
    """The record of a topology."""
    validators = {node.name for node in identities.validators}
    return Record(
        consortium=spec.name,
        consensus=spec.chain.consensus,
        validators=len(validators),
        members=topology.members,
        parts=tuple(_part(workload, workload.name in validators) for workload in topology.workloads),
    )


def to_document(record: Record) -> dict[str, Any]:
    """The record as a value for JSON."""
    return asdict(record)


def from_document(document: dict[str, Any]) -> Record:
    """The record from its JSON value. Raises `KeyError`, `TypeError` or `ValueError` for anything else."""
    return Record(
        consortium=document["consortium"],
        consensus=Consensus(document["consensus"]),
        validators=document["validators"],
        members=tuple(document["members"]),
        parts=tuple(
            Part(
                name=part["name"],
                member=part["member"],
                role=Role(part["role"]),
                ready=Probe(**part["ready"]),
                endpoints=part["endpoints"],
                validator=part["validator"],
            )
            for part in document["parts"]
        ),
    )


def endpoints(record: Record, spec: Consortium, contract: str) -> dict[str, Any]:
    """Where each member is reached: what applications read (STATE/endpoints.json)."""
    return {
        "network": spec.name,
        "chain_id": spec.chain.id,
        "contract": contract,
        "members": {member: record.urls(member) for member in record.members},
    }


def _part(workload: Workload, validator: bool) -> Part:
    return Part(
        name=workload.name,
        member=workload.member,
        role=workload.role,
        ready=workload.ready,
        endpoints={port.name: port.url for port in workload.ports},
        validator=validator,
    )
