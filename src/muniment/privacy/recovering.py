"""Recovery of a lost database: the other members give back what they have (Tessera RecoveryImpl.java).

Payloads arrive in any order, but one with a privacy flag may be kept only after all that it affects. So they are staged
first, and then kept in that order, each by the same rules as a push.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from muniment.clients.http import RefusedError
from muniment.kernel.errors import MunimentError, TemporaryError
from muniment.privacy.enclave import Enclave
from muniment.privacy.errors import RuleError
from muniment.privacy.peers import StoredPeers
from muniment.privacy.ports import Store
from muniment.privacy.receiving import Receiver
from muniment.privacy.values import Payload

BATCH: Final = 500
PAGE: Final = 100
_NOT_THERE: Final = (404, 405, 421, 501)
"""Statuses of a manager that knows no batches."""


@dataclass
class Recovered:
    """What a recovery brought."""

    peers: dict[str, int] = field(default_factory=dict)
    """Payloads that each peer says it sent."""
    failed: dict[str, str] = field(default_factory=dict)
    """Peers that could not be asked, and why."""
    kept: int = 0
    refused: dict[bytes, str] = field(default_factory=dict)
    """Payloads that were not kept, by hash, and why."""

    @property
    def whole(self) -> bool:
        """Whether every peer was asked and everything that came was kept."""
        return not self.failed and not self.refused


class Recovery:
    """Fetches what the member lost. Meanwhile `accept_batch` of any of the member's managers stages payloads."""

    def __init__(self, enclave: Enclave, store: Store, peers: StoredPeers, receiver: Receiver) -> None:
        self._enclave = enclave
        self._store = store
        self._peers = peers
        self._receiver = receiver

    async def accept_batch(self, payloads: Sequence[Payload]) -> None:
        """Stage payloads that a peer sends. Raises `RuleError` when this member does not recover, `UnopenableError`."""
        if not await self._store.recovering():
            raise RuleError("this member does not recover its payloads now: batches are not taken")
        for payload in payloads:
            self._enclave.master_key(payload)
        await self._store.stage(payloads)

    async def run(self, urls: Sequence[str], tell: Callable[[str], None], *, partial: bool = False) -> Recovered:
        """Ask the managers at `urls` for everything, and keep it. `tell` hears what happens, a sentence each.

        Unless everything came, or `partial` says that less is enough, the member goes on recovering: it serves nothing.
        """
        result = Recovered()
        await self._store.set_recovering(True)
        for url in urls:
            await self._ask(url, result, tell)
        await self._keep_staged(result)
        if result.whole or partial:
            await self._store.set_recovering(False)
        return result

    async def _ask(self, url: str, result: Recovered, tell: Callable[[str], None]) -> None:
        client = self._peers.client(url)
        try:
            count = 0
            for key in self._enclave.keys:
                try:
                    count += await client.resend_batch(key, BATCH)
                except RefusedError as error:
                    if error.status not in _NOT_THERE:
                        raise
                    await client.resend_all(key)
        except (TemporaryError, RefusedError) as error:
            result.failed[url] = str(error)
            tell(f"{url} could not be asked: {error}")
        else:
            result.peers[url] = count
            tell(f"{url} sent {count} payloads")

    async def _keep_staged(self, result: Recovered) -> None:
        waiting: dict[bytes, Payload] = {}
        after = b""
        while page := await self._store.staged(after, PAGE):
            for payload in page:
                after = payload.hash
                if payload.affected:
                    waiting[after] = payload
                else:
                    await self._keep(after, payload, result)
        while ready := _ready(waiting):
            for payload_hash in ready:
                await self._keep(payload_hash, waiting.pop(payload_hash), result)
        for payload_hash in waiting:
            result.refused[payload_hash] = "the transactions that it affects go round in a circle"

    async def _keep(self, payload_hash: bytes, payload: Payload, result: Recovered) -> None:
        try:
            await self._receiver.accept(payload)
        except MunimentError as error:
            result.refused[payload_hash] = str(error)
            return
        if await self._store.payload(payload_hash) is None:
            result.refused[payload_hash] = "a rule of its privacy flag is broken, or what it affects is missing"
        else:
            result.kept += 1


def _ready(waiting: Mapping[bytes, Payload]) -> list[bytes]:
    """Those whose affected transactions are not waiting themselves."""
    return [found for found, payload in waiting.items() if not any(other in waiting for other in payload.affected)]
