"""Fuzz target: everything that privacy managers read as bytes from one another, or from an old database.

    python -m tests.fuzz.privacy_codec [SECONDS [SEED]]

runs it with mutations of a corpus and no coverage; where `atheris` is installed,

    python -m tests.fuzz.privacy_codec --atheris [its arguments]

runs it guided. A finding ends the run with the exception and the input in hexadecimal.
"""

from __future__ import annotations

import importlib
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from muniment.privacy import party_info
from muniment.privacy.cbor import decode_cbor
from muniment.privacy.envelope import decode, encode, for_recipient
from muniment.privacy.errors import MalformedError, UnopenableError
from muniment.privacy.party_info import PartyInfo
from muniment.privacy.values import Payload, PrivacyFlag
from tests.unit.privacy_payloads import BETA, EXEC_HASH, STORED, A, B, C

NUMBERS = (0, 1, 2, 7, 24, 32, 48, 64, 255, 4096, 4097, 2**31, 2**40, 2**63 - 1, 2**63, 2**64 - 1)


def fuzz(data: bytes) -> None:
    """Decode `data` as everything; raises `AssertionError`, or whatever a reader lets through, for a finding."""
    for read in (_envelope, _cbor, _party_info):
        try:
            read(data)
        except MalformedError:
            continue


def corpus() -> tuple[bytes, ...]:
    """Valid inputs of all kinds to begin with."""
    affected = {bytes((number,)) * 64: b"\x09" * 64 for number in range(3)}
    psv = replace(
        STORED,
        flag=PrivacyFlag.PRIVATE_STATE_VALIDATION,
        recipients=(B, A, C),
        exec_hash=EXEC_HASH,
        affected=affected,
        group_id=b"group",
    )
    mandatory = replace(STORED, flag=PrivacyFlag.MANDATORY_RECIPIENTS, mandatory=(B, C))
    payloads = [STORED, replace(STORED, recipients=()), for_recipient(STORED, B), psv, for_recipient(psv, B), mandatory]
    info = PartyInfo("http://a:9001/", ((A, "http://a:9001/"), (B, "http://b:9001/")), ("http://c:9001/",))
    return (*map(encode, payloads), *map(_written_cbor, payloads), party_info.encode(info), b"")


def inputs(seed: int) -> Iterator[bytes]:
    """Mutations of the corpus without end; the same seed, the same inputs."""
    chance = random.Random(seed)
    seeds = corpus()
    while True:
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 4)):
            chance.choice(_MUTATIONS)(data, chance)
        yield bytes(data)


def run(seconds: float, seed: int) -> int:
    """Fuzz for so long; gives the number of inputs."""
    count = 0
    ends = time.monotonic() + seconds
    for data in inputs(seed):
        try:
            fuzz(data)
        except Exception:
            print(f"input: {data.hex()}", file=sys.stderr)
            raise
        count += 1
        if time.monotonic() >= ends:
            break
    return count


def _envelope(data: bytes) -> None:
    payload = decode(data)
    assert decode(encode(payload)) == payload
    for key in payload.recipients[: len(payload.boxes)]:
        pushed = for_recipient(payload, key)
        assert decode(encode(pushed)) == pushed
    assert set(BETA.opening_keys(payload)) <= {B}
    try:
        BETA.open(payload)
    except UnopenableError:
        return


def _cbor(data: bytes) -> None:
    payload = decode_cbor(data)
    assert decode(encode(payload)) == payload


def _party_info(data: bytes) -> None:
    info = party_info.decode(data)
    assert party_info.encode(info) == data
    for url in (info.url, *info.parties):
        normal = party_info.normalise_url(url)
        assert party_info.normalise_url(normal) == normal


def _written_cbor(payload: Payload) -> bytes:
    """A payload in CBOR with arrays of unknown length, as Tessera's writer makes them."""

    def text(data: bytes) -> bytes:
        return b"\x59" + len(data).to_bytes(2, "big") + data

    def array(items: tuple[bytes, ...]) -> bytes:
        return b"\x9f" + b"".join(map(text, items)) + b"\xff"

    pairs = tuple(item for pair in payload.affected.items() for item in pair)
    return b"".join(
        (
            *map(text, (payload.sender, payload.ciphertext, payload.nonce, payload.recipient_nonce)),
            *map(array, (payload.boxes, payload.recipients)),
            bytes((payload.flag,)),
            array(pairs),
            text(payload.exec_hash),
            array(payload.mandatory),
            text(payload.group_id),
        )
    )


def _flip(data: bytearray, chance: random.Random) -> None:
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randint(0, len(data)) :]


def _drop(data: bytearray, chance: random.Random) -> None:
    start = chance.randint(0, len(data))
    del data[start : start + chance.choice((1, 8, 40, 56))]


def _repeat(data: bytearray, chance: random.Random) -> None:
    start = chance.randint(0, len(data))
    data[start:start] = data[start : start + chance.choice((1, 8, 40, 56))]


def _insert(data: bytearray, chance: random.Random) -> None:
    data[(at := chance.randint(0, len(data))) : at] = chance.randbytes(chance.choice((1, 8, 40)))


def _number(data: bytearray, chance: random.Random) -> None:
    at = chance.randint(0, len(data))
    data[at : at + 8] = chance.choice(NUMBERS).to_bytes(8, "big")


_MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (_flip, _cut, _drop, _repeat, _insert, _number)


def main(arguments: list[str]) -> None:
    """The command line that the module's first lines show."""
    if arguments[:1] == ["--atheris"]:
        atheris = importlib.import_module("atheris")
        atheris.Setup(["privacy_codec", *arguments[1:]], fuzz)
        atheris.Fuzz()
        return
    seconds = float(arguments[0]) if arguments else 60.0
    seed = int(arguments[1]) if arguments[1:] else 0
    print(f"{run(seconds, seed)} inputs, nothing found")


if __name__ == "__main__":
    main(sys.argv[1:])
