"""The node's interface (Tessera's "Q2T"; what GoQuorum 22.7.4 asks: private/engine/tessera/tessera.go).

404 for a transaction means "this member is not a party", for ever: it comes from `UnknownHashError` alone, after the
primary database said that it has no such row. Everything uncertain is 5xx.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from muniment.privacy import wire_json
from muniment.privacy.asgi import BYTES, JSON, TEXT, App, Handler, Request, Response, always, text, to_json
from muniment.privacy.errors import MalformedError, NotReadyError
from muniment.privacy.metrics import Metrics
from muniment.privacy.readiness import Readiness
from muniment.privacy.receiving import Receiver
from muniment.privacy.sending import Sender
from muniment.privacy.settings import ResidentGroup
from muniment.privacy.values import HASH_BYTES, KEY_BYTES, SignedRequest

API_VERSIONS: Final = ("1.0", "2.0", "2.1", "3.0", "4.0")
"""4.0 is the highest that GoQuorum knows; each switches a feature on (tessera_version_checker.go)."""

VERSIONS_TOLD: Final = Response(200, to_json(API_VERSIONS), JSON)

MOST_SENDS: Final = 256
"""Requests to send that are served at once; more are refused before look-ups suffer."""

_TESSERA_JSON: Final = re.compile(rb"application/vnd\.tessera-[0-9.]{1,8}\+json")
_ENCODING_ROOM: Final = 64 << 10


class Q2tApp:
    """Makes the app. `keys` are the public keys held here; `hold` is how long a request waits for the database."""

    def __init__(
        self,
        sender: Sender,
        receiver: Receiver,
        readiness: Readiness,
        metrics: Metrics,
        *,
        keys: Sequence[bytes],
        groups: Sequence[ResidentGroup],
        hold: float,
        version: str,
    ) -> None:
        self._sender = sender
        self._receiver = receiver
        self._readiness = readiness
        self._metrics = metrics
        self._keys = keys
        self._groups = groups
        self._hold = hold
        self._version = version
        self._sends = 0

    def app(self, largest_payload: int) -> App:
        """The app; bodies are bounded by the base64 of `largest_payload` bytes."""
        told = always(text(self._version))
        routes: Mapping[bytes, Mapping[str, Handler]] = {
            b"/upcheck": {"GET": self._upcheck},
            b"/version": {"GET": told},
            b"/version/distribution": {"GET": told},
            b"/version/api": {"GET": always(VERSIONS_TOLD)},
            b"/keys": {"GET": self._all_keys},
            b"/metrics": {"GET": self._all_metrics},
            b"/send": {"POST": self._sending(self._send)},
            b"/storeraw": {"POST": self._sending(self._store_raw)},
            b"/sendsignedtx": {"POST": self._sending(self._send_signed)},
            b"/encodedpayload/create": {"POST": self._sending(self._create)},
            b"/encodedpayload/decrypt": {"POST": self._served(self._decrypt)},
            b"/groups/resident": {"GET": self._resident},
            b"/delete": {"POST": self._served(self._delete_named)},
            b"/transaction/": {"GET": self._served(self._receive), "DELETE": self._served(self._delete)},
            b"/transaction//isSender": {"GET": self._served(self._is_sender)},
            b"/transaction//participants": {"GET": self._served(self._participants)},
            b"/transaction//mandatory": {"GET": self._served(self._mandatory)},
        }
        largest = 4 * largest_payload // 3 + _ENCODING_ROOM
        return App("q2t", routes, self._metrics, largest=largest, hold=self._hold)

    def _served(self, handler: Handler) -> Handler:
        async def serve(request: Request) -> Response:
            await self._readiness.serve_when_ready(self._hold)
            return await handler(request)

        return serve

    def _sending(self, handler: Handler) -> Handler:
        served = self._served(handler)

        async def serve(request: Request) -> Response:
            if self._sends >= MOST_SENDS:
                raise NotReadyError("too many transactions are being sent: try again")
            self._sends += 1
            try:
                return await served(request)
            finally:
                self._sends -= 1

        return serve

    async def _upcheck(self, request: Request) -> Response:
        del request
        cause = await self._readiness.lasting_cause(self._hold)
        return text(cause, 503) if cause else text("I'm up!")

    async def _all_keys(self, request: Request) -> Response:
        del request
        return Response(200, to_json({"keys": [{"key": wire_json.text(key)} for key in self._keys]}), JSON)

    async def _all_metrics(self, request: Request) -> Response:
        del request
        return Response(200, self._metrics.text(), TEXT)

    async def _send(self, request: Request) -> Response:
        answer = await self._sender.send(wire_json.send_request(await request.json()))
        return _created(request, wire_json.sent(answer), answer.hash)

    async def _store_raw(self, request: Request) -> Response:
        plain, sender = wire_json.store_request(await request.json())
        payload_hash = await self._sender.store_raw(plain, sender)
        return Response(200, to_json({"key": wire_json.text(payload_hash)}), _media(request))

    async def _send_signed(self, request: Request) -> Response:
        if request.header(b"content-type").startswith(BYTES):
            # Before version 2.0 of the interface: the hash itself, recipients in a header, the hash as the answer.
            signed = SignedRequest(_sized_hash(await request.body()), _header_keys(request, b"c11n-to"))
            return text(wire_json.text((await self._sender.send_signed(signed)).hash))
        answer = await self._sender.send_signed(wire_json.signed_request(await request.json()))
        return _created(request, wire_json.sent(answer), answer.hash)

    async def _create(self, request: Request) -> Response:
        payload = await self._sender.create_encoded(wire_json.send_request(await request.json()))
        return Response(200, to_json(wire_json.encoded(payload)), _media(request))

    async def _decrypt(self, request: Request) -> Response:
        answer = self._receiver.decrypt_encoded(wire_json.encoded_payload(await request.json()))
        return Response(200, to_json(wire_json.received(answer)), _media(request))

    async def _resident(self, request: Request) -> Response:
        if not self._groups:
            return text("this member has one private state: there are no resident groups", 503)
        groups = [
            {
                "type": "RESIDENT",
                "name": group.name,
                "privacyGroupId": group.id,
                "description": group.description,
                "members": [wire_json.text(key) for key in group.members],
            }
            for group in self._groups
        ]
        return Response(200, to_json(groups), _media(request))

    async def _receive(self, request: Request) -> Response:
        payload_hash = _hash(request)
        query = request.query()
        if query.get("isRaw", "false").lower() == "true":
            answer = await self._receiver.receive_raw(payload_hash)
        else:
            answer = await self._receiver.receive(payload_hash, _to(query))
        return Response(200, to_json(wire_json.received(answer)), _media(request))

    async def _is_sender(self, request: Request) -> Response:
        return text("true" if await self._receiver.is_sender(_hash(request)) else "false")

    async def _participants(self, request: Request) -> Response:
        return _comma_list(await self._receiver.participants(_hash(request)))

    async def _mandatory(self, request: Request) -> Response:
        return _comma_list(await self._receiver.mandatory(_hash(request)))

    async def _delete(self, request: Request) -> Response:
        await self._receiver.delete(_hash(request))
        return Response(204)

    async def _delete_named(self, request: Request) -> Response:
        await self._receiver.delete(wire_json.payload_hash(await request.json(), "key"))
        return text("Delete successful")


def _created(request: Request, answer: object, payload_hash: bytes) -> Response:
    place = quote(wire_json.text(payload_hash), safe="")
    return Response(201, to_json(answer), _media(request), ((b"location", f"transaction/{place}".encode()),))


def _media(request: Request) -> bytes:
    """The kind of JSON that the caller wants; GoQuorum does not look at it."""
    wanted = request.header(b"accept")
    return wanted if _TESSERA_JSON.fullmatch(wanted) else JSON


def _hash(request: Request) -> bytes:
    return _decoded(unquote_to_bytes(request.segment), HASH_BYTES, "the hash in the path")


def _to(query: Mapping[str, str]) -> bytes | None:
    given = query.get("to")
    # A plus sign of base64 that was not escaped is read as a space.
    return _decoded(given.replace(" ", "+").encode(), KEY_BYTES, "to") if given else None


def _sized_hash(body: bytes) -> bytes:
    if len(body) != HASH_BYTES:
        raise MalformedError(f"the body is a hash of {HASH_BYTES} bytes")
    return body


def _header_keys(request: Request, name: bytes) -> tuple[bytes, ...]:
    given = ",".join(request.headers(name))
    return tuple(_decoded(one.strip().encode(), KEY_BYTES, name.decode()) for one in given.split(",") if one.strip())


def _decoded(data: bytes, length: int, what: str) -> bytes:
    try:
        decoded = b64decode(data, validate=True)
    except ValueError as error:
        raise MalformedError(f"{what} is no base64") from error
    if len(decoded) != length:
        raise MalformedError(f"{what} has {len(decoded)} bytes and needs {length}")
    return decoded


def _comma_list(keys: Sequence[bytes]) -> Response:
    return text(",".join(wire_json.text(key) for key in keys))
