"""The enclave: holds the member's key pairs, makes payloads and opens them. Pure but for the randomness of keys.

The rules are those of Tessera (EnclaveImpl.java); a payload's master key is random, and sealed in one box for each
recipient with the key that sender and recipient share. The sender is a recipient too.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from muniment.privacy.boxes import KeyPair, SharedKeys, fresh_key, fresh_nonce, seal, unseal
from muniment.privacy.errors import ConflictError, MalformedError, UnknownKeyError, UnopenableError
from muniment.privacy.values import Payload, PrivacyFlag, RawPayload

NAMELESS_BOXES: Final = 32
"""So many boxes are tried in a payload that does not say whose they are."""

_NONE: Final[Mapping[bytes, Payload]] = {}


class Enclave:
    """What can be done with the member's keys. Errors never tell keys or contents."""

    def __init__(self, pairs: Sequence[KeyPair], always_send_to: Sequence[bytes] = ()) -> None:
        if not pairs:
            raise ValueError("an enclave needs at least one key pair")
        self._shared = {pair.public: SharedKeys(pair) for pair in pairs}
        self._always_send_to = tuple(always_send_to)
        self.keys: Final = tuple(self._shared)
        """Public keys; the first is the default."""

    @property
    def default(self) -> bytes:
        """The key that sends when a request names none."""
        return self.keys[0]

    @property
    def fingerprint(self) -> str:
        """Names the set of keys: SHA-256 of the public keys in order, hexadecimal."""
        return hashlib.sha256(b"".join(sorted(self.keys))).hexdigest()

    def holds(self, key: bytes) -> bool:
        """Whether the secret key of this public key is here."""
        return key in self._shared

    def recipients(self, to: Sequence[bytes], sender: bytes) -> tuple[bytes, ...]:
        """All who get a payload, each once: those asked for, the sender, those who always get everything."""
        return tuple(dict.fromkeys((*to, sender, *self._always_send_to)))

    # Making

    def seal(
        self,
        plain: bytes,
        sender: bytes,
        recipients: Sequence[bytes],
        *,
        flag: PrivacyFlag = PrivacyFlag.STANDARD,
        affected: Mapping[bytes, Payload] = _NONE,
        exec_hash: bytes = b"",
        mandatory: Sequence[bytes] = (),
        group_id: bytes = b"",
    ) -> Payload:
        """A payload for `recipients`, which are complete already, with a box for each.

        `affected` are the transactions that made the contracts, by hash. Raises `UnknownKeyError` when `sender` is not
        held here, `UnopenableError` when no key here opens an affected one.
        """
        shared = self._of_sender(sender)
        master, nonce, recipient_nonce = fresh_key(), fresh_nonce(), fresh_nonce()
        ciphertext = seal(plain, nonce, master)
        return Payload(
            sender=sender,
            ciphertext=ciphertext,
            nonce=nonce,
            boxes=tuple(seal(master, recipient_nonce, shared(key)) for key in recipients),
            recipient_nonce=recipient_nonce,
            recipients=tuple(recipients),
            flag=flag,
            affected=self._proofs(ciphertext, affected),
            exec_hash=exec_hash,
            mandatory=tuple(mandatory),
            group_id=group_id,
        )

    def seal_raw(self, plain: bytes, sender: bytes) -> RawPayload:
        """A payload for nobody yet; raises `UnknownKeyError` when `sender` is not held here."""
        shared = self._of_sender(sender)
        master, nonce = fresh_key(), fresh_nonce()
        return RawPayload(
            sender=sender,
            ciphertext=seal(plain, nonce, master),
            # The same nonce twice is safe: the keys differ. Tessera reads it so.
            encrypted_key=seal(master, nonce, shared(sender)),
            nonce=nonce,
        )

    def wrap(
        self,
        raw: RawPayload,
        recipients: Sequence[bytes],
        *,
        flag: PrivacyFlag = PrivacyFlag.STANDARD,
        affected: Mapping[bytes, Payload] = _NONE,
        exec_hash: bytes = b"",
        mandatory: Sequence[bytes] = (),
        group_id: bytes = b"",
        known: Payload | None = None,
    ) -> Payload:
        """The payload of a raw one, same hash, for `recipients`, which are complete already.

        `known` is what an earlier try made of the same raw payload: its recipient nonce is used again, so a recipient
        of both has the same box, byte for byte (Tessera refuses a known hash with another recipient nonce). Raises
        `UnopenableError` when the raw payload does not open, `ConflictError` when `known` is not of this one.
        """
        if known is not None and (known.ciphertext, known.nonce, known.sender) != (
            raw.ciphertext,
            raw.nonce,
            raw.sender,
        ):
            raise ConflictError("the raw payload was sent before with other contents: store it again, then send that")
        master = self._master_of_raw(raw)
        shared = self._of_sender(raw.sender)
        recipient_nonce = fresh_nonce() if known is None else known.recipient_nonce
        return Payload(
            sender=raw.sender,
            ciphertext=raw.ciphertext,
            nonce=raw.nonce,
            boxes=tuple(seal(master, recipient_nonce, shared(key)) for key in recipients),
            recipient_nonce=recipient_nonce,
            recipients=tuple(recipients),
            flag=flag,
            affected=self._proofs(raw.ciphertext, affected),
            exec_hash=exec_hash,
            mandatory=tuple(mandatory),
            group_id=group_id,
        )

    def seal_challenge(self, text: str, recipient: bytes) -> Payload:
        """A text that only the holder of `recipient` can read, from the default key; the sender has no box.

        Raises `MalformedError` when `recipient` is no key.
        """
        return self.seal(text.encode(), self.default, (recipient,))

    # Opening

    def open(self, payload: Payload, key: bytes | None = None) -> bytes:
        """The plain bytes, opened with `key` or with the first of our keys that opens them; else `UnopenableError`."""
        for candidate in self.keys if key is None else (key,):
            for master in self._masters(payload, candidate):
                try:
                    return unseal(payload.ciphertext, payload.nonce, master)
                except UnopenableError:
                    continue
        raise UnopenableError(
            "no key held here opens the payload: it is for others, or was damaged; compare the keys of all managers"
        )

    def open_raw(self, raw: RawPayload) -> bytes:
        """The plain bytes of a raw payload; raises `UnopenableError` when its sender is not ours or it was damaged."""
        return unseal(raw.ciphertext, raw.nonce, self._master_of_raw(raw))

    def opening_keys(self, payload: Payload) -> tuple[bytes, ...]:
        """Those of our keys that open the payload, box and contents."""
        good: set[bytes] = set()
        bad: set[bytes] = set()
        return tuple(
            key
            for key in self.keys
            if any(self._opens(payload, master, good, bad) for master in self._masters(payload, key))
        )

    def master_key(self, payload: Payload) -> bytes:
        """The key of the payload's contents, which are not opened; raises `UnopenableError` when no box opens."""
        for key in self.keys:
            for master in self._masters(payload, key):
                return master
        raise UnopenableError("no box of the payload opens with a key held here: it is for others, or was damaged")

    # Proofs about affected transactions

    def security_hash(self, ciphertext: bytes, affected: Payload) -> bytes:
        """What proves in a payload with `ciphertext` that its sender can open `affected`: 64 bytes.

        SHA3-512 of both ciphertexts and the master key of the affected one. Raises `UnopenableError` when we cannot.
        """
        found = hashlib.sha3_512(ciphertext)
        found.update(affected.ciphertext)
        found.update(self.master_key(affected))
        return found.digest()

    def proves(self, payload: Payload, affected_hash: bytes, affected: Payload) -> bool:
        """Whether the payload's security hash for `affected` is right; `False` when it has none or we cannot say."""
        claimed = payload.affected.get(affected_hash)
        if claimed is None:
            return False
        try:
            return hmac.compare_digest(claimed, self.security_hash(payload.ciphertext, affected))
        except UnopenableError:
            return False

    # Payloads that come home, and those of very old managers

    def complete(self, payload: Payload) -> Payload:
        """A payload of ours that another member gave back, with our boxes made anew (`createNewRecipientBox`).

        Recipients with a good box come first. Boxes are made for our own keys only, and boxes that we did not make are
        left out with their recipients: whoever gives a payload back must not become a party of it by naming himself.
        With private state validation recipients without a box stay named. Raises `UnknownKeyError` when the sender is
        not ours, `UnopenableError` when the payload does not open.
        """
        shared = self._of_sender(payload.sender)
        master = self._verified_master(payload)
        given = dict(zip(payload.recipients, payload.boxes, strict=False))
        boxes: dict[bytes, bytes] = {}
        for key in dict.fromkeys((*payload.recipients, payload.sender)):
            if self.holds(key):
                boxes[key] = seal(master, payload.recipient_nonce, shared(key))
            elif key in given and _opened(given[key], payload.recipient_nonce, shared, key) == master:
                boxes[key] = given[key]
        others: tuple[bytes, ...] = ()
        if payload.flag is PrivacyFlag.PRIVATE_STATE_VALIDATION:
            others = tuple(key for key in payload.recipients if key not in boxes)
        return replace(payload, boxes=tuple(boxes.values()), recipients=(*boxes, *others))

    def named(self, payload: Payload) -> Payload:
        """A payload of a very old manager, which names no recipients, with those of our keys that open it.

        Any other payload is returned as it is. Raises `UnopenableError` when none opens it.
        """
        if payload.recipients:
            return payload
        found: dict[bytes, bytes] = {}
        good: set[bytes] = set()
        bad: set[bytes] = set()
        for key in self.keys:
            for box in payload.boxes[:NAMELESS_BOXES]:
                master = _opened(box, payload.recipient_nonce, self._shared[key], payload.sender)
                if master is not None and self._opens(payload, master, good, bad):
                    found.setdefault(key, box)
        if not found:
            raise UnopenableError("no key held here opens the payload, which names no recipients: it is for others")
        return replace(payload, boxes=tuple(found.values()), recipients=tuple(found))

    def ours(self, payload: Payload) -> Payload:
        """What of a payload that another member sent is for us: those of our keys whose box opens it, and their boxes.

        A box that does not open must not be kept: our key would count as a party of the transaction. Nor is what the
        payload says of others believed, but with private state validation, where all parties are named to each. Raises
        `UnopenableError` when nothing is for us.
        """
        if not payload.recipients:
            return self.named(payload)
        validated = payload.flag is PrivacyFlag.PRIVATE_STATE_VALIDATION
        first = payload.recipients[0]
        if len(payload.boxes) == 1 and (validated or len(payload.recipients) == 1):
            # As every push is.
            self.open(payload, first)
            return payload
        keys = self.opening_keys(payload)
        boxes = {key: box for key, box in zip(payload.recipients, payload.boxes, strict=False) if key in keys}
        if not boxes:
            raise UnopenableError("no key held here opens the payload: it is for others, or was damaged")
        others = tuple(key for key in payload.recipients if key not in boxes) if validated else ()
        return replace(payload, boxes=tuple(boxes.values()), recipients=(*boxes, *others))

    # Parts

    def _of_sender(self, sender: bytes) -> SharedKeys:
        try:
            return self._shared[sender]
        except KeyError as error:
            raise UnknownKeyError(
                "the sender's key is not held by this manager: send with one of its own keys (GET /keys lists them)"
            ) from error

    def _proofs(self, ciphertext: bytes, affected: Mapping[bytes, Payload]) -> dict[bytes, bytes]:
        return {name: self.security_hash(ciphertext, payload) for name, payload in affected.items()}

    def _master_of_raw(self, raw: RawPayload) -> bytes:
        if not self.holds(raw.sender):
            raise UnopenableError("the raw payload is of a key that is not held here: compare the keys of all managers")
        return unseal(raw.encrypted_key, raw.nonce, self._shared[raw.sender](raw.sender))

    def _masters(self, payload: Payload, key: bytes) -> Iterator[bytes]:
        """The master keys that boxes give to one of our keys; mostly one."""
        shared = self._shared.get(key)
        if shared is None:
            return
        for box, other in _boxes_for(payload, key):
            master = _opened(box, payload.recipient_nonce, shared, other)
            if master is not None:
                yield master

    def _verified_master(self, payload: Payload) -> bytes:
        good: set[bytes] = set()
        for key in self.keys:
            for master in self._masters(payload, key):
                if self._opens(payload, master, good, set()):
                    return master
        raise UnopenableError("no key held here opens the payload that came back: it was damaged")

    @staticmethod
    def _opens(payload: Payload, master: bytes, good: set[bytes], bad: set[bytes]) -> bool:
        """Whether the contents open; remembered in the two sets, for contents may be large and boxes many."""
        if master not in good and master not in bad:
            try:
                unseal(payload.ciphertext, payload.nonce, master)
                good.add(master)
            except UnopenableError:
                bad.add(master)
        return master in good


def _opened(box: bytes, nonce: bytes, shared: SharedKeys, other: bytes) -> bytes | None:
    """What is in a box, if it opens with the key shared with `other`, which may be none at all."""
    try:
        return unseal(box, nonce, shared(other))
    except (UnopenableError, MalformedError):
        return None


def _boxes_for(payload: Payload, key: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The boxes that may be for `key`, each with the public key at the other end."""
    if not payload.recipients:
        for box in payload.boxes[:NAMELESS_BOXES]:
            yield box, payload.sender
        return
    position = payload.recipients.index(key) if key in payload.recipients else len(payload.boxes)
    if position < len(payload.boxes):
        yield payload.boxes[position], payload.sender
    elif key == payload.sender and payload.boxes:
        # Ours, but without our box: what the sender and a recipient share opens the recipient's box too.
        yield payload.boxes[0], payload.recipients[0]
