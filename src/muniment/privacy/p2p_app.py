"""The interface for other members' managers (Tessera's peer-to-peer protocol). Nothing of the node's interface is here.

What one of them pushes is opened before it is kept. What one of them asks to be resent only the holder of the key that
it names can read.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Final

from muniment.clients.privacy_peer import VERSIONS_HEADER, versions_of
from muniment.privacy import wire_json
from muniment.privacy.asgi import BYTES, JSON, App, Handler, Request, Response, always, text, to_json
from muniment.privacy.discovery import Discovery
from muniment.privacy.envelope import decode, encode
from muniment.privacy.errors import MalformedError, RuleError
from muniment.privacy.metrics import Metrics
from muniment.privacy.ports import Store
from muniment.privacy.q2t_app import VERSIONS_TOLD
from muniment.privacy.readiness import Readiness
from muniment.privacy.receiving import Receiver
from muniment.privacy.recovering import Recovery
from muniment.privacy.resending import Resender
from muniment.privacy.values import PrivacyFlag

HOLD_SECONDS: Final = 3.0
"""How long a push waits for the database: its sender waits little longer."""

LARGEST_BATCH: Final = 64 << 20
_HEADER: Final = VERSIONS_HEADER.lower().encode()


class P2pApp:
    """Makes the app."""

    def __init__(
        self,
        receiver: Receiver,
        resender: Resender,
        recovery: Recovery,
        discovery: Discovery,
        store: Store,
        readiness: Readiness,
        metrics: Metrics,
        *,
        version: str,
    ) -> None:
        self._receiver = receiver
        self._resender = resender
        self._recovery = recovery
        self._discovery = discovery
        self._store = store
        self._readiness = readiness
        self._metrics = metrics
        self._version = version

    def app(self, largest_payload: int) -> App:
        """The app. A body holds an encoded payload, or a batch of them."""
        told = always(text(self._version))
        routes: Mapping[bytes, Mapping[str, Handler]] = {
            b"/upcheck": {"GET": self._upcheck},
            b"/version": {"GET": told},
            b"/version/api": {"GET": always(VERSIONS_TOLD)},
            b"/push": {"POST": self._push},
            b"/partyinfo": {"GET": self._party_info, "POST": self._hear},
            b"/partyinfo/validate": {"POST": self._validate},
            b"/resend": {"POST": self._resend},
            b"/resendBatch": {"POST": self._resend_batch},
            b"/pushBatch": {"POST": self._push_batch},
        }
        largest = max(2 * largest_payload, LARGEST_BATCH)
        return App("p2p", routes, self._metrics, largest=largest, hold=HOLD_SECONDS, unopenable=400)

    async def _upcheck(self, request: Request) -> Response:
        del request
        cause = await self._readiness.cause()
        return text(cause, 503) if cause else text("I'm up!")

    async def _push(self, request: Request) -> Response:
        payload = decode(await request.body())
        if self._readiness.recovering and await self._store.recovering():
            # What a manager that knows no batches resends comes as pushes. Those with a flag need the order of batches.
            if payload.flag is not PrivacyFlag.STANDARD:
                raise RuleError("this member recovers its payloads: what has a privacy flag is taken in batches only")
            await self._recovery.accept_batch([payload])
            return text(wire_json.text(payload.hash), 201)
        await self._readiness.serve_when_ready(HOLD_SECONDS)
        return text(wire_json.text(await self._receiver.accept(payload)), 201)

    async def _hear(self, request: Request) -> Response:
        await self._discovery.hear(await request.body(), versions_of(request.headers(_HEADER)))
        return Response(200, b"", BYTES)

    async def _party_info(self, request: Request) -> Response:
        del request
        known = await self._discovery.party_info()
        answer = {
            "url": known["url"],
            "peers": [{"url": url} for url in known["peers"]],
            "keys": [{"key": wire_json.text(key), "url": url} for key, url in known["keys"]],
        }
        return Response(200, to_json(answer), JSON)

    async def _validate(self, request: Request) -> Response:
        return text(self._receiver.answer_challenge(decode(await request.body())))

    async def _resend(self, request: Request) -> Response:
        document = await request.json()
        key = wire_json.key(document, "publicKey")
        kind = document.get("type")
        kind = kind.upper() if isinstance(kind, str) else kind
        await self._readiness.serve_when_ready(HOLD_SECONDS)
        if kind == "INDIVIDUAL":
            payload = await self._resender.resend_one(wire_json.payload_hash(document, "key"), key)
            return Response(200, encode(payload), BYTES)
        if kind == "ALL":
            await self._resender.resend_all(key)
            return Response(200, b"", BYTES)
        raise MalformedError("type: it is ALL or INDIVIDUAL")

    async def _resend_batch(self, request: Request) -> Response:
        document = await request.json()
        size = document.get("batchSize")
        if type(size) is not int:
            raise MalformedError("batchSize: it is a number")
        await self._readiness.serve_when_ready(HOLD_SECONDS)
        total = await self._resender.resend_batch(wire_json.key(document, "publicKey"), size)
        return Response(200, to_json({"total": total}), JSON)

    async def _push_batch(self, request: Request) -> Response:
        document = await request.json()
        items = document.get("encodedPayloads")
        if not isinstance(items, list) or not all(isinstance(one, str) for one in items):
            raise MalformedError("encodedPayloads: it is a list of texts in base64")
        try:
            payloads = [decode(b64decode(one, validate=True)) for one in items]
        except ValueError as error:
            raise MalformedError("encodedPayloads: one of them is no base64") from error
        await self._recovery.accept_batch(payloads)
        return text("")
