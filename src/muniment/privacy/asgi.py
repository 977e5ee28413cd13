"""HTTP on ASGI without a framework: routing by the path as it was sent, bounded bodies, errors as statuses.

A hash in a path is base64: GoQuorum sends its `/` as `%2F`, and `+` and `=` as they are. A framework that decodes the
path before it routes would cut the hash in two and answer 404, which a node takes for "not a party". Here the path is
routed as sent, one segment is decoded once, and what has no route is 421, never 404.
"""

from __future__ import annotations

import asyncio
import functools
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
    NotReadyError,
    PeerAwayError,
    RuleError,
    UnknownHashError,
    UnknownKeyError,
    UnopenableError,
)
from muniment.privacy.metrics import Metrics
from muniment.privacy.patience import patience

TEXT: Final = b"text/plain;charset=UTF-8"
JSON: Final = b"application/json"
BYTES: Final = b"application/octet-stream"

MISDIRECTED: Final = 421
TOO_LARGE: Final = 413
BAD_METHOD: Final = 405
TOO_SLOW: Final = 408

PIECE_SECONDS: Final = 10.0
"""How long the next piece of a body may take."""

LEAST_ROOM: Final = 128 << 20
"""So many bytes of bodies one interface holds at once at least."""

_log = logging.getLogger(__name__)

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class TooLargeError(MalformedError):
    """A body beyond the limit (413)."""


class TooSlowError(MalformedError):
    """A body whose next piece did not come in its time (408)."""


_STATUSES: Final[Mapping[type[MunimentError], int]] = {
    TooLargeError: TOO_LARGE,
    TooSlowError: TOO_SLOW,
    MalformedError: 400,
    UnknownHashError: 404,
    UnknownKeyError: 404,
    RuleError: 403,
    ConflictError: 409,
    PeerAwayError: 410,
    UnopenableError: 500,
}


class Room:
    """The memory for bodies that one interface holds at once: callers together cannot exhaust the process."""

    __slots__ = ("_left",)

    def __init__(self, size: int) -> None:
        self._left = size

    def take(self, size: int) -> None:
        """Take so many bytes. Raises `NotReadyError` when there are not as many."""
        if size > self._left:
            raise NotReadyError("too much is being received at once: try again")
        self._left -= size

    def give_back(self, size: int) -> None:
        """Give back what was taken."""
        self._left += size


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

    __slots__ = ("_largest", "_receive", "_room", "held", "scope", "segment")

    def __init__(self, scope: Scope, receive: Receive, largest: int, room: Room, segment: bytes = b"") -> None:
        self.scope = scope
        self.segment = segment
        self.held = 0
        """Bytes of `room` that the body takes."""
        self._receive = receive
        self._largest = largest
        self._room = room

    def header(self, name: bytes) -> bytes:
        """The first value of a header; empty without."""
        return next((value for key, value in self.scope["headers"] if key == name), b"")

    def headers(self, name: bytes) -> list[str]:
        """All values of a header."""
        return [value.decode("latin-1") for key, value in self.scope["headers"] if key == name]

    def query(self) -> Mapping[str, str]:
        """The parameters of the query."""
        return _parameters(self.scope["query_string"])

    async def body(self) -> bytes:
        """The whole body. Raises `TooLargeError` beyond the limit, `TooSlowError`, and `NotReadyError` when the bodies
        of all requests are too much at once."""
        parts = []
        while True:
            message = await self._next()
            part = message.get("body", b"")
            if self.held + len(part) > self._largest:
                raise TooLargeError(f"the body is larger than {self._largest} bytes")
            self._room.take(len(part))
            self.held += len(part)
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)

    async def _next(self) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(PIECE_SECONDS):
                message = await self._receive()
        except TimeoutError as error:
            raise TooSlowError("the body stopped coming") from error
        if message["type"] != "http.request":
            raise MalformedError("the request ended before its body did")
        return message

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
    after it: `/transaction/` and `/transaction//isSender`. `hold` is how long a request waits for the database."""

    def __init__(
        self,
        name: str,
        routes: Mapping[bytes, Mapping[str, Handler]],
        metrics: Metrics,
        *,
        largest: int,
        hold: float = 0.0,
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
        self._room = Room(max(4 * largest, LEAST_ROOM))
        self._hold = hold
        self._unopenable = unopenable

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI 3)."""
        if scope["type"] != "http":
            return
        begun = time.perf_counter()
        name, methods, segment = self._find(scope["raw_path"])
        request = Request(scope, receive, self._largest, self._room, segment)
        with patience(self._hold) as mine:
            try:
                response = await self._answer(methods, request)
            finally:
                self._room.give_back(request.held)
        if mine.used:
            self._metrics.held(self._name)
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
        for kind, status in _STATUSES.items():
            if isinstance(error, kind):
                return status
        return 503 if isinstance(error, TemporaryError) else 500


@functools.lru_cache(maxsize=64)
def _parameters(query: bytes) -> Mapping[str, str]:
    # A node sends the same one with every look-up.
    return dict(parse_qsl(query.decode("latin-1")))


def always(response: Response) -> Handler:
    """A handler that gives the same answer to everybody."""

    async def answer(request: Request) -> Response:
        del request
        return response

    return answer


def text(value: str, status: int = 200) -> Response:
    """An answer of text, without a newline: GoQuorum parses some of them as a whole."""
    return Response(status, value.encode())


def to_json(value: Any) -> bytes:
    """JSON without spaces."""
    return json.dumps(value, separators=(",", ":")).encode()
