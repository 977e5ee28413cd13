"""The JSON of the node's interface: requests into values, values into answers (Tessera's models of its API).

Byte fields are base64. Unknown fields are passed over, as Tessera does it.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final

from muniment.privacy.errors import MalformedError
from muniment.privacy.values import (
    BOX_BYTES,
    HASH_BYTES,
    KEY_BYTES,
    NONCE_BYTES,
    Payload,
    PrivacyFlag,
    Received,
    SendRequest,
    Sent,
    SignedRequest,
)

MOST_ITEMS: Final = 4096

Json = Mapping[str, Any]


def send_request(document: Json) -> SendRequest:
    """`/send` and `/encodedpayload/create`. Raises `MalformedError`."""
    payload = blob(document, "payload")
    if not payload:
        raise MalformedError("payload: give its bytes")
    sender = document.get("from")
    return SendRequest(payload, _sized(sender, "from", KEY_BYTES) if sender else None, **_terms(document))


def signed_request(document: Json) -> SignedRequest:
    """`/sendsignedtx` in JSON. Raises `MalformedError`."""
    return SignedRequest(_sized(document.get("hash"), "hash", HASH_BYTES), **_terms(document))


def store_request(document: Json) -> tuple[bytes, bytes | None]:
    """`/storeraw`: payload, and the sender's key if one is given. Raises `MalformedError`."""
    sender = document.get("from")
    return blob(document, "payload"), _sized(sender, "from", KEY_BYTES) if sender else None


def encoded_payload(document: Json) -> Payload:
    """`/encodedpayload/decrypt`. GoQuorum gives six fields only; what it leaves out counts as flag 0.

    Raises `MalformedError`.
    """
    return Payload(
        sender=_sized(document.get("senderKey"), "senderKey", KEY_BYTES),
        ciphertext=blob(document, "cipherText"),
        nonce=_sized(document.get("cipherTextNonce"), "cipherTextNonce", NONCE_BYTES),
        boxes=_list(document, "recipientBoxes", BOX_BYTES),
        recipient_nonce=_sized(document.get("recipientNonce"), "recipientNonce", NONCE_BYTES),
        recipients=keys(document, "recipientKeys"),
    )


def sent(answer: Sent) -> dict[str, Any]:
    """The answer of `/send` and `/sendsignedtx`."""
    return {"key": text(answer.hash), "managedParties": _texts(answer.managed), "senderKey": text(answer.sender)}


def received(answer: Received) -> dict[str, Any]:
    """The answer of `GET /transaction/{hash}`. The exec hash is the text that GoQuorum once gave, never anything else:
    what it cannot decode makes it skip the transaction silently."""
    return {
        "payload": text(answer.payload),
        "affectedContractTransactions": _texts(answer.affected),
        "execHash": answer.exec_hash.decode("ascii"),
        "privacyFlag": int(answer.flag),
        "managedParties": _texts(answer.managed),
        "senderKey": text(answer.sender),
    }


def encoded(payload: Payload) -> dict[str, Any]:
    """The answer of `/encodedpayload/create`."""
    return {
        "senderKey": text(payload.sender),
        "cipherText": text(payload.ciphertext),
        "cipherTextNonce": text(payload.nonce),
        "recipientBoxes": _texts(payload.boxes),
        "recipientNonce": text(payload.recipient_nonce),
        "recipientKeys": _texts(payload.recipients),
        "privacyMode": int(payload.flag),
        "affectedContractTransactions": {text(known): text(proof) for known, proof in payload.affected.items()},
        "execHash": payload.exec_hash.decode("ascii"),
    }


def blob(document: Json, field: str) -> bytes:
    """The bytes of a field; empty when it is absent. Raises `MalformedError`."""
    value = document.get(field)
    return b"" if value is None else _bytes(value, field)


def key(document: Json, field: str) -> bytes:
    """The public key in a field. Raises `MalformedError`."""
    return _sized(document.get(field), field, KEY_BYTES)


def payload_hash(document: Json, field: str) -> bytes:
    """The hash in a field. Raises `MalformedError`."""
    return _sized(document.get(field), field, HASH_BYTES)


def keys(document: Json, field: str) -> tuple[bytes, ...]:
    """The public keys in a field. Raises `MalformedError`."""
    return _list(document, field, KEY_BYTES)


def text(data: bytes) -> str:
    """base64."""
    return b64encode(data).decode("ascii")


def _terms(document: Json) -> dict[str, Any]:
    exec_hash = document.get("execHash") or ""
    if not isinstance(exec_hash, str) or not exec_hash.isascii():
        raise MalformedError("execHash: it is a text in base64")
    return {
        "recipients": keys(document, "to"),
        "affected": _list(document, "affectedContractTransactions", HASH_BYTES),
        "exec_hash": exec_hash.encode("ascii"),
        "flag": _flag(document.get("privacyFlag")),
        "mandatory": keys(document, "mandatoryRecipients"),
    }


def _flag(value: Any) -> PrivacyFlag:
    if value is None:
        return PrivacyFlag.STANDARD
    try:
        if type(value) is int:
            return PrivacyFlag(value)
    except ValueError as error:
        raise MalformedError("privacyFlag: it is 0, 1, 2 or 3") from error
    raise MalformedError("privacyFlag: it is a number from 0 to 3")


def _list(document: Json, field: str, length: int) -> tuple[bytes, ...]:
    value = document.get(field)
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MOST_ITEMS:
        raise MalformedError(f"{field}: it is a list of at most {MOST_ITEMS} items")
    return tuple(_sized(one, field, length) for one in value)


def _sized(value: Any, field: str, length: int) -> bytes:
    data = _bytes(value, field)
    if len(data) != length:
        raise MalformedError(f"{field}: it has {len(data)} bytes and needs {length}")
    return data


def _bytes(value: Any, field: str) -> bytes:
    if not isinstance(value, str):
        raise MalformedError(f"{field}: it is a text in base64")
    try:
        return b64decode(value, validate=True)
    except ValueError as error:
        raise MalformedError(f"{field}: it is no base64") from error


def _texts(items: Sequence[bytes]) -> list[str]:
    return [text(one) for one in items]
