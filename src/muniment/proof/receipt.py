"""The receipt of one file: JSON as envelope, the statement's and the header's bytes inside.

Everything that can be derived is derived and compared by `muniment.proof.verify`; the copies in the envelope are for
people and programs that only look. Unknown members are an error, and every size is bounded, so that a receipt from
anywhere may be read. Level `pending`: accepted; `batched`: its place in a tree is fixed; `anchored`: the chain holds
the tree's root.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError, model_validator

from muniment.kernel.encoding import to_hex
from muniment.proof import batch, statement
from muniment.proof.canonical import MalformedError
from muniment.proof.merkle import HASH_BYTES, MAX_PATH
from muniment.proof.statement import MAX_NUMBER, Statement

FORMAT: Final = "notary-receipt/1"
MAX_BYTES: Final = 256 * 1024
"""Longest receipt that is read."""

MAX_HINT: Final = 1024
PROFILE_NAME: Final = "muniment-1"
"""Name of the one import profile, beside its values."""

_HEX: Final = re.compile("0x(?:[0-9a-f]{2})*")
_SHOWN: Final = 80


class MalformedReceiptError(MalformedError):
    """The bytes are not a receipt that this version can read (exit status 3)."""


class Level(StrEnum):
    """How much a receipt can prove."""

    PENDING = "pending"
    BATCHED = "batched"
    ANCHORED = "anchored"


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise ValueError("must be 0x and an even number of small hex digits")
    return bytes.fromhex(value[2:])


_Hex = Annotated[bytes, BeforeValidator(_bytes), PlainSerializer(to_hex, return_type=str)]
_Digest = Annotated[_Hex, Field(min_length=HASH_BYTES, max_length=HASH_BYTES)]
_Address = Annotated[str, Field(pattern="^0x[0-9a-fA-F]{40}$")]
_Number = Annotated[int, Field(ge=0, le=MAX_NUMBER)]
_Name = Annotated[str, Field(min_length=1, max_length=statement.MAX_NAME)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class CidProfile(_Part):
    """How the CID was computed."""

    name: str = Field(max_length=statement.MAX_NAME)
    chunker: str = Field(max_length=statement.MAX_NAME)
    raw_leaves: bool
    max_links: _Number
    hash: str = Field(max_length=statement.MAX_NAME)


PROFILE: Final = CidProfile(
    name=PROFILE_NAME,
    chunker=statement.PROFILE.chunker,
    raw_leaves=statement.PROFILE.raw_leaves,
    max_links=statement.PROFILE.max_links,
    hash=statement.PROFILE.hash,
)


class Subject(_Part):
    """The file, copied from the statement. `name_hint` is never proved."""

    digests: tuple[_Hex, ...] = Field(min_length=1, max_length=4, strict=False)
    size: _Number
    cid: str = Field(max_length=128)
    cid_profile: CidProfile
    name_hint: str | None = Field(default=None, max_length=MAX_HINT)


class Log(_Part):
    """The leaf's place in the tree of its batch."""

    vds: Literal["RFC9162_SHA256"] = "RFC9162_SHA256"
    leaf_index: _Number
    tree_size: _Number
    root: _Digest
    path: tuple[_Digest, ...] = Field(max_length=MAX_PATH, strict=False)


class Batch(_Part):
    """The batch header, as the bytes whose digest is on the chain."""

    header: _Hex = Field(max_length=batch.MAX_BYTES)


class Anchor(_Part):
    """Where the chain holds the root. `block_time` is in seconds since 1970, UTC."""

    type: Literal["goquorum-qbft", "goquorum-ibft", "goquorum-raft", "goquorum-clique"]
    network: _Name
    chain_id: Annotated[int, Field(ge=1, le=MAX_NUMBER)]
    contract: _Address
    submitter: _Address
    seq: Annotated[int, Field(ge=1, le=MAX_NUMBER)]
    block_number: _Number
    block_hash: _Digest
    block_time: _Number
    transaction: _Digest


class Receipt(_Part):
    """The whole receipt. `statement` holds the leaf's bytes, the only thing of the file that was hashed."""

    format: Literal["notary-receipt/1"] = FORMAT
    level: Level = Field(strict=False)
    subject: Subject
    statement: _Hex = Field(max_length=statement.MAX_BYTES)
    log: Log | None = None
    batch: Batch | None = None
    anchor: Anchor | None = None

    _NEEDS: ClassVar[dict[Level, tuple[bool, bool, bool]]] = {
        Level.PENDING: (False, False, False),
        Level.BATCHED: (True, True, False),
        Level.ANCHORED: (True, True, True),
    }

    @model_validator(mode="after")
    def _level_fits(self) -> Self:
        has = tuple(part is not None for part in (self.log, self.batch, self.anchor))
        if has != self._NEEDS[self.level]:
            raise ValueError(f"the level {self.level} does not fit the parts that are there")
        return self

    def to_json(self) -> str:
        """The receipt on one line; parts that it does not have are left out."""
        return self.model_dump_json(exclude_none=True)


def build(
    leaf: bytes,
    *,
    name_hint: str | None = None,
    log: Log | None = None,
    header: bytes | None = None,
    anchor: Anchor | None = None,
) -> Receipt:
    """The receipt of the file with the statement `leaf`, at the level that the parts given allow.

    Raises `MalformedError` when `leaf` is not a statement.
    """
    level = Level.PENDING if log is None else Level.BATCHED
    return Receipt(
        level=level if anchor is None else Level.ANCHORED,
        subject=subject_of(statement.decode(leaf), name_hint),
        statement=leaf,
        log=log,
        batch=None if header is None else Batch(header=header),
        anchor=anchor,
    )


def subject_of(said: Statement, name_hint: str | None) -> Subject:
    """The envelope's copy of a statement."""
    hint = None if name_hint is None else name_hint[:MAX_HINT]
    return Subject(digests=(said.digest,), size=said.size, cid=said.cid, cid_profile=PROFILE, name_hint=hint)


def parse(data: bytes) -> Receipt:
    """Read a receipt strictly, with its statement and header. Raises `MalformedReceiptError`, nothing else."""
    if len(data) > MAX_BYTES:
        raise MalformedReceiptError(f"a file of {len(data)} bytes is no receipt: they have at most {MAX_BYTES}")
    try:
        receipt = Receipt.model_validate_json(data)
        statement.decode(receipt.statement)
        if receipt.batch is not None:
            batch.decode(receipt.batch.header)
    except ValidationError as error:
        raise MalformedReceiptError(f"this is not a receipt: {_first(error)}; get it again from its notary") from error
    except MalformedError as error:
        raise MalformedReceiptError(f"this is not a receipt: {error}") from error
    return receipt


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    # A member's name comes from the file: it must not reach a terminal as it is.
    shown = ascii(place[:_SHOWN])[1:-1]
    return f"{shown}: {first['msg']}" if place else first["msg"]
