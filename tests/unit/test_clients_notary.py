"""The notary's client: uploads once whatever happens on the way, and says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from muniment.clients.notary import NotaryClient, NotaryRefusedError, UploadPart
from muniment.kernel.errors import InputError, PermanentError, WaitTimeoutError
from muniment.notary.app import Api
from muniment.notary.readiness import Readiness
from muniment.proof.unixfs import summary_of
from tests.support.notary import Rig

pytestmark = pytest.mark.anyio


def part(name: str, content: bytes, *, claimed: bytes | None = None) -> UploadPart:
    digest = summary_of(content if claimed is None else claimed).sha256.hex()
    return UploadPart(name, len(content), digest, partial(pieces, content))


def pieces(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), 100_000):
        yield content[start : start + 100_000]


class Flaky(httpx2.AsyncBaseTransport):
    """Passes requests on; of the first ones it loses the answer, or never lets them through."""

    def __init__(self, rig: Rig, *, lost: int = 0, refused: int = 0) -> None:
        self._inner = httpx2.ASGITransport(app=Api(rig.notary, Readiness({}, {}, 0), "1").app())
        self._lost = lost
        self._refused = refused

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if self._refused:
            self._refused -= 1
            return httpx2.Response(503, json={"detail": "the database is away"})
        answer = await self._inner.handle_async_request(request)
        if self._lost:
            self._lost -= 1
            raise httpx2.ReadError("connection reset")
        return answer


async def test_an_upload_whose_answer_is_lost_is_made_once(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    await rig.start()
    contents = {"公證": b"a", 'q"uo\\te\r\n.txt': b"", "large": b"z" * 700_000}
    async with NotaryClient("http://notary", transport=Flaky(rig, lost=2, refused=1)) as client:
        files = await client.upload([part(name, content) for name, content in contents.items()])
        assert [(file.size, file.cid) for file in files] == [(len(c), summary_of(c).cid) for c in contents.values()]
        assert [file.name for file in files] == ["公證", 'q"uo\\te\ufffd\ufffd.txt', "large"]
        ids = [file.id for file in files]
        states = await client.states(ids, wait="anchored", seconds=20)
        assert {file.state for file in states} == {"anchored"}
        told = [json.loads(text)["name"] for text in await client.receipts(ids[::-1])]
        assert told[0] == "large"
    assert sum((await rig.store.counts()).files.values()) == len(contents)
    await rig.stop()


async def test_a_wrong_digest_is_refused_by_name(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    await rig.start()
    async with NotaryClient("http://notary", transport=Flaky(rig)) as client:
        with pytest.raises(NotaryRefusedError, match="mine arrived with SHA-256") as refused:
            await client.upload([part("mine", b"now", claimed=b"before")])
        assert refused.value.status == 422
        with pytest.raises(NotaryRefusedError, match="no file has the identifier"):
            await client.states(["nobody"])
    await rig.stop()


async def test_what_the_reader_says_passes_through() -> None:
    def changed() -> Iterator[bytes]:
        yield b"half"
        raise InputError("x changed while it was uploaded")

    async def reads_all(request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        return httpx2.Response(202, json={"files": []})

    async with NotaryClient("http://notary", transport=httpx2.MockTransport(reads_all)) as client:
        with pytest.raises(InputError, match="changed while"):
            await client.upload([UploadPart("x", 10, "0" * 64, changed)])


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"status_code": 503}, WaitTimeoutError),
        ({"status_code": 507, "json": {"detail": "no room"}}, NotaryRefusedError),
        ({"status_code": 200, "json": {"else": 1}}, PermanentError),
        ({"status_code": 200, "content": b"<html>"}, PermanentError),
    ],
)
async def test_other_answers(answer: dict[str, Any], error: type[Exception]) -> None:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(**answer))
    async with NotaryClient("http://notary", patience=0.3, transport=transport) as client:
        with pytest.raises(error):
            await client.states(["x"])


async def test_a_notary_that_stays_away_is_named_with_the_time_out() -> None:
    async with NotaryClient("http://127.0.0.1:1", patience=0.3) as client:
        with pytest.raises(WaitTimeoutError, match=r"127.0.0.1:1 did not take the upload within 0.3 s"):
            await client.upload([part("x", b"x")])
