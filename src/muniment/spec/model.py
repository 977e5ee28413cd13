"""The specification of a consortium as pydantic models that refuse unknown fields.

Pure: no I/O. `muniment.spec.load` reads YAML into these models with file and line in every error. The JSON schema
of `Consortium` is what `muniment init --schema` writes.
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Network
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from muniment.spec.base import IMAGE_PATTERN, SUBNET_PATTERN, Host, Name, Strict
from muniment.spec.kubernetes import Kubernetes

RESERVED_NAME = "consortium"
"""Directory of the secrets that all members share, beside those of the members."""
PORTS_PER_MEMBER = 400
EPHEMERAL_PORTS = 32768
"""The operating system gives outgoing connections ports from here on (Linux, net.ipv4.ip_local_port_range)."""


Image = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=IMAGE_PATTERN)]


class Consensus(StrEnum):
    """Consensus protocols of GoQuorum."""

    QBFT = "qbft"
    IBFT = "ibft"
    RAFT = "raft"
    CLIQUE = "clique"


class Chain(Strict):
    """The chain: one for the whole consortium, fixed by its genesis once it was started."""

    id: int = Field(default=1337, ge=1, le=2**53 - 1)
    """Chain ID (EIP-155) and network ID. Give every network of yours its own."""

    consensus: Consensus = Consensus.QBFT
    """Who may write the next block: qbft (default), ibft, raft or clique."""

    block_period_seconds: int = Field(default=1, ge=1, le=3600)
    """Shortest time between two blocks, in seconds."""

    empty_block_period_seconds: int = Field(default=5, ge=1, le=86400)
    """QBFT only: time between two blocks when there is nothing to write, in seconds. It is also how long a lone
    transaction may wait; an empty block takes about a kilobyte of every node's volume."""

    request_timeout_seconds: int = Field(default=2, ge=1, le=3600)
    """QBFT and IBFT: how long a round may take before the next proposer takes over, in seconds."""

    gas_limit: int = Field(default=700_000_000, ge=10_000_000, le=2**53 - 1)
    """Gas limit of a block. Gas is free; this is capacity."""

    cache_megabytes: int = Field(default=128, ge=16, le=65536)
    """Memory of a node for its caches. May be changed at any time: nodes are restarted one after the other."""

    @model_validator(mode="after")
    def _periods_agree(self) -> Self:
        if self.consensus is Consensus.QBFT and self.empty_block_period_seconds < self.block_period_seconds:
            raise ValueError(
                f"empty_block_period_seconds ({self.empty_block_period_seconds}) must be at least"
                f" block_period_seconds ({self.block_period_seconds})"
            )
        return self


class Replication(Strict):
    """On how many peers content is pinned."""

    min: int = Field(default=2, ge=1, le=32)
    """Content counts as stored only when this many peers hold it pinned."""

    max: int = Field(default=3, ge=1, le=32)
    """This many peers are asked to hold it."""

    @model_validator(mode="after")
    def _order(self) -> Self:
        if self.max < self.min:
            raise ValueError(f"replication.max ({self.max}) must be at least replication.min ({self.min})")
        return self


class Ipfs(Strict):
    """The private IPFS Cluster of the consortium."""

    replication: Replication = Replication()
    """On how many peers content is pinned."""

    storage_max: str = Field(default="100GB", pattern=r"^[1-9][0-9]*(MB|GB|TB)$")
    """Storage that one peer offers, for example 100GB."""


class Tls(StrEnum):
    """Whether connections to privacy managers are encrypted and both sides show certificates."""

    OFF = "off"
    STRICT = "strict"


def _bare_off(value: object) -> object:
    # A bare `off` is YAML 1.1 for false.
    return Tls.OFF.value if value is False else value


class Privacy(Strict):
    """Private transactions: their payloads are kept by privacy managers, one beside each node."""

    enabled: bool = True
    """Whether there are private transactions. The genesis fixes it."""

    multiple_states: bool = False
    """Whether every privacy key of a member has a private state of its own. The genesis fixes it."""

    tls: Annotated[Tls, BeforeValidator(_bare_off)] = Tls.OFF
    """`strict`: nodes, managers and the managers of other members show one another certificates. Default `off`, because
    everything listens on 127.0.0.1."""

    discovery: bool = True
    """Whether managers of members that are not in this specification may announce themselves."""

    @model_validator(mode="after")
    def _states_need_managers(self) -> Self:
        if self.multiple_states and not self.enabled:
            raise ValueError("multiple_states cannot be true while enabled is false: set one of the two otherwise")
        return self


class Images(Strict):
    """Images of the containers, where they are not the usual ones."""

    quorum: Image | None = None
    """GoQuorum."""

    kubo: Image | None = None
    """kubo."""

    cluster: Image | None = None
    """ipfs-cluster-service."""

    haproxy: Image | None = None
    """haproxy."""

    mariadb: Image | None = None
    """MariaDB, for members without a database of their own."""

    muniment: Image | None = None
    """muniment itself."""


class Compose(Strict):
    """Settings of the docker compose target."""

    subnet: Annotated[str, StringConstraints(pattern=SUBNET_PATTERN)] = "10.213.0.0/16"
    """Network of the containers; every member that runs here takes 256 addresses of it."""

    host: Host | None = None
    """Address by which other operators' members reach this host. Without it nothing is open to them."""

    @model_validator(mode="after")
    def _subnet_is_one(self) -> Self:
        IPv4Network(self.subnet)
        return self


class Database(Strict):
    """The SQL database of one member."""

    url: str = Field(default="sqlite", pattern=r"^(sqlite|postgresql://[^\s]+|mysql://[^\s]+|mariadb://[^\s]+)$")
    """`sqlite` (one file for the notary, one for the privacy managers), or postgresql://user@host:port/name, or
    mysql://…, without a password. Several hosts may stand there, with commas between them: the one that takes writes is
    used."""

    password_file: str | None = None
    """File with the password, mode 0600. Passwords never stand in the specification."""

    @model_validator(mode="after")
    def _no_password(self) -> Self:
        authority = self.url.partition("://")[2].partition("/")[0]
        if ":" in authority.rpartition("@")[0]:
            raise ValueError("the database URL holds a password: put it in a 0600 file and name that in password_file")
        return self


class Member(Strict):
    """One organisation: its nodes, peers, database and notary."""

    identity: str | None = None
    """Public file of a member that another operator runs (`muniment member export`), relative to the
    specification. The counts below then come from that file and are not given here."""

    nodes: int = Field(default=3, ge=1, le=16)
    """Number of GoQuorum nodes, each with its own key, coinbase and volume."""

    validators: int | None = Field(default=None, ge=0, le=16)
    """How many of the nodes, counted from the first, validate; all when not given."""

    peers: int = Field(default=3, ge=0, le=16)
    """Number of IPFS peers (pairs of kubo and cluster)."""

    notary: bool = True
    """Whether this member runs a notary."""

    database: Database = Database()
    """The member's SQL database, for its notary and its privacy managers."""

    privacy_keys: int = Field(default=1, ge=1, le=16)
    """Number of key pairs by which private transactions name this member; all its managers hold all of them."""

    hosts: tuple[Host, ...] = Field(default=(), max_length=32)
    """Further host names by which clients reach this member's gateway; nodes refuse requests for any other name."""

    privacy_hosts: tuple[Host, ...] = Field(default=(), max_length=32)
    """Further host names and addresses by which others reach this member's managers; they stand in the certificates."""

    @property
    def validator_count(self) -> int:
        """Number of validating nodes, the default resolved."""
        return self.nodes if self.validators is None else self.validators

    @model_validator(mode="after")
    def _counts(self) -> Self:
        if self.identity is not None:
            given = sorted(self.model_fields_set - {"identity"})
            if given:
                raise ValueError(f"{', '.join(given)} cannot be given with identity: the public file says it")
        if self.validators is not None and self.validators > self.nodes:
            raise ValueError(f"validators ({self.validators}) must be at most nodes ({self.nodes})")
        return self


class Ports(Strict):
    """Ports of the local target."""

    base: int = Field(default=21000, ge=1024, le=30000)
    """First port on 127.0.0.1; every member that runs here takes 400 from here on, in the order of the specification.
    All stay below the ephemeral range (32768), so that no outgoing connection can sit on one."""


class Consortium(Strict):
    """The whole specification: chain, IPFS Cluster, members."""

    version: Literal[1] = 1
    """Version of this format."""

    name: Name = "consortium"
    """Name of the consortium."""

    chain: Chain = Chain()
    """The chain."""

    ipfs: Ipfs = Ipfs()
    """The IPFS Cluster."""

    privacy: Privacy = Privacy()
    """Private transactions."""

    ports: Ports = Ports()
    """Ports of the local target."""

    images: Images = Images()
    """Images of the containers, with docker compose and on Kubernetes."""

    compose: Compose = Compose()
    """The docker compose target."""

    kubernetes: Kubernetes = Kubernetes()
    """The Kubernetes target."""

    members: dict[Name, Member] = Field(min_length=1, max_length=32)
    """The members by name."""

    @model_validator(mode="after")
    def _names_are_free(self) -> Self:
        if RESERVED_NAME in self.members:
            raise ValueError(
                f"members.{RESERVED_NAME} cannot be a member's name, what all members share has it: choose another"
            )
        return self

    @model_validator(mode="after")
    def _ports_are_enough(self) -> Self:
        own = len(self.own_members)
        end = self.ports.base + PORTS_PER_MEMBER * own
        if end > EPHEMERAL_PORTS:
            raise ValueError(
                f"ports.base is {self.ports.base}, and {own} members of ours take {PORTS_PER_MEMBER} ports each,"
                f" up to {end}: it must be at most {EPHEMERAL_PORTS - PORTS_PER_MEMBER * own}"
            )
        return self

    @model_validator(mode="after")
    def _raft_takes_all_nodes(self) -> Self:
        partial = [name for name, member in self.own_members.items() if member.validators is not None]
        if self.chain.consensus is Consensus.RAFT and partial:
            raise ValueError(
                f"members.{partial[0]}.validators cannot be given with consensus raft: every node takes part; remove it"
            )
        return self

    @model_validator(mode="after")
    def _someone_is_ours(self) -> Self:
        own = self.own_members
        if not own:
            raise ValueError("members: at least one member must be ours, that is without identity")
        if len(own) == len(self.members):
            self._check_counts()
        return self

    def _check_counts(self) -> None:
        if not any(member.validator_count for member in self.members.values()):
            raise ValueError("members: nobody validates; give at least one member validators")
        peers = sum(member.peers for member in self.members.values())
        notaries = [name for name, member in self.members.items() if member.notary]
        if notaries and peers < self.ipfs.replication.min:
            raise ValueError(
                f"ipfs.replication.min is {self.ipfs.replication.min} but there are {peers} peers in all:"
                f" add peers, lower the minimum, or set notary: false for {', '.join(notaries)}"
            )

    @property
    def own_members(self) -> dict[str, Member]:
        """The members that this operator runs."""
        return {name: member for name, member in self.members.items() if member.identity is None}
