"""A notary in this process on a real database and a real spool, with IPFS and the chain in memory, that can crash."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from muniment.kernel.errors import MunimentError, PermanentError, TemporaryError
from muniment.kernel.waiting import NotYetError, wait_for
from muniment.notary.batches import directory_of
from muniment.notary.intake import take_raw
from muniment.notary.receipts import Material, Receipts
from muniment.notary.replica import ALONE
from muniment.notary.service import Doors, Notary
from muniment.notary.settings import BatchSettings
from muniment.notary.spool import Spool
from muniment.notary.store import open_store
from muniment.notary.values import Anchor, FileView, Member, Outbox, State, now_ms
from muniment.proof.unixfs import FileSummary

WRITES = ("accept", "add_batch", "set_stored", "set_outbox", "set_anchored", "set_cause")
SETTLED = 30.0


class Crash(BaseException):
    """Stands for kill -9: nobody catches it."""


@dataclass
class Crashes:
    """Counts the boundaries of durable steps, and crashes at one of them; later ones are passed over."""

    at: int | None = None
    passed: int = 0
    happened: bool = False
    names: list[str] = field(default_factory=list)

    def boundary(self, name: str) -> None:
        self.passed += 1
        self.names.append(name)
        if self.passed == self.at:
            self.happened = True
        if self.happened:
            raise Crash(name)


class Guarded:
    """Wraps a door: a boundary before and after each of the named methods, and failures on demand."""

    def __init__(self, door: Any, methods: Sequence[str], crashes: Crashes) -> None:
        self._door = door
        self._methods = methods
        self._crashes = crashes
        self.fail: Callable[[str, tuple[Any, ...]], MunimentError | None] = lambda _name, _arguments: None

    def __getattr__(self, name: str) -> Any:
        inner = getattr(self._door, name)
        if name not in self._methods:
            return inner

        async def guarded(*arguments: Any, **options: Any) -> Any:
            self._crashes.boundary(f"before {name}")
            error = self.fail(name, arguments)
            if error is not None:
                raise error
            result = await inner(*arguments, **options)
            self._crashes.boundary(f"after {name}")
            return result

        return guarded


class FakeContent:
    """IPFS in memory: what was stored under which directory, read from the spool for good."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self.directories: dict[str, dict[str, bytes]] = {}

    async def store(self, number: int, members: Sequence[Member]) -> tuple[str, ...]:
        del number
        content = {m.id: b"".join(self._spool.read(m.place, m.size)) for m in members}
        for member in members:
            assert hashlib.sha256(content[member.id]).digest() == member.sha256
        self.directories[directory_of(members).root] = content
        return ("peer-1", "peer-2")


class FakeLedger:
    """A chain with the contract's rule: a root that is held already keeps its old sequence number."""

    def __init__(self) -> None:
        self.mined: dict[str, tuple[bytes, int]] = {}
        self.anchors: dict[bytes, Anchor] = {}
        self.sizes: dict[bytes, int] = {}
        self.nonce = 0
        self.digests: dict[bytes, bytes] = {}
        self.sent: list[bytes] = []
        self.mining = True

    async def next_nonce(self) -> int:
        return self.nonce

    def sign(self, root: bytes, size: int, digest: bytes, nonce: int) -> Outbox:
        raw = json.dumps([root.hex(), size, digest.hex(), nonce]).encode()
        return Outbox(raw, "0x" + hashlib.sha256(raw).hexdigest(), nonce)

    async def send(self, raw: bytes) -> None:
        self.sent.append(raw)
        if not self.mining:
            return
        root_hex, size, digest, nonce = json.loads(raw)
        if nonce != self.nonce:
            return
        self.nonce += 1
        root = bytes.fromhex(root_hex)
        transaction = "0x" + hashlib.sha256(raw).hexdigest()
        self.mined[transaction] = (root, nonce)
        if root not in self.anchors:
            seq = len(self.anchors) + 1
            self.sizes[root] = size
            self.digests[root] = bytes.fromhex(digest)
            self.anchors[root] = Anchor(transaction, seq, "0x" + "ab" * 32, 1_700_000_000 + seq, 0, seq)

    async def confirmation(self, transaction: str, root: bytes) -> Anchor | None:
        return self.anchors.get(root) if transaction in self.mined else None

    async def lookup(self, root: bytes, digest: bytes | None = None) -> Anchor | None:
        if digest is not None and self.digests.get(root, digest) != digest:
            raise PermanentError("this root was anchored with the header of another batch")
        return self.anchors.get(root)


def statement(file: FileSummary, received_at: int) -> bytes:
    """A leaf without a salt, so that tests can tell which file it is of."""
    return f"{file.sha256.hex()} {received_at}".encode()


def cut(material: Material) -> str:
    """A receipt as tests read it."""
    position = material.position
    return json.dumps(
        {
            "level": "anchored" if material.anchor else "batched" if position else "pending",
            "name": material.name,
            "statement": material.statement.decode(),
            "path": [step.hex() for step in position.path] if position else None,
        }
    )


class Rig:
    """The same database, spool, IPFS and chain for one notary after the other.

    With `beside`, the database, IPFS and the chain are those of another rig; both need a `replica` name then.
    """

    def __init__(self, folder: Path, *, replica: str = ALONE, beside: Rig | None = None, **batch: Any) -> None:
        self.folder = folder
        self.replica = replica
        self.database: Path = beside.database if beside else folder
        self.settings = BatchSettings(**{"window_seconds": 0.02, **batch})
        self.ledger: FakeLedger = beside.ledger if beside else FakeLedger()
        self.crashes = Crashes()
        self.contents: dict[str, dict[str, bytes]] = beside.contents if beside else {}
        self.notary: Notary
        self.store: Any
        self.content: Guarded
        self.clock = now_ms

    async def start(self, *, crash_at: int | None = None) -> None:
        """A new notary on what the last one left."""
        self.crashes = Crashes(crash_at)
        real_store = open_store("sqlite", None, self.database, self.replica)
        self._close = real_store.close
        self.store = Guarded(real_store, WRITES, self.crashes)
        self.spool = Spool(self.folder / "spool")
        fake = FakeContent(self.spool)
        fake.directories = self.contents
        self.content = Guarded(fake, ("store",), self.crashes)
        self.chain = Guarded(self.ledger, ("send",), self.crashes)
        doors = Doors(self.store, self.content, self.chain, statement, lambda: self.clock())
        receipts = Receipts(self.store, cut)
        alone = self.replica == ALONE
        self.notary = Notary(doors, receipts, self.spool, self.settings, "net/alpha", self.folder, alone=alone)
        await self.notary.start()

    async def stop(self) -> None:
        await self.notary.stop()
        await self._close()

    async def kill(self) -> None:
        """`stop` without what a notary that is killed cannot do any more."""

        async def nothing() -> None:
            return

        self.store.resign = nothing
        await self.stop()

    async def upload(self, contents: Sequence[bytes], key: str | None = None) -> list[FileView]:
        """Upload files, each named by its position; a crash before the answer is a `Crash` here."""
        upload = self.notary.upload()
        for position, content in enumerate(contents):
            await take_raw(upload, f"file {position}", None, pieces(content))
        answer = asyncio.ensure_future(self.notary.accept(await upload.complete(), key))
        return await self._or_crash(answer)

    async def all_anchored(self, identifiers: Sequence[str], *, seconds: float = SETTLED) -> list[FileView]:
        """Wait until files are anchored."""
        waiting = asyncio.ensure_future(self.notary.files(identifiers, State.ANCHORED, seconds))
        files = await self._or_crash(waiting)
        assert {file.state for file in files} <= {State.ANCHORED}, files
        return files

    async def idle(self) -> None:
        """Wait until nothing is on its way."""

        async def nothing_open() -> None:
            counts = await self.store.counts()
            if any(counts.files[state] for state in State if state is not State.ANCHORED):
                raise NotYetError(str(counts))

        await self._or_crash(asyncio.ensure_future(wait_for("the pipeline to be empty", nothing_open, timeout=SETTLED)))

    async def _or_crash(self, work: asyncio.Future[Any]) -> Any:
        failed = self.notary.failed
        assert failed is not None
        await asyncio.wait((work, failed), return_when=asyncio.FIRST_COMPLETED)
        if failed.done():
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            error = failed.exception()
            assert isinstance(error, Crash), error
            raise error
        return await work


async def pieces(content: bytes, size: int = 1 << 16) -> AsyncIterator[bytes]:
    """A body in pieces."""
    for start in range(0, len(content), size):
        yield content[start : start + size]


def away(times: int) -> Callable[[str, tuple[Any, ...]], MunimentError | None]:
    """Fails so many calls as if the other side were away."""
    left = [times]

    def fail(_name: str, _arguments: tuple[Any, ...]) -> MunimentError | None:
        left[0] -= 1
        return TemporaryError("it is away", delay=0.02) if left[0] >= 0 else None

    return fail


Check = Callable[[], Awaitable[None]]
