"""The RPC of a kubo (docs.ipfs.tech/reference/kubo/rpc): every call is a POST, and has root's rights over the peer."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterable, AsyncIterator
from typing import NamedTuple

import httpx2

from muniment.clients.http import EngineHttp
from muniment.kernel.errors import TemporaryError

DEFAULT_TIMEOUT = 10.0

IMPORT_TIMEOUT = 120.0
"""Seconds that a kubo may take between two pieces of an import, and to its answer: it writes the blocks meanwhile."""


class KuboId(NamedTuple):
    """Who answers."""

    peer_id: str
    addresses: tuple[str, ...]


class RepoStat(NamedTuple):
    """What the repository holds, in bytes."""

    size: int
    storage_max: int
    blocks: int


class ImportStat(NamedTuple):
    """What one import brought."""

    blocks: int
    size: int
    """Bytes of the blocks."""


class KuboClient(EngineHttp):
    """An async client of one kubo. All methods raise `TemporaryError` or `PermanentError`."""

    engine = "kubo"

    def __init__(
        self, url: str, *, timeout: float = DEFAULT_TIMEOUT, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        super().__init__(url, timeout=timeout, transport=transport)

    async def id(self) -> KuboId:
        """The kubo's own peer ID and the addresses that it announces."""
        answer = await self._ask("POST", "/api/v0/id")
        try:
            return KuboId(str(answer["ID"]), tuple(answer["Addresses"] or ()))
        except (KeyError, TypeError) as error:
            raise self._misfit(error) from error

    async def swarm_peers(self) -> set[str]:
        """Peer IDs that it is connected to; each once, although two connections to one peer may be open."""
        answer = await self._ask("POST", "/api/v0/swarm/peers")
        try:
            return {str(peer["Peer"]) for peer in answer["Peers"] or ()}
        except (KeyError, TypeError) as error:
            raise self._misfit(error) from error

    async def swarm_connect(self, multiaddr: str) -> None:
        """Connect it to the peer at `multiaddr`, which ends in /p2p/ID; returns once it is connected."""
        await self._ask("POST", "/api/v0/swarm/connect", parameters={"arg": multiaddr})

    async def import_car(self, chunks: AsyncIterable[bytes]) -> ImportStat:
        """Import a CAR that is streamed. The blocks are there afterwards, but nothing is pinned.

        Exceptions of `chunks` pass through, and the import is then broken off. Raises `TemporaryError` also when the
        kubo did not confirm the import.
        """
        boundary = f"muniment-{secrets.token_hex(16)}"
        lines = await self._lines(
            "POST",
            "/api/v0/dag/import",
            parameters={"pin-roots": "false", "stats": "true", "fast-provide-root": "false"},
            content=_multipart(boundary, chunks),
            headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
            timeout=IMPORT_TIMEOUT,
        )
        return self._import_stat(lines)

    async def pin_ls(self, cid: str) -> str | None:
        """How `cid` is pinned on this kubo (`recursive`, `direct`, `indirect through …`), `None` when it is not."""
        try:
            answer = await self._ask("POST", "/api/v0/pin/ls", parameters={"arg": cid})
        except TemporaryError as error:
            if "is not pinned" in str(error):
                return None
            raise
        try:
            return str(answer["Keys"][cid]["Type"])
        except (KeyError, TypeError) as error:
            raise self._misfit(error) from error

    async def repo_stat(self) -> RepoStat:
        """The size of the repository; slow on a large one, since kubo may walk all of it."""
        answer = await self._ask("POST", "/api/v0/repo/stat")
        try:
            return RepoStat(int(answer["RepoSize"]), int(answer["StorageMax"]), int(answer["NumObjects"]))
        except (KeyError, TypeError, ValueError) as error:
            raise self._misfit(error) from error

    async def cat(self, path: str) -> AsyncIterator[bytes]:
        """The content of a file by CID or by `CID/path` in a directory, in pieces."""
        async with self._stream("POST", "/api/v0/cat", parameters={"arg": path}) as response:
            async for piece in response.aiter_bytes():
                yield piece

    def _import_stat(self, lines: list[object]) -> ImportStat:
        for line in lines:
            stats = line.get("Stats") if isinstance(line, dict) else None
            if isinstance(stats, dict):
                return ImportStat(int(stats.get("BlockCount", 0)), int(stats.get("BlockBytesCount", 0)))
            _fail_on_message(line)
        # An error after the beginning of the answer arrives in an HTTP trailer, and the answer just ends.
        raise TemporaryError(f"kubo at {self.url} broke off the import without saying why: try again")


async def _multipart(boundary: str, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    yield (
        f"--{boundary}\r\n"
        'Content-Disposition: form-data; name="file"; filename="batch.car"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()
    async for chunk in chunks:
        yield chunk
    yield f"\r\n--{boundary}--\r\n".encode()


def _fail_on_message(line: object) -> None:
    if not isinstance(line, dict):
        return
    root = line.get("Root")
    message = (root.get("PinErrorMsg") if isinstance(root, dict) else None) or line.get("Message")
    if message:
        raise TemporaryError(f"kubo did not take the import: {message}")
