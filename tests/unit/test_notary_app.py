"""The notary's API over HTTP in this process: what is accepted, and how rubbish is refused."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from muniment.database.errors import DiskFullError
from muniment.kernel.errors import TemporaryError
from muniment.notary.app import Api
from muniment.notary.readiness import Readiness
from muniment.proof.unixfs import cid_of
from tests.support.notary import Rig, away

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def running(folder: Path, **batch: Any) -> AsyncIterator[tuple[httpx2.AsyncClient, Rig]]:
    rig = Rig(folder, **batch)
    await rig.start()
    app = Api(rig.notary, Readiness({"database": rig.store.ping}, {}, 0), "1").app()
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://notary") as client:
        try:
            yield client, rig
        finally:
            await rig.stop()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def nothing_kept(rig: Rig) -> None:
    counts = await rig.store.counts()
    assert sum(counts.files.values()) == 0
    assert rig.spool.used_bytes() == 0


async def test_files_of_all_kinds(tmp_path: Path) -> None:
    contents = {"公證.txt": b"a", "empty": b"", 'quote".bin': b"\r\n--x\r\n", "long": b"z" * (9 << 20)}
    async with running(tmp_path) as (client, _):
        parts = [("file", (name, content)) for name, content in contents.items()]
        answer = await client.post("/v1/files", files=parts, params={"wait": "anchored"})
        assert answer.status_code == 202
        told = answer.json()["files"]
        assert [file["name"] for file in told] == list(contents)
        for file, content in zip(told, contents.values(), strict=True):
            assert (file["size"], file["sha256"], file["cid"]) == (len(content), sha256(content), cid_of(content))
            assert file["state"] == "anchored"
            assert (await client.get(f"/v1/files/{file['id']}")).json() == file


async def test_raw_body(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, _):
        answer = await client.post("/v1/files", params={"name": "名"}, content=b"raw")
        (file,) = answer.json()["files"]
        assert (file["name"], file["sha256"], file["state"]) == ("名", sha256(b"raw"), "received")


async def test_same_key_same_files(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, rig):
        headers = {"Idempotency-Key": "k"}
        first = await client.post("/v1/files", params={"wait": "stored"}, headers=headers, content=b"once")
        again = await client.post("/v1/files", headers=headers, content=b"once")
        assert first.json()["files"][0]["id"] == again.json()["files"][0]["id"]
        other = await client.post("/v1/files", headers=headers, content=b"something else")
        assert other.status_code == 422
        assert other.headers["content-type"] == "application/problem+json"
        await rig.idle()
        assert sum((await rig.store.counts()).files.values()) == 1


async def test_wrong_digest_keeps_nothing_of_the_request(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, rig):
        parts = [
            ("file", ("good", b"good", "text/plain", {"X-Content-SHA256": sha256(b"good")})),
            ("file", ("bad", b"bad", "text/plain", {"X-Content-SHA256": sha256(b"other")})),
        ]
        answer = await client.post("/v1/files", files=parts)
        assert answer.status_code == 422
        assert "bad arrived with SHA-256" in answer.json()["detail"]
        await nothing_kept(rig)


def multipart(*parts: bytes, end: bytes = b"--b--\r\n") -> bytes:
    return b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + end


DISPOSITION = b'Content-Disposition: form-data; name="file"; filename="x"\r\n'


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"nothing of the sort", 400),
        (multipart(), 400),
        (multipart(DISPOSITION + b"\r\ncontent", end=b""), 400),
        (multipart(DISPOSITION + b"\r\ncontent", end=b"--b"), 400),
        (multipart(b'Content-Disposition: form-data; name="other"\r\n\r\nx'), 400),
        (multipart(b"\r\nno headers"), 400),
        (multipart(DISPOSITION + b"X-Huge: " + b"h" * 9000 + b"\r\n\r\nx"), 400),
        (multipart(DISPOSITION + b"".join(b"X-%d: y\r\n" % n for n in range(40)) + b"\r\nx"), 400),
        (multipart(DISPOSITION + b"X-Content-SHA256: zz\r\n\r\nx"), 400),
        (multipart(DISPOSITION + b"Content-Transfer-Encoding: base64\r\n\r\neA=="), 400),
        (multipart(DISPOSITION.replace(b'"x"', b'"' + b"n" * 1025 + b'"') + b"\r\nx"), 422),
        (multipart(*[DISPOSITION + b"\r\n"] * 10_001), 413),
    ],
)
async def test_rubbish_is_refused_and_keeps_nothing(tmp_path: Path, body: bytes, status: int) -> None:
    async with running(tmp_path) as (client, rig):
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        answer = await client.post("/v1/files", content=body, headers=headers)
        assert answer.status_code == status, answer.text
        problem = answer.json()
        assert problem["status"] == status
        assert problem["detail"]
        await nothing_kept(rig)


async def test_ten_thousand_parts_are_taken(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, _):
        body = multipart(*[DISPOSITION + b"\r\n%d" % n for n in range(10_000)])
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        answer = await client.post("/v1/files", params={"wait": "anchored"}, content=body, headers=headers)
        assert {file["state"] for file in answer.json()["files"]} == {"anchored"}
        assert len({file["id"] for file in answer.json()["files"]}) == 10_000


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/files/nobody", None, 404),
        ("GET", "/v1/receipts/nobody", None, 404),
        ("POST", "/v1/receipts", b'{"ids": ["nobody"]}', 404),
        ("POST", "/v1/receipts", b"[" * 100_000, 400),
        ("POST", "/v1/receipts", b'{"ids": [1]}', 400),
        ("POST", "/v1/states", b"{}", 400),
        ("POST", "/v1/files?wait=later", b"x", 422),
        ("POST", "/v1/files?wait=stored&timeout=nan", b"x", 422),
        ("GET", "/v1/elsewhere", None, 404),
        ("DELETE", "/v1/files", None, 405),
    ],
)
async def test_wrong_questions(tmp_path: Path, method: str, path: str, body: bytes | None, status: int) -> None:
    async with running(tmp_path) as (client, _):
        answer = await client.request(method, path, content=body)
        assert (answer.status_code, answer.json()["status"]) == (status, status)


async def test_a_long_key_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, _):
        answer = await client.post("/v1/files", headers={"Idempotency-Key": "k" * 300}, content=b"x")
        assert answer.status_code == 400


async def test_database_away(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, rig):
        rig.store.fail = lambda name, _: TemporaryError("it is away", delay=30) if name == "accept" else None
        answer = await client.post("/v1/files", content=b"x")
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "30"
        rig.store.fail = away(3)
        answer = await client.post("/v1/files", params={"wait": "anchored"}, content=b"y")
        assert answer.json()["files"][0]["state"] == "anchored"


async def test_disk_full(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, rig):
        rig.store.fail = lambda name, _: DiskFullError("no room") if name == "accept" else None
        answer = await client.post("/v1/files", content=b"x")
        assert answer.status_code == 507
        assert "no room" in answer.json()["detail"]
        await nothing_kept(rig)


async def test_receipts_in_order_and_by_level(tmp_path: Path) -> None:
    async with running(tmp_path, max_files=3) as (client, _):
        parts = [("file", (f"f{n}", b"%d" % n)) for n in range(8)]
        ids = [f["id"] for f in (await client.post("/v1/files", files=parts)).json()["files"]]
        question = {"ids": ids[::-1]}
        answer = await client.post("/v1/receipts", params={"wait": "anchored"}, json=question)
        told = [json.loads(line) for line in answer.text.splitlines()]
        assert [receipt["name"] for receipt in told] == [f"f{n}" for n in range(7, -1, -1)]
        assert {receipt["level"] for receipt in told} == {"anchored"}
        one = await client.get(f"/v1/receipts/{ids[0]}")
        assert one.json() == told[-1]


async def test_a_stuck_batch_shows_its_cause(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, rig):
        rig.content.fail = lambda _n, _a: TemporaryError("no IPFS peer is up", delay=1)
        answer = await client.post("/v1/files", content=b"x")
        identifier = answer.json()["files"][0]["id"]
        question = {"wait": "stored", "timeout": "0.4"}
        file = (await client.get(f"/v1/files/{identifier}", params=question)).json()
        assert (file["state"], file["cause"]) == ("batched", "no IPFS peer is up")
        receipt = await client.get(f"/v1/receipts/{identifier}")
        assert receipt.json()["level"] == "batched"
        assert receipt.headers["x-muniment-cause"] == "no IPFS peer is up"


async def test_health_and_metrics(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, _):
        await client.post("/v1/files", params={"wait": "anchored"}, content=b"x")
        assert (await client.get("/live")).json()["live"]
        assert (await client.get("/ready")).json() == {"ready": True, "cause": "", "causes": {}}
        text = (await client.get("/metrics")).text
        assert 'muniment_notary_files{state="anchored"} 1.0' in text
        assert "muniment_notary_anchors_total 1.0" in text


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=300)), min_size=1, max_size=5),
    step=st.integers(1, 200),
)
async def test_any_name_and_content_in_any_pieces(
    tmp_path_factory: pytest.TempPathFactory, files: list[tuple[str, bytes]], step: int
) -> None:
    folder = tmp_path_factory.mktemp("any")
    async with running(folder) as (client, _):
        request = client.build_request(
            "POST", "/v1/files", files=[("file", (name or "x", content)) for name, content in files]
        )
        body = request.read()

        async def pieces() -> AsyncIterator[bytes]:
            for start in range(0, len(body), step):
                yield body[start : start + step]

        answer = await client.post(
            "/v1/files", content=pieces(), headers={"Content-Type": request.headers["content-type"]}
        )
        told = answer.json()["files"]
        assert [file["sha256"] for file in told] == [sha256(content) for _, content in files]
