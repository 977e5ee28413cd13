"""An upload while it arrives: bounded memory, digest and CID computed on the way.

Small uploads stay in memory until they are accepted together with others; a larger one goes to a spool segment of its
own as it arrives. Until it is accepted nothing of it counts, and what breaks off leaves nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterable
from dataclasses import dataclass
from typing import Final

from muniment.notary.errors import RefusedUploadError
from muniment.notary.spool import Segment, Spool
from muniment.proof.unixfs import FileHasher, FileSummary

SPILL_BYTES: Final = 4 * 2**20
"""An upload with more content than this gets a segment of its own."""

CROWDED_BYTES: Final = 64 * 2**20
"""Above this, over all uploads that are arriving, even smaller ones spill."""

CROWDED_SPILL_BYTES: Final = 256 * 2**10
INLINE_BYTES: Final = 256 * 2**10
"""Up to this much is digested at once; more goes to a thread, so that other requests go on."""

MAX_FILES: Final = 10_000
"""Files in one request."""

MAX_NAME_BYTES: Final = 1024
_READABLE = str.maketrans(dict.fromkeys((*range(32), 127), "\ufffd"))


class Arrivals:
    """What all uploads that are arriving hold in memory together."""

    def __init__(self) -> None:
        self.buffered = 0

    @property
    def spill_at(self) -> int:
        """An upload that holds more than this spills."""
        return SPILL_BYTES if self.buffered < CROWDED_BYTES else CROWDED_SPILL_BYTES


class _Arriving:
    """One file of an upload."""

    __slots__ = ("expected", "hasher", "name", "offset", "pieces")

    def __init__(self, name: str, expected: bytes | None) -> None:
        self.name = name
        self.expected = expected
        self.hasher = FileHasher()
        self.pieces: list[bytes] = []
        self.offset: int | None = None


@dataclass(frozen=True, slots=True)
class ArrivedFile:
    """A file that has arrived whole; `offset` is its place in the upload's own content."""

    name: str
    summary: FileSummary
    offset: int


@dataclass(frozen=True, slots=True)
class Draft:
    """An upload that has arrived whole and is not accepted yet. Its content is in `pieces` or in `segment`."""

    files: tuple[ArrivedFile, ...]
    pieces: tuple[bytes, ...]
    segment: Segment | None

    def fingerprint(self) -> bytes:
        """What must be equal for two uploads with one key to be the same: names, sizes and digests in order."""
        digest = hashlib.sha256()
        for file in self.files:
            name = file.name.encode()
            digest.update(len(name).to_bytes(8, "big") + name)
            digest.update(file.summary.size.to_bytes(8, "big") + file.summary.sha256)
        return digest.digest()


class Upload:
    """Takes files one after the other. After an error, and when it is not accepted, call `abandon`."""

    def __init__(self, spool: Spool, arrivals: Arrivals) -> None:
        self._spool = spool
        self._arrivals = arrivals
        self._files: list[_Arriving] = []
        self._pending: list[_Arriving] = []
        self._buffered = 0
        self._segment: Segment | None = None

    def begin(self, name: str, expected: bytes | None) -> None:
        """A file begins. Raises `RefusedUploadError` for a name that is too long and for one file too many."""
        if len(name.encode()) > MAX_NAME_BYTES:
            raise RefusedUploadError(f"the name {name[:40]}… is over {MAX_NAME_BYTES} bytes: shorten it", status=422)
        if len(self._files) >= MAX_FILES:
            raise RefusedUploadError(f"over {MAX_FILES} files in one request: send several requests", status=413)
        file = _Arriving(name.translate(_READABLE), expected)
        self._files.append(file)
        self._pending.append(file)

    def data(self, piece: bytes) -> None:
        """Content of the file that began last."""
        self._files[-1].pieces.append(piece)
        self._buffered += len(piece)
        self._arrivals.buffered += len(piece)

    async def breathe(self) -> None:
        """Between two pieces: moves content out of memory when there is much. Raises `DiskFullError`."""
        if self._buffered > self._arrivals.spill_at:
            await self._spill()

    async def complete(self) -> Draft:
        """Everything has arrived. Raises `RefusedUploadError` when it is not what the sender meant."""
        if not self._files:
            raise RefusedUploadError("the request holds no file: send at least one part named file")
        if self._segment is not None:
            await self._spill()
            await asyncio.to_thread(self._segment.sync)
            draft = Draft(self._arrived(), (), self._segment)
        else:
            draft = await self._small_draft()
        self._segment = None
        self._forget_buffer()
        return draft

    def abandon(self) -> None:
        """Drop everything that has not become a draft."""
        self._forget_buffer()
        if self._segment is not None:
            self._spool.discard(self._segment)
            self._segment = None

    async def _small_draft(self) -> Draft:
        pieces = tuple(piece for file in self._files for piece in file.pieces)
        if self._buffered <= INLINE_BYTES:
            self._digest_pending()
        else:
            await asyncio.to_thread(self._digest_pending)
        return Draft(self._arrived(), pieces, None)

    def _digest_pending(self) -> None:
        offset = 0
        for file in self._pending:
            file.offset = offset
            for piece in file.pieces:
                file.hasher.update(piece)
                offset += len(piece)

    async def _spill(self) -> None:
        if self._segment is None:
            self._segment = await asyncio.to_thread(self._spool.new_segment)
        await asyncio.to_thread(self._write_pending, self._segment)
        # The last file may go on; all others are whole.
        self._pending = self._pending[-1:]
        self._forget_buffer()

    def _write_pending(self, segment: Segment) -> None:
        for file in self._pending:
            offset = segment.append(file.pieces)
            if file.offset is None:
                file.offset = offset
            for piece in file.pieces:
                file.hasher.update(piece)
            file.pieces = []

    def _forget_buffer(self) -> None:
        self._arrivals.buffered -= self._buffered
        self._buffered = 0

    def _arrived(self) -> tuple[ArrivedFile, ...]:
        arrived = []
        for file in self._files:
            summary = file.hasher.finish()
            if file.expected is not None and file.expected != summary.sha256:
                raise RefusedUploadError(
                    f"{file.name} arrived with SHA-256 {summary.sha256.hex()} instead of {file.expected.hex()}:"
                    " it changed while it was sent; send it again",
                    status=422,
                )
            arrived.append(ArrivedFile(file.name, summary, file.offset or 0))
        return tuple(arrived)


def expected_digest(text: str | None) -> bytes | None:
    """The digest in an `X-Content-SHA256` header. Raises `RefusedUploadError` when it is not one."""
    if text is None:
        return None
    try:
        digest = bytes.fromhex(text.strip().removeprefix("0x"))
    except ValueError:
        digest = b""
    if len(digest) != hashlib.sha256().digest_size:
        raise RefusedUploadError("X-Content-SHA256 must be 64 hexadecimal digits")
    return digest


async def take_raw(upload: Upload, name: str, expected: bytes | None, body: AsyncIterable[bytes]) -> None:
    """Take a body that is one file."""
    upload.begin(name, expected)
    async for chunk in body:
        if chunk:
            upload.data(chunk)
            await upload.breathe()
