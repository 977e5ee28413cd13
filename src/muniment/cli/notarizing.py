"""Notarises many files: small ones together, large ones alone, a few requests at a time, receipts as they come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from muniment.cli.sources import Source, digest, read_exactly
from muniment.clients.notary import NotarisedFile, NotaryClient, NotaryRefusedError, UploadPart
from muniment.kernel.encoding import parse_json, pretty_json
from muniment.kernel.errors import InputError, IntegrityError
from muniment.kernel.events import Listener, Step
from muniment.kernel.files import write_atomically
from muniment.proof.unixfs import FileSummary

GROUP_FILES: Final = 500
GROUP_BYTES: Final = 4 * 2**20
AT_A_TIME: Final = 4
"""Requests in flight."""

POLL_SECONDS: Final = 20.0
"""One question for a state waits so long at the notary."""

WAITING_AT_A_TIME: Final = 8
"""Groups that are waited for at the notary."""

MAX_NAME_BYTES: Final = 1024
RECEIPT_SUFFIX: Final = ".receipt.json"
_RANK: Final = {"received": 0, "batched": 1, "stored": 2, "anchored": 3}


@dataclass(frozen=True)
class Order:
    """What is wanted: up to which state to wait, for how long, and where the receipts go."""

    wait: str
    timeout: float
    receipts: Path


@dataclass
class Outcome:
    """What became of each source, in the order given: a file with its receipt, or the cause of its failure."""

    files: dict[Source, tuple[NotarisedFile, Path]] = field(default_factory=dict)
    failed: dict[Source, str] = field(default_factory=dict)

    def document(self, sources: Sequence[Source]) -> dict[str, Any]:
        """The document of `notarize --json`."""
        return {
            "files": [self._shown(source) for source in sources if source in self.files],
            "failed": [{"path": str(s.path), "cause": self.failed[s]} for s in sources if s in self.failed],
        }

    def _shown(self, source: Source) -> dict[str, Any]:
        file, receipt = self.files[source]
        return {
            "path": str(source.path),
            "id": file.id,
            "sha256": file.sha256,
            "cid": file.cid,
            "size": file.size,
            "state": file.state,
            "receipt": str(receipt),
        }


class Notarizing:
    """One run. A file that fails does not stop the others."""

    def __init__(self, client: NotaryClient, order: Order, listener: Listener, total: int) -> None:
        self._client = client
        self._order = order
        self._listener = listener
        self._total = total
        self._uploaded = 0
        self._waiting = asyncio.Semaphore(WAITING_AT_A_TIME)
        self.outcome = Outcome()

    async def run(self, sources: Sequence[Source]) -> Outcome:
        """Notarise `sources`. Raises what concerns all of them: a notary that stays away."""
        self._tell("uploading", "begin", 0)
        groups = iter(list(groups_of(sources)))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_A_TIME):
                tasks.create_task(self._work(groups, tasks))
        self._tell(f"{self._order.wait}, receipts written", "end", len(self.outcome.files))
        return self.outcome

    async def _work(self, groups: Iterator[Sequence[Source]], tasks: asyncio.TaskGroup) -> None:
        for group in groups:
            accepted = await self._upload(group)
            self._uploaded += len(group)
            self._tell("uploading", "progress", self._uploaded)
            if accepted:
                tasks.create_task(self._finish(accepted))

    async def _upload(self, group: Sequence[Source]) -> dict[Source, NotarisedFile]:
        """Upload a group; when it is refused for one file, each alone, so that only that one fails."""
        digested: dict[Source, FileSummary] = {}
        for source in group:
            try:
                digested[source] = await asyncio.to_thread(digest, source.path)
            except InputError as error:
                self.outcome.failed[source] = str(error)
        if not digested:
            return {}
        try:
            files = await self._client.upload([_part(source, summary) for source, summary in digested.items()])
            _compare(digested, files)
        except (InputError, IntegrityError, NotaryRefusedError) as error:
            if len(digested) == 1:
                self.outcome.failed[next(iter(digested))] = str(error)
                return {}
            accepted: dict[Source, NotarisedFile] = {}
            for source in digested:
                accepted |= await self._upload([source])
            return accepted
        return dict(zip(digested, files, strict=True))

    async def _finish(self, accepted: dict[Source, NotarisedFile]) -> None:
        """Wait for the state that was asked for, then write the receipts."""
        async with self._waiting:
            ids = [file.id for file in accepted.values()]
            files = await self._reached(ids)
            texts = await self._client.receipts(ids)
        receipts = [self._order.receipts / f"{source.name}{RECEIPT_SUFFIX}" for source in accepted]
        await asyncio.to_thread(_write_all, receipts, texts)
        for source, file, receipt in zip(accepted, files, receipts, strict=True):
            if _RANK[file.state] < _RANK[self._order.wait]:
                self.outcome.failed[source] = self._lateness(file, receipt)
            else:
                self.outcome.files[source] = (file, receipt)
        self._tell(f"waiting until {self._order.wait}", "progress", len(self.outcome.files))

    async def _reached(self, ids: Sequence[str]) -> list[NotarisedFile]:
        deadline = time.monotonic() + self._order.timeout
        while True:
            left = max(0.0, deadline - time.monotonic())
            files = await self._client.states(ids, wait=self._order.wait, seconds=min(POLL_SECONDS, left))
            if not left or all(_RANK[file.state] >= _RANK[self._order.wait] for file in files):
                return files

    def _lateness(self, file: NotarisedFile, receipt: Path) -> str:
        cause = f" ({file.cause})" if file.cause else ""
        return (
            f"it was {file.state} and not {self._order.wait} after {self._order.timeout:g} s{cause}: the notary goes on"
            f" with it; {receipt} holds what is proved so far"
        )

    def _tell(self, text: str, state: str, done: int) -> None:
        self._listener(Step("notarize", text, state, done, self._total))


def groups_of(sources: Sequence[Source]) -> Iterator[list[Source]]:
    """Small files together in one request, each large one alone."""
    group: list[Source] = []
    size = 0
    for source in sources:
        length = _length(source.path)
        if group and (len(group) >= GROUP_FILES or size + length > GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append(source)
        size += length
    if group:
        yield group


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        # It is named when it is read.
        return 0


def _part(source: Source, summary: FileSummary) -> UploadPart:
    name = source.name.encode("utf-8", "replace")[:MAX_NAME_BYTES].decode("utf-8", "ignore")
    return UploadPart(name, summary.size, summary.sha256.hex(), partial(read_exactly, source.path, summary.size))


def _compare(digested: dict[Source, FileSummary], files: Sequence[NotarisedFile]) -> None:
    for (source, summary), file in zip(digested.items(), files, strict=True):
        if (file.size, file.sha256, file.cid) != (summary.size, summary.sha256.hex(), summary.cid):
            raise IntegrityError(
                f"the notary computed {file.sha256} and {file.cid} for {source.path}, here it is {summary.sha256.hex()}"
                f" and {summary.cid}: do not trust this notary, and report it"
            )


def _write_all(receipts: Sequence[Path], texts: Sequence[str]) -> None:
    for receipt, text in zip(receipts, texts, strict=True):
        write_atomically(receipt, pretty(text))


def pretty(text: str) -> bytes:
    """A receipt as it is kept: the notary's JSON, laid out for people."""
    return pretty_json(parse_json(text)).encode()
