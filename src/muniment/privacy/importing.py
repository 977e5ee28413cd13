"""Taking over the database of another privacy manager: Tessera's, or the MySQL table of crux.

Every row is checked before it is kept: its hash must be that of its ciphertext, and a key that is held here must open
it. What was imported before is known by its hash, so an import may be run again at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from muniment.database.reading import Source
from muniment.kernel.errors import InputError
from muniment.privacy.cbor import decode_cbor
from muniment.privacy.crux import decode_crux
from muniment.privacy.enclave import Enclave
from muniment.privacy.envelope import decode
from muniment.privacy.errors import ConflictError, MalformedError, UnopenableError
from muniment.privacy.ports import Store
from muniment.privacy.values import HASH_BYTES, Payload, RawPayload, payload_hash

TESSERA: Final = "encrypted_transaction"
TESSERA_RAW: Final = "encrypted_raw_transaction"
CRUX: Final = "crux_data"
TOLD_EVERY: Final = 1000


@dataclass
class Imported:
    """What became of the rows."""

    kept: int = 0
    known: int = 0
    """Those that were here already."""
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    """Hash as hexadecimal digits, and why the row was not taken."""

    @property
    def rows(self) -> int:
        """All rows that were seen."""
        return self.kept + self.known + len(self.unreadable)


class Import:
    """Reads a source into the store; with `dry` nothing is kept. `tell` hears the number of rows now and then."""

    def __init__(
        self, source: Source, enclave: Enclave, store: Store, tell: Callable[[int], None], *, dry: bool
    ) -> None:
        self._source = source
        self._enclave = enclave
        self._store = store
        self._tell = tell
        self._dry = dry
        self.result = Imported()

    async def run(self) -> Imported:
        """Read everything. Raises `InputError` when the source is neither Tessera's nor crux's."""
        tables = await self._source.tables()
        known = [name for name in (TESSERA, TESSERA_RAW, CRUX) if name in tables]
        if not known:
            raise InputError(
                "the database holds no payloads of a known kind: there is neither ENCRYPTED_TRANSACTION (Tessera) nor"
                " crux_data (crux)"
            )
        for name in known:
            async for row in self._source.rows(tables[name]):
                await self._row(name, row)
        return self.result

    async def _row(self, table: str, row: Mapping[str, Any]) -> None:
        shown = "without a hash"
        try:
            expected = _hash(row["key"] if table == CRUX else row["hash"])
            shown = expected.hex()
            if table == TESSERA_RAW:
                await self._raw(expected, row)
            else:
                await self._payload(expected, _decoded(table, row))
        except (MalformedError, UnopenableError, ConflictError, KeyError, TypeError) as error:
            why = f"it has no column {error}" if isinstance(error, KeyError) else str(error)
            self.result.unreadable.append((shown, why))
        if self.result.rows % TOLD_EVERY == 0:
            self._tell(self.result.rows)

    async def _payload(self, expected: bytes, payload: Payload) -> None:
        _check_hash(expected, payload.ciphertext)
        if self._enclave.holds(payload.sender):
            self._enclave.open(payload)
            whole = self._enclave.complete(payload)
        else:
            whole = self._enclave.named(payload)
            self._enclave.open(whole)
        if await self._store.payload(expected) is not None:
            self.result.known += 1
            return
        if not self._dry:
            await self._store.add(whole)
        self.result.kept += 1

    async def _raw(self, expected: bytes, row: Mapping[str, Any]) -> None:
        raw = RawPayload(
            sender=bytes(row["sender"]),
            ciphertext=bytes(row["encrypted_payload"]),
            encrypted_key=bytes(row["encrypted_key"]),
            nonce=bytes(row["nonce"]),
        )
        _check_hash(expected, raw.ciphertext)
        self._enclave.open_raw(raw)
        if await self._store.raw(expected) is not None:
            self.result.known += 1
            return
        if not self._dry:
            await self._store.add_raw(raw)
        self.result.kept += 1


def _decoded(table: str, row: Mapping[str, Any]) -> Payload:
    if table == CRUX:
        return decode_crux(bytes(row["value"]))
    encoded = bytes(row["encoded_payload"])
    # Older versions had one encoding, and no column that says which.
    return decode_cbor(encoded) if str(row.get("payload_codec") or "LEGACY").upper() == "CBOR" else decode(encoded)


def _hash(value: Any) -> bytes:
    if value is None or len(bytes(value)) != HASH_BYTES:
        raise MalformedError(f"its key is no hash of {HASH_BYTES} bytes")
    return bytes(value)


def _check_hash(expected: bytes, ciphertext: bytes) -> None:
    if payload_hash(ciphertext) != expected:
        raise MalformedError("its contents do not have its hash: the row is damaged")
