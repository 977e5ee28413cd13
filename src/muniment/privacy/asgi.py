"""HTTP on ASGI without a framework: routing by the path as it was sent, bounded bodies, errors as statuses.

A hash in a path is base64: GoQuorum sends its `/` as `%2F`, and `+` and `=` as they are. A framework that decodes the
path before it routes would cut the hash in two and answer 404, which a node takes for "not a party". Here the path is
routed as sent, one segment is decoded once, and what has no route is 421, never 404.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from muniment.kernel.encoding import parse_json
from muniment.kernel.errors import MunimentError, TemporaryError
from muniment.privacy.errors import (
    ConflictError,
    MalformedError,
    PeerAwayError,
    RuleError,
    UnknownHashError,
    UnknownKeyError,
    UnopenableError,
)
from muniment.privacy.metrics import Metrics

TEXT: Final = b"text/plain;charset=UTF-8"
JSON: Final = b"application/json"
BYTES: Final = b"application/octet-stream"

MISDIRECTED: Final = 421
TOO_LARGE: Final = 413
BAD_METHOD: Final = 405

_STATUSES: Final[Mapping[type[MunimentError], int]] = {
    MalformedError: 400,
    UnknownHashError: 404,
    UnknownKeyError: 404,
    RuleError: 403,
    ConflictError: 409,
    PeerAwayError: 410,
    UnopenableError: 500,
}

_log = logging.getLogger(__name__)

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class TooLargeError(MalformedError):
    """A body beyond the limit (413)."""


class Response:
    """An answer as a whole."""

    __slots__ = ("body", "headers", "kind", "status")

    def __init__(
        self, status: int, body: bytes = b"", kind: bytes = TEXT, headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        self.status = status
        self.body = body
        self.kind = kind
        self.headers = headers


class Request:
    """A request; its body is read when it is asked for. `segment` is the part of the path that the route left open."""

    __slots__ = ("_largest", "_receive", "scope", "segment")

    def __init__(self, scope: Scope, receive: Receive, largest: int, segment: bytes = b"") -> None:
        self.scope = scope
        self.segment = segment
        self._receive = receive
        self._largest = largest

    def header(self, name: bytes) -> bytes:
        """The first value of a header; empty without."""
        return next((value for key, value in self.scope["headers"] if key == name), b"")

    def headers(self, name: bytes) -> list[str]:
        """All values of a header."""
        return [value.decode("latin-1") for key, value in self.scope["headers"] if key == name]

    def query(self) -> dict[str, str]:
        """The parameters of the query."""
        return dict(parse_qsl(self.scope["query_string"].decode("latin-1")))

    async def body(self) -> bytes:
        """The whole body; raises `TooLargeError` beyond the limit."""
        parts = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                raise MalformedError("the request ended before its body did")
            part = message.get("body", b"")
            size += len(part)
            if size > self._largest:
                raise TooLargeError(f"the body is larger than {self._largest} bytes")
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)

    async def json(self) -> dict[str, Any]:
        """The body as a JSON object. Raises `MalformedError`."""
        try:
            document = parse_json(await self.body())
        except ValueError as error:
            raise MalformedError("the body is no JSON") from error
        if not isinstance(document, dict):
            raise MalformedError("the body is no JSON object")
        return document


Handler = Callable[[Request], Awaitable[Response]]


class App:
    """One interface. `routes` are by path and method; a path that ends in `/` leaves one segment open, and may go on
    after it: `/transaction/` and `/transaction//isSender`."""

    def __init__(
        self,
        name: str,
        routes: Mapping[bytes, Mapping[str, Handler]],
        metrics: Metrics,
        *,
        largest: int,
        unopenable: int = 500,
    ) -> None:
        self._name = name
        self._exact = {
            path: methods for path, methods in routes.items() if b"//" not in path and not path.endswith(b"/")
        }
        self._open = {path: methods for path, methods in routes.items() if path not in self._exact}
        self._prefixes = {path[: path.index(b"/", 1) + 1] for path in self._open}
        self._metrics = metrics
        self._largest = largest
        self._unopenable = unopenable

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI 3)."""
        if scope["type"] != "http":
            return
        begun = time.perf_counter()
        name, methods, segment = self._find(scope["raw_path"])
        response = await self._answer(methods, Request(scope, receive, self._largest, segment))
        self._metrics.count(self._name, name, response.status, time.perf_counter() - begun)
        await send(
            {
                "type": "http.response.start",
                "status": response.status,
                "headers": [
                    (b"content-type", response.kind),
                    (b"content-length", str(len(response.body)).encode()),
                    *response.headers,
                ],
            }
        )
        await send({"type": "http.response.body", "body": response.body})

    def _find(self, path: bytes) -> tuple[str, Mapping[str, Handler] | None, bytes]:
        methods = self._exact.get(path)
        if methods is not None:
            return path.decode("ascii"), methods, b""
        for prefix in self._prefixes:
            if path.startswith(prefix):
                segment, slash, rest = path[len(prefix) :].partition(b"/")
                route = prefix + slash + rest
                methods = self._open.get(route) if segment else None
                if methods is not None:
                    return route.decode("ascii"), methods, segment
        return "none", None, b""

    async def _answer(self, methods: Mapping[str, Handler] | None, request: Request) -> Response:
        if methods is None:
            return Response(MISDIRECTED, b"there is nothing at this path of the privacy manager")
        handler = methods.get(request.scope["method"])
        if handler is None:
            return Response(BAD_METHOD, b"this method is not for this path")
        try:
            return await handler(request)
        except MunimentError as error:
            status = self._status(error)
            if status >= 500:
                _log.warning("a request failed", extra={"interface": self._name, "cause": str(error), "status": status})
            return Response(status, str(error).encode())

    def _status(self, error: MunimentError) -> int:
        if isinstance(error, UnopenableError):
            return self._unopenable
        if isinstance(error, TooLargeError):
            return TOO_LARGE
        for kind, status in _STATUSES.items():
            if isinstance(error, kind):
                return status
        return 503 if isinstance(error, TemporaryError) else 500


def text(value: str, status: int = 200) -> Response:
    """An answer of text, without a newline: GoQuorum parses some of them as a whole."""
    return Response(status, value.encode())


def to_json(value: Any) -> bytes:
    """JSON without spaces."""
    return json.dumps(value, separators=(",", ":")).encode()
