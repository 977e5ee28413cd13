"""Members whose privacy managers hand payloads to one another in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from muniment.clients.http import RefusedError
from muniment.kernel.errors import MunimentError, TemporaryError
from muniment.privacy.boxes import KeyPair
from muniment.privacy.enclave import Enclave
from muniment.privacy.envelope import decode, encode
from muniment.privacy.errors import PeerAwayError, PeerRefusedError, UnknownKeyError
from muniment.privacy.receiving import Receiver
from muniment.privacy.recovering import Recovered, Recovery
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
        self.without_batches: set[str] = set()
        """Members whose managers are too old for `/resendBatch`."""
        self.members = {name: Member(name, self) for name in names}

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    def add(self, name: str, *, keys: int = 1, always_send_to: Sequence[bytes] = ()) -> Member:
        """A member with several key pairs."""
        pairs = tuple(KeyPair.generate() for _ in range(keys))
        member = self.members[name] = Member(name, self, pairs, always_send_to=tuple(always_send_to))
        return member

    def owner(self, key: bytes) -> Member | None:
        return next((member for member in self.members.values() if key in member.enclave.keys), None)

    def at(self, url: str) -> Member:
        """The member at a URL, when it can be reached."""
        name = url.removeprefix("http://").rstrip("/")
        if name in self.away:
            raise PeerAwayError(f"the privacy manager at {url} cannot be reached")
        return self[name]


@dataclass
class Member:
    """One member: key pairs, a store, and its use cases. `replica` makes another manager on the same store."""

    name: str
    network: Network
    pairs: tuple[KeyPair, ...] = field(default_factory=lambda: (KeyPair.generate(),))
    store: MemoryStore = field(default_factory=MemoryStore)
    pushed: list[Payload] = field(default_factory=list)
    batches: list[list[Payload]] = field(default_factory=list)
    """What arrived here."""
    always_send_to: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        self.enclave = Enclave(self.pairs, self.always_send_to)
        peers = MemoryPeers(self.network)
        self.sender = Sender(self.enclave, self.store, peers)
        self.receiver = Receiver(self.enclave, self.store)
        self.resender = Resender(self.enclave, self.store, peers)
        self.recovery = Recovery(self.enclave, self.store, MemoryOthers(self.network), self.receiver)

    @property
    def key(self) -> bytes:
        return self.pairs[0].public

    @property
    def url(self) -> str:
        return f"http://{self.name}/"

    def replica(self) -> Member:
        return Member(self.name, self.network, self.pairs, self.store, self.pushed, self.batches, self.always_send_to)

    async def recover(self, *others: Member, partial: bool = False) -> Recovered:
        """Ask these for everything."""
        return await self.recovery.run([each.url for each in others], lambda _: None, partial=partial)


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
            found[key] = Peer(member.url, frozenset(member.enclave.keys), versions)
        return found

    async def push(self, peer: Peer, payload: Payload) -> None:
        member = self._network.at(peer.url)
        arrived = decode(encode(payload))
        member.pushed.append(arrived)
        try:
            await member.receiver.accept(arrived)
        except MunimentError as error:
            raise PeerRefusedError(str(error)) from error

    async def push_batch(self, peer: Peer, payloads: Sequence[Payload]) -> None:
        member = self._network.at(peer.url)
        arrived = [decode(encode(payload)) for payload in payloads]
        member.batches.append(arrived)
        try:
            await member.recovery.accept_batch(arrived)
        except MunimentError as error:
            raise PeerRefusedError(str(error)) from error


@dataclass
class MemoryOthers:
    """`recovering.Others` over the network."""

    network: Network

    def client(self, url: str) -> MemoryOther:
        return MemoryOther(self.network, url)


@dataclass
class MemoryOther:
    """Another member's manager, asked to resend; what it cannot do comes as a status."""

    network: Network
    url: str

    async def resend_batch(self, key: bytes, size: int) -> int:
        member = self.network.at(self.url)
        if member.name in self.network.without_batches:
            raise RefusedError("there is nothing at this path", 404)
        try:
            return await member.resender.resend_batch(key, size)
        except TemporaryError:
            raise
        except MunimentError as error:
            raise RefusedError(str(error), 500) from error

    async def resend_all(self, key: bytes) -> None:
        await self.network.at(self.url).resender.resend_all(key)
