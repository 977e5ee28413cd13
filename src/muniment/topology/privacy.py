"""The privacy managers: one beside each node, all with the member's keys and the member's database. Pure.

- A manager has three listeners. `q2t` is its node's, `p2p` that of other members' managers (behind the member's
  gateway, which gives all managers of the member one address), `status` says in plain HTTP whether it is ready, without
  any secret, to whoever probes.
- The member's managers announce one address: two addresses for one key make Tessera's managers fail ("Duplicate key").
- With SQLite the managers share one file, in a directory of the member's own and no manager's volume.
- With TLS all managers and nodes of a member show the member's one certificate. A node's port takes only certificates
  of its own member's authority, the port of other members' managers those of all members.
"""

from __future__ import annotations

import base64
from pathlib import PurePosixPath
from typing import Any

from muniment.identity.model import (
    Endpoint,
    Identities,
    MemberIdentity,
    PrivacyIdentity,
    privacy_key_path,
    tls_certificate_path,
)
from muniment.kernel.encoding import pretty_json
from muniment.spec.model import Consortium, Tls
from muniment.topology import database
from muniment.topology.model import Addresses, File, Port, Probe, Program, Role, Workload, secret

CONFIG = PurePosixPath("privacy.json")
KEYS = PurePosixPath("keys")
CERTIFICATE = PurePosixPath("tls/certificate.pem")
OWN_AUTHORITY = PurePosixPath("tls/own-authority.pem")
AUTHORITIES = PurePosixPath("tls/authorities.pem")
DATABASE_FILE = "privacy.sqlite"

NODE_TIMEOUT_SECONDS = 10
"""So long a node waits for an answer of its manager."""

HOLD_SECONDS = 8.0
"""So long a manager holds a request while its database is away; the rest of the node's patience is for the answer."""

ANNOUNCE_SECONDS = 5.0
LARGEST_PAYLOAD_BYTES = 16 << 20
STOP_SECONDS = 15

FIRST_STATE = "private"
"""GoQuorum's name of the private state of whoever names none (types.DefaultPrivateStateIdentifier)."""


def manager_name(node: str) -> str:
    """`alpha-privacy-1` is the manager beside node `alpha-1`."""
    member, _, number = node.rpartition("-")
    return f"{member}-privacy-{number}"


def scheme(spec: Consortium) -> str:
    """Of the URLs of managers."""
    return "https" if spec.privacy.tls is Tls.STRICT else "http"


def database_file(member: str, addresses: Addresses) -> PurePosixPath:
    """The SQLite file of the member's managers."""
    return addresses.data(f"{member}-database") / DATABASE_FILE


def managers(spec: Consortium, identities: Identities, addresses: Addresses) -> tuple[Workload, ...]:
    """The managers of all own members; none without private transactions."""
    if not spec.privacy.enabled:
        return ()
    return tuple(
        _Manager(spec, member, member.privacy, node.name, addresses).workload(identities)
        for member in identities.members
        if member.member in identities.own and member.privacy
        for node in member.nodes
    )


class _Manager:
    """One manager while its workload is put together."""

    def __init__(
        self, spec: Consortium, member: MemberIdentity, privacy: PrivacyIdentity, node: str, addresses: Addresses
    ) -> None:
        self.spec = spec
        self.member = member.member
        self.privacy = privacy
        self.name = manager_name(node)
        self.addresses = addresses
        self.config = addresses.config(self.name)
        self.database = spec.members[member.member].database
        self.connection, self.password = database.connection(self.database, self.config)
        self.file = database_file(self.member, addresses) if self.database.url == "sqlite" else None
        self.strict = spec.privacy.tls is Tls.STRICT

    def workload(self, identities: Identities) -> Workload:
        """The whole workload."""
        q2t, p2p, status = (self._port(name) for name in ("q2t", "p2p", "status"))
        return Workload(
            name=self.name,
            member=self.member,
            role=Role.PRIVACY,
            program=Program.MUNIMENT,
            arguments=("privacy", "serve", "--config", str(self.config / CONFIG)),
            ready=Probe(f"{status.url}/ready"),
            ports=(q2t, p2p, status, Port("metrics", status.listen, status.reach, path="/metrics")),
            files=(
                File(CONFIG, pretty_json(self._settings(identities))),
                *(
                    File(_key_file(number), secret(privacy_key_path(self.member, number)))
                    for number in self._key_numbers()
                ),
                *self.password,
                *(self._tls_files(identities) if self.strict else ()),
            ),
            shared=(self.file.parent,) if self.file else (),
            stop_seconds=STOP_SECONDS,
        )

    def _settings(self, identities: Identities) -> dict[str, Any]:
        return {
            "member": self.member,
            **{name: _place(self.addresses.listen(self.name, name)) for name in ("q2t", "p2p", "status")},
            "advertised_url": self._url(self.addresses.reach(f"{self.member}-gateway", "privacy")),
            "keys": [
                {"secret_key_file": str(self.config / _key_file(number)), "password_file": None}
                for number in self._key_numbers()
            ],
            "database": {
                "url": self.connection["url"],
                "file": str(self.file) if self.file else None,
                "password_file": self.connection["password_file"],
            },
            "data_dir": str(self.addresses.data(self.name)),
            "peers": self._peers(identities),
            "discovery": self.spec.privacy.discovery,
            "key_validation": True,
            "always_send_to": [],
            "announce_seconds": ANNOUNCE_SECONDS,
            "hold_seconds": HOLD_SECONDS,
            "largest_payload_bytes": LARGEST_PAYLOAD_BYTES,
            "resident_groups": self._groups() if self.spec.privacy.multiple_states else [],
            "tls": {"q2t": self._tls(OWN_AUTHORITY), "p2p": self._tls(AUTHORITIES)},
        }

    def _peers(self, identities: Identities) -> list[str]:
        """Addresses of the other members' managers, in an order that does not depend on the specification's."""
        found = []
        for other in sorted(identities.members, key=lambda member: member.member):
            if other.member == self.member or other.privacy is None:
                continue
            if other.member in identities.own:
                found.append(self._url(self.addresses.reach(f"{other.member}-gateway", "privacy")))
            elif other.privacy.endpoint is not None:
                found.append(self._url(other.privacy.endpoint))
        return found

    def _groups(self) -> list[dict[str, Any]]:
        """One private state for each key; the first one is that of requests that name none."""
        names = [FIRST_STATE, *(f"{self.member}-{number}" for number in self._key_numbers()[1:])]
        return [
            {
                "name": name,
                "id": base64.b64encode(name.encode()).decode(),
                "description": f"private state {number} of member {self.member}",
                "members": [key],
            }
            for number, (name, key) in enumerate(zip(names, self.privacy.keys, strict=True), start=1)
        ]

    def _tls(self, authorities: PurePosixPath) -> dict[str, str] | None:
        if not self.strict:
            return None
        certificate = str(self.config / CERTIFICATE)
        return {
            "certificate_file": certificate,
            "key_file": certificate,
            "authorities_file": str(self.config / authorities),
        }

    def _tls_files(self, identities: Identities) -> tuple[File, ...]:
        everybody = sorted(identities.members, key=lambda member: member.member)
        known = (member.privacy.authority for member in everybody if member.privacy)
        return (
            File(CERTIFICATE, secret(tls_certificate_path(self.member)), reloaded=True),
            File(OWN_AUTHORITY, self.privacy.authority or ""),
            File(AUTHORITIES, "".join(authority for authority in known if authority)),
        )

    def _key_numbers(self) -> range:
        return range(1, len(self.privacy.keys) + 1)

    def _port(self, name: str) -> Port:
        kind = "http" if name == "status" else scheme(self.spec)
        return Port(name, self.addresses.listen(self.name, name), self.addresses.reach(self.name, name), scheme=kind)

    def _url(self, endpoint: Endpoint) -> str:
        host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
        return f"{scheme(self.spec)}://{host}:{endpoint.port}/"


def _key_file(number: int) -> PurePosixPath:
    return KEYS / f"{number}.key"


def _place(endpoint: Endpoint) -> dict[str, Any]:
    return {"host": endpoint.host, "port": endpoint.port}
