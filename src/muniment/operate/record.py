"""The record of a deployment: what later verbs must know without specification and identities. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from muniment.identity.model import Identities
from muniment.spec.model import Consensus, Consortium
from muniment.topology.model import Probe, Role, Topology, Workload
from muniment.topology.privacy import DATABASE_FILE


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
    databases: Mapping[str, str] = field(default_factory=dict)
    """The database of each member's privacy managers, by member: a file, or a URL without a password."""

    def of(self, member: str, role: Role) -> tuple[Part, ...]:
        """The member's parts with this role."""
        return tuple(part for part in self.parts if part.member == member and part.role is role)

    def urls(self, member: str) -> dict[str, str | None]:
        """Where the member is reached: rpc, ws, notary, privacy (where managers of others come in); None for none."""
        gateway = next((part.endpoints for part in self.of(member, Role.GATEWAY)), {})
        notary = next((part.endpoints for part in self.of(member, Role.NOTARY)), {})
        urls = {"rpc": gateway.get("rpc"), "ws": gateway.get("ws"), "notary": notary.get("api")}
        return {**urls, "privacy": gateway.get("privacy")}

    def managers(self, member: str) -> list[str]:
        """Where the member's own applications reach its privacy managers."""
        return [part.endpoints["q2t"] for part in self.of(member, Role.PRIVACY)]


def record_of(spec: Consortium, identities: Identities, topology: Topology) -> Record:
    """The record of a topology."""
    validators = {node.name for node in identities.validators}
    return Record(
        consortium=spec.name,
        consensus=spec.chain.consensus,
        validators=len(validators),
        members=topology.members,
        parts=tuple(_part(workload, workload.name in validators) for workload in topology.workloads),
        databases=dict(_databases(spec, topology)),
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
        # Versions without private transactions left none.
        databases=document.get("databases", {}),
    )


def endpoints(record: Record, spec: Consortium, contract: str) -> dict[str, Any]:
    """Where each member is reached: what applications read (STATE/endpoints.json)."""
    return {
        "network": spec.name,
        "chain_id": spec.chain.id,
        "contract": contract,
        "members": {member: {**record.urls(member), "managers": record.managers(member)} for member in record.members},
    }


def _databases(spec: Consortium, topology: Topology) -> Iterator[tuple[str, str]]:
    for member in topology.members:
        for manager in topology.of(member, Role.PRIVACY)[:1]:
            url = spec.members[member].database.url
            yield member, str(manager.shared[0] / DATABASE_FILE) if manager.shared else url


def _part(workload: Workload, validator: bool) -> Part:
    return Part(
        name=workload.name,
        member=workload.member,
        role=workload.role,
        ready=workload.ready,
        endpoints={port.name: port.url for port in workload.ports},
        validator=validator,
    )
