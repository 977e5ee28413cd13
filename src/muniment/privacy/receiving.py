"""Receiving: what a node asks of a payload, and what other members' managers push here."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from muniment.privacy.enclave import Enclave
from muniment.privacy.errors import MalformedError, UnknownHashError, UnopenableError
from muniment.privacy.ports import Store
from muniment.privacy.rules import judge_push
from muniment.privacy.values import SEAL_BYTES, Payload, PrivacyFlag, Received

UUID_CHARACTERS = 36


class Receiver:
    """The use cases of whoever receives."""

    def __init__(self, enclave: Enclave, store: Store) -> None:
        self._enclave = enclave
        self._store = store

    async def receive(self, payload_hash: bytes, key: bytes | None = None) -> Received:
        """A payload, opened (with the key pair of `key`, else with any).

        Raises `UnknownHashError` when the database has no such payload, `UnopenableError` when it has and no key held
        here opens it.
        """
        return self._opened(await self._payload(payload_hash), key)

    async def receive_raw(self, payload_hash: bytes) -> Received:
        """A payload that was stored and not sent yet. Raises as `receive`."""
        raw = await self._store.raw(payload_hash)
        if raw is None:
            raise UnknownHashError("there is no raw payload with this hash")
        return Received(self._enclave.open_raw(raw), raw.sender, (raw.sender,))

    async def is_sender(self, payload_hash: bytes) -> bool:
        """Whether one of our keys sent the payload. Raises `UnknownHashError`."""
        return self._enclave.holds((await self._payload(payload_hash)).sender)

    async def participants(self, payload_hash: bytes) -> Sequence[bytes]:
        """The recipients that are known here: at its sender all of them. Raises `UnknownHashError`."""
        return (await self._payload(payload_hash)).recipients

    async def mandatory(self, payload_hash: bytes) -> Sequence[bytes]:
        """The mandatory recipients. Raises `UnknownHashError`, and `MalformedError` for another privacy flag than 2."""
        payload = await self._payload(payload_hash)
        if payload.flag is not PrivacyFlag.MANDATORY_RECIPIENTS:
            raise MalformedError("this transaction has no mandatory recipients: its privacy flag is not 2")
        return payload.mandatory

    async def delete(self, payload_hash: bytes) -> None:
        """Forget a payload and its raw form. Raises `UnknownHashError`."""
        if not await self._store.delete(payload_hash):
            raise UnknownHashError("there is no payload with this hash")

    def decrypt_encoded(self, payload: Payload) -> Received:
        """A payload that the caller holds, opened. Raises `UnopenableError`."""
        return self._opened(payload, None)

    async def accept(self, payload: Payload) -> bytes:
        """Keep what another manager pushed; gives its hash. The same again changes nothing.

        Raises `UnopenableError`, `RuleError`, `ConflictError`.
        """
        kept = await self.examined(payload)
        if kept is not None:
            await self._store.add(kept)
        return payload.hash

    async def examined(self, payload: Payload) -> Payload | None:
        """What is kept of a payload that another manager pushed; `None` when that is nothing, though it is answered.

        It is opened first: otherwise anyone could push rubbish and put its hash on the chain, and every node would stop
        over it. Raises `UnopenableError`, `RuleError`.
        """
        # Ours comes home from a recipient after the database was lost: others give back what they have.
        own = self._enclave.holds(payload.sender)
        found = self._enclave.complete(payload) if own else self._enclave.ours(payload)
        if found.flag is PrivacyFlag.STANDARD and not found.affected:
            return found
        held = await self._store.payloads(found.affected)
        return judge_push(found, held, lambda known, other: self._enclave.proves(found, known, other))

    def answer_challenge(self, payload: Payload) -> str:
        """The UUID in a payload by which another manager asks whether we hold a key.

        Only a UUID: otherwise anybody could have payloads opened here. Raises `MalformedError`.
        """
        if len(payload.ciphertext) != UUID_CHARACTERS + SEAL_BYTES:
            raise MalformedError("a challenge is a UUID and nothing else")
        try:
            text = self._enclave.open(payload).decode("ascii")
            if str(uuid.UUID(text)) == text.lower():
                return text
        except (UnopenableError, ValueError) as error:
            raise MalformedError("the challenge is no UUID for a key that is held here") from error
        raise MalformedError("a challenge is a UUID and nothing else")

    async def _payload(self, payload_hash: bytes) -> Payload:
        payload = await self._store.payload(payload_hash)
        if payload is None:
            raise UnknownHashError("there is no payload with this hash")
        return payload

    def _opened(self, payload: Payload, key: bytes | None) -> Received:
        plain = self._enclave.open(payload, key)
        managed = tuple(each for each in payload.recipients if self._enclave.holds(each))
        return Received(
            plain,
            payload.sender,
            managed or self._enclave.opening_keys(payload),
            payload.flag,
            tuple(payload.affected),
            payload.exec_hash,
        )
