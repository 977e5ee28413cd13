"""Members whose privacy managers hand payloads to one another in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from muniment.kernel.errors import MunimentError
from muniment.privacy.boxes import KeyPair
from muniment.privacy.enclave import Enclave
from muniment.privacy.envelope import decode, encode
from muniment.privacy.errors import PeerAwayError, PeerRefusedError, UnknownKeyError
from muniment.privacy.receiving import Receiver
from muniment.privacy.resending import Resender
from muniment.privacy.sending import Sender
from muniment.privacy.values import Payload, Peer
from tests.support.memory_store import MemoryStore

ALL_VERSIONS = frozenset({"v1", "v2", "2.1", "3.0", "4.0"})


class Network:
    """All members by name, and which of them cannot be reached now."""

    def __init__(self, *names: str) -> None:
        self.away: set[str] = set()
        self.versions: dict[str, frozenset[str]] = {}
        self.members = {name: Member(name, self) for name in names}

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    def owner(self, key: bytes) -> Member | None:
        return next((member for member in self.members.values() if key in member.enclave.keys), None)


@dataclass
class Member:
    """One member: a key pair, a store, and its use cases. `replica` makes another manager on the same store."""

    name: str
    network: Network
    pair: KeyPair = field(default_factory=KeyPair.generate)
    store: MemoryStore = field(default_factory=MemoryStore)
    pushed: list[Payload] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.enclave = Enclave([self.pair])
        peers = MemoryPeers(self.network)
        self.sender = Sender(self.enclave, self.store, peers)
        self.receiver = Receiver(self.enclave, self.store)
        self.resender = Resender(self.enclave, self.store, peers)

    @property
    def key(self) -> bytes:
        return self.pair.public

    def replica(self) -> Member:
        return Member(self.name, self.network, self.pair, self.store, self.pushed)


class MemoryPeers:
    """`ports.Peers` over the network; payloads go through their bytes."""

    def __init__(self, network: Network) -> None:
        self._network = network

    async def resolve(self, keys: Collection[bytes]) -> Mapping[bytes, Peer]:
        found = {}
        for key in keys:
            member = self._network.owner(key)
            if member is None:
                raise UnknownKeyError("Recipient not found for key")
            versions = self._network.versions.get(member.name, ALL_VERSIONS)
            found[key] = Peer(f"http://{member.name}/", frozenset(member.enclave.keys), versions)
        return found

    async def push(self, peer: Peer, payload: Payload) -> None:
        member = self._member(peer)
        arrived = decode(encode(payload))
        member.pushed.append(arrived)
        try:
            await member.receiver.accept(arrived)
        except MunimentError as error:
            raise PeerRefusedError(str(error)) from error

    async def push_batch(self, peer: Peer, payloads: Sequence[Payload]) -> None:
        await self._member(peer).store.stage([decode(encode(payload)) for payload in payloads])

    def _member(self, peer: Peer) -> Member:
        name = peer.url.removeprefix("http://").rstrip("/")
        if name in self._network.away:
            raise PeerAwayError(f"the privacy manager at {peer.url} cannot be reached")
        return self._network[name]
