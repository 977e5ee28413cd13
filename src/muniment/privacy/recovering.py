"""Recovery of a lost database: the other members give back what they have (Tessera RecoveryImpl.java).

Payloads arrive in any order, but one with a privacy flag may be kept only after all that it affects. So they are staged
first, and then kept in that order, each by the same rules as a push.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, Protocol

from muniment.clients.http import RefusedError
from muniment.kernel.errors import IntegrityError, PermanentError, TemporaryError
from muniment.privacy.enclave import Enclave
from muniment.privacy.errors import RuleError
from muniment.privacy.paging import PATIENCE_SECONDS, pages
from muniment.privacy.patience import patience
from muniment.privacy.ports import Store
from muniment.privacy.receiving import Receiver
from muniment.privacy.values import Payload

BATCH: Final = 500
_NOT_THERE: Final = (404, 405, 421, 501)
"""Statuses of a manager that knows no batches."""


class Asked(Protocol):
    """Another member's manager, asked to send what it has. See `clients.privacy_peer`."""

    async def resend_batch(self, key: bytes, size: int) -> int:
        """Send everything for the holder of `key` in batches of `size`; gives the number of payloads."""

    async def resend_all(self, key: bytes) -> None:
        """Push everything with privacy flag 0 for the holder of `key`."""


class Others(Protocol):
    """The other members' managers."""

    def client(self, url: str) -> Asked:
        """The one at this URL."""


class Outcome(StrEnum):
    """How much came back."""

    ALL = "all"
    PARTIAL = "partial"
    NONE = "none"


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
    lacking: set[bytes] = field(default_factory=set)
    """Kept ones without some of what they affect: this member was no party of it, or nobody has it."""

    @property
    def whole(self) -> bool:
        """Whether every peer was asked and everything that came was kept."""
        return not self.failed and not self.refused

    @property
    def outcome(self) -> Outcome:
        """How much came back, in one word."""
        if self.whole:
            return Outcome.ALL
        return Outcome.PARTIAL if self.kept else Outcome.NONE


class Recovery:
    """Fetches what the member lost. Meanwhile `accept_batch` of any of the member's managers stages payloads."""

    def __init__(self, enclave: Enclave, store: Store, peers: Others, receiver: Receiver) -> None:
        self._enclave = enclave
        self._store = store
        self._peers = peers
        self._receiver = receiver

    async def accept_batch(self, payloads: Sequence[Payload]) -> None:
        """Stage payloads that a peer sends. Raises `RuleError` when this member does not recover, `UnopenableError`."""
        await self._check_recovering()
        for payload in payloads:
            self._enclave.master_key(payload)
        await self._store.stage(payloads)
        # What was staged after the end is kept by nobody: its sender must hear of it.
        await self._check_recovering()

    async def run(self, urls: Sequence[str], tell: Callable[[str], None], *, partial: bool = False) -> Recovered:
        """Ask the managers at `urls` for everything, and keep it. `tell` hears what happens, a sentence each.

        Unless everything came, or `partial` says that less is enough, the member goes on recovering: it serves nothing.
        Raises `TemporaryError` when the database stays away.
        """
        result = Recovered()
        await self._store.set_recovering(True)
        for url in urls:
            await self._ask(url, result, tell)
        keeping = _Keeping(self._store, self._receiver, result, partial=partial)
        await keeping.all()
        if result.whole or partial:
            with patience(PATIENCE_SECONDS):
                await self._store.set_recovering(False)
            # Meanwhile other members have sent new ones, which were staged and answered.
            await keeping.all()
        if result.lacking:
            tell(
                f"{len(result.lacking)} payloads affect transactions that are not here: this member was no party of"
                " those, or nobody has them any more"
            )
        return result

    async def _check_recovering(self) -> None:
        if not await self._store.recovering():
            raise RuleError("this member does not recover its payloads now: batches are not taken")

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


class _Keeping:
    """Keeps what is staged, each payload after those that it affects. `all` may be called again: for what is new."""

    def __init__(self, store: Store, receiver: Receiver, result: Recovered, *, partial: bool) -> None:
        self._store = store
        self._receiver = receiver
        self._result = result
        self._partial = partial
        self._done: dict[bytes, int] = {}
        """Boxes of the payloads that were treated, by hash: with another box one is treated again."""

    async def all(self) -> None:
        """Keep everything that is staged."""
        waiting = await self._pass(None)
        while waiting:
            left = await self._pass(waiting)
            if len(left) == len(waiting):
                break
            waiting = left
        for payload_hash in waiting:
            self._result.refused[payload_hash] = "the transactions that it affects go round in a circle"

    async def _pass(self, waiting: Mapping[bytes, Collection[bytes]] | None) -> Mapping[bytes, Collection[bytes]]:
        """Keep what need not wait for others. Gives what must still wait, and for what; only these names are held in
        memory, for payloads may be many. At the first pass nothing is known to wait, and all with affected ones do."""
        left: dict[bytes, Collection[bytes]] = {} if waiting is None else dict(waiting)
        async for page in pages(self._store.staged):
            ready: list[tuple[bytes, Payload]] = []
            for payload in page:
                payload_hash = payload.hash
                if self._done.get(payload_hash) == len(payload.boxes):
                    continue
                if waiting is None and payload.affected:
                    left[payload_hash] = tuple(payload.affected)
                elif waiting is None or _free(left, payload_hash):
                    ready.append((payload_hash, payload))
            await self._keep_all(ready)
            for payload_hash, _ in ready:
                left.pop(payload_hash, None)
        return left

    async def _keep_all(self, ready: Iterable[tuple[bytes, Payload]]) -> None:
        # At once, so that the database may write several in one transaction; all are waited for.
        results = await asyncio.gather(*(self._keep(*one) for one in ready), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _keep(self, payload_hash: bytes, payload: Payload) -> None:
        with patience(PATIENCE_SECONDS):
            try:
                cause = await self._kept(payload_hash, payload)
            except (PermanentError, IntegrityError) as error:
                cause = str(error)
        if cause:
            self._result.refused[payload_hash] = cause
        elif payload_hash not in self._done:
            self._result.kept += 1
        self._done[payload_hash] = len(payload.boxes)

    async def _kept(self, payload_hash: bytes, payload: Payload) -> str:
        """Keep a payload; gives the reason when it is not kept."""
        found = await self._receiver.examined(payload)
        lacks = found is None or len(found.affected) < len(payload.affected)
        if lacks and self._result.failed and not self._partial and await self._missing(payload):
            # Once kept, a payload does not gain what it affects.
            return "it affects a transaction that has not come: ask again when all other members can be asked"
        if found is None:
            return "a rule of its privacy flag is broken, or what it affects is missing"
        await self._store.add(found)
        if lacks:
            self._result.lacking.add(payload_hash)
        elif found.affected:
            await self._mend(payload_hash, found)
        return ""

    async def _missing(self, payload: Payload) -> bool:
        return len(await self._store.payloads(payload.affected)) < len(payload.affected)

    async def _mend(self, payload_hash: bytes, found: Payload) -> None:
        """Give a payload that was kept by an earlier recovery what it affects and lacked then."""
        kept = await self._store.payload(payload_hash)
        if kept is not None and not kept.affected.keys() >= found.affected.keys():
            await self._store.replace(replace(kept, affected=found.affected))


def _free(left: Mapping[bytes, Collection[bytes]], payload_hash: bytes) -> bool:
    """Whether a payload need not wait any more: nothing that it affects waits itself."""
    return payload_hash in left and not any(other in left for other in left[payload_hash])
