"""Routing by the path as it was sent, bounded bodies, and errors as statuses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from muniment.database.errors import DiskFullError, ReadOnlyError
from muniment.kernel.errors import IntegrityError, MunimentError, PermanentError, TemporaryError
from muniment.privacy import asgi
from muniment.privacy.asgi import App, Request, Response, text
from muniment.privacy.errors import (
    ConflictError,
    MalformedError,
    NotReadyError,
    PeerAwayError,
    PeerRefusedError,
    RuleError,
    UnknownHashError,
    UnknownKeyError,
    UnopenableError,
)
from muniment.privacy.metrics import Metrics
from muniment.privacy.patience import patiently
from tests.support.asgi import call

pytestmark = pytest.mark.anyio

LARGEST = 100


async def echo(request: Request) -> Response:
    return Response(200, request.segment or await request.body())


def app(handler: Callable[[Request], Awaitable[Response]] = echo, hold: float = 0.0, unopenable: int = 500) -> App:
    routes = {
        b"/send": {"POST": handler},
        b"/transaction/": {"GET": handler, "DELETE": handler},
        b"/transaction//isSender": {"GET": handler},
    }
    return App("q2t", routes, Metrics(), largest=LARGEST, hold=hold, unopenable=unopenable)


@pytest.mark.parametrize(
    ("target", "segment"),
    [
        (b"/transaction/abc", b"abc"),
        (b"/transaction/a%2Fb+c==?isRaw=false", b"a%2Fb+c=="),
        (b"/transaction/%2F%2F%2F/isSender", b"%2F%2F%2F"),
    ],
)
async def test_a_segment_comes_as_it_was_sent(target: bytes, segment: bytes) -> None:
    answer = await call(app(), "GET", target)
    assert (answer.status, answer.body) == (200, segment)


@pytest.mark.parametrize(
    "target",
    [
        b"/", b"", b"/sen", b"/send/", b"/transaction", b"/transaction/", b"/transaction//", b"/transaction//isSender",
        b"/transaction/a/b", b"/transaction/a/", b"/transaction/a/isSender/", b"//transaction/a", b"/Transaction/a",
        b"/%74ransaction/a", b"/transaction%2Fa", b"/x/transaction/a", b"*", b"/\xff",
    ],
)  # fmt: skip
async def test_what_has_no_route_is_421_and_never_404(target: bytes) -> None:
    assert (await call(app(), "GET", target)).status == 421


@pytest.mark.parametrize(("method", "target"), [("GET", b"/send"), ("POST", b"/transaction/a"), ("HEAD", b"/send")])
async def test_another_method_is_405(method: str, target: bytes) -> None:
    assert (await call(app(), method, target)).status == 405


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnknownHashError("x"), 404), (UnknownKeyError("x"), 404), (MalformedError("x"), 400), (RuleError("x"), 403),
        (ConflictError("x"), 409), (PeerAwayError("x"), 410), (PeerRefusedError("x"), 500), (UnopenableError("x"), 500),
        (NotReadyError("x"), 503), (TemporaryError("x"), 503), (IntegrityError("x"), 500), (PermanentError("x"), 500),
        (DiskFullError("x"), 503), (ReadOnlyError("x"), 503), (MunimentError("x"), 500),
    ],
)  # fmt: skip
async def test_an_error_has_its_status_and_only_an_unknown_hash_or_key_is_404(
    error: MunimentError, status: int
) -> None:
    async def fail(_request: Request) -> Response:
        raise error

    answer = await call(app(fail), "GET", b"/transaction/a")
    assert (answer.status, answer.body) == (status, b"x")


async def test_a_payload_that_nobody_opens_is_the_callers_fault_where_it_was_pushed() -> None:
    async def fail(_request: Request) -> Response:
        raise UnopenableError("x")

    assert (await call(app(fail, unopenable=400), "GET", b"/transaction/a")).status == 400


async def test_a_body_comes_in_pieces_up_to_the_limit() -> None:
    whole = [b"x" * 50, b"y" * 50]
    assert (await call(app(), "POST", b"/send", whole)).body == b"".join(whole)
    assert (await call(app(), "POST", b"/send", [*whole, b"z"])).status == 413


async def test_a_body_that_stops_coming_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "PIECE_SECONDS", 0.02)
    assert (await call(app(), "POST", b"/send", [b"x"], stuck=asyncio.Event())).status == 408


async def test_bodies_together_cannot_exhaust_the_memory_and_room_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asgi, "LEAST_ROOM", 0)
    served, goes_on = asyncio.Semaphore(0), asyncio.Event()

    async def hold(request: Request) -> Response:
        await request.body()
        served.release()
        await goes_on.wait()
        return text("done")

    limited = app(hold)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(call(limited, "POST", b"/send", [b"x" * LARGEST])) for _ in range(4)]
        for _ in tasks:
            await served.acquire()
        assert (await call(limited, "POST", b"/send", [b"x"])).status == 503
        goes_on.set()
    assert [task.result().status for task in tasks] == [200] * 4
    assert (await call(limited, "POST", b"/send", [b"x"])).status == 200


@pytest.mark.parametrize("body", [b"", b"[]", b"1", b"null", b"{", b"\xff", b"[" * 100, b'{"a":NaN}'])
async def test_what_is_no_json_object_is_400(body: bytes) -> None:
    async def read(request: Request) -> Response:
        await request.json()
        return text("read")

    assert (await call(app(read), "POST", b"/send", [body])).status == 400


async def test_an_answer_says_its_kind_and_length() -> None:
    async def say(_request: Request) -> Response:
        return Response(201, b"abc", asgi.JSON, ((b"location", b"here"),))

    answer = await call(app(say), "POST", b"/send")
    assert answer.headers == {b"content-type": b"application/json", b"content-length": b"3", b"location": b"here"}


async def test_a_request_is_patient_with_the_database_and_counted_when_it_had_to_be() -> None:
    left = 2

    async def work() -> str:
        nonlocal left
        left -= 1
        if left:
            raise TemporaryError("away")
        return "back"

    async def ask(_request: Request) -> Response:
        return text(await patiently(work))

    metrics = Metrics()
    patient = App("q2t", {b"/send": {"POST": ask}}, metrics, largest=1, hold=5)
    assert (await call(patient, "POST", b"/send")).body == b"back"
    assert b'muniment_privacy_held_total{interface="q2t"} 1.0' in metrics.text()
    assert b'requests_total{interface="q2t",route="/send",status="200"} 1.0' in metrics.text()
    left = 2
    assert (await call(app(ask), "POST", b"/send")).status == 503
