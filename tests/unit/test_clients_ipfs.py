"""Clients of kubo and of the cluster service, against answers as the engines give them."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest

from muniment.clients.http import RefusedError
from muniment.clients.ipfs import PINNED, ClusterClient, ImportStat, KuboClient, Metric, RepoStat
from muniment.kernel.errors import IntegrityError, PermanentError, TemporaryError

pytestmark = pytest.mark.anyio

CID = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
Handler = Callable[[httpx2.Request], httpx2.Response]


class Engine:
    """Answers every request with the same, and remembers the last request."""

    def __init__(self, status: int = 200, *, json: Any = None, text: str | None = None) -> None:
        self._answer = (status, json, text)
        self.request: httpx2.Request
        self.body = b""

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.request = request
        self.body = await request.aread()
        status, json, text = self._answer
        return httpx2.Response(status, text=text) if text is not None else httpx2.Response(status, json=json)

    @property
    def asked(self) -> str:
        """Method, path and parameters."""
        return f"{self.request.method} {self.request.url.raw_path.decode()}"

    def kubo(self) -> KuboClient:
        return KuboClient("http://kubo.test:5001", transport=httpx2.MockTransport(self))

    def cluster(self) -> ClusterClient:
        return ClusterClient("http://cluster.test:9094", "pass word", transport=httpx2.MockTransport(self))


async def pieces(*content: bytes) -> AsyncIterator[bytes]:
    for piece in content:
        yield piece


async def test_kubo_tells_its_identity() -> None:
    engine = Engine(json={"ID": "12D3KooWa", "Addresses": ["/ip4/127.0.0.1/tcp/1"], "AgentVersion": "kubo"})
    async with engine.kubo() as kubo:
        found = await kubo.id()
    assert (found.peer_id, found.addresses) == ("12D3KooWa", ("/ip4/127.0.0.1/tcp/1",))
    assert engine.asked == "POST /api/v0/id"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"Peers": [{"Peer": "a"}, {"Peer": "b"}, {"Peer": "a"}]}, {"a", "b"}),
        ({"Peers": None}, set()),
        ({"Peers": []}, set()),
    ],
)
async def test_a_peer_with_two_connections_counts_once(answer: Any, expected: set[str]) -> None:
    async with Engine(json=answer).kubo() as kubo:
        assert await kubo.swarm_peers() == expected


async def test_kubo_connects_to_an_address() -> None:
    engine = Engine(json={"Strings": ["connect a success"]})
    async with engine.kubo() as kubo:
        await kubo.swarm_connect("/ip4/127.0.0.1/tcp/1/p2p/a")
    assert engine.request.url.params["arg"] == "/ip4/127.0.0.1/tcp/1/p2p/a"


async def test_a_car_is_sent_as_one_part_and_the_answer_counted() -> None:
    engine = Engine(text='{"Stats":{"BlockCount":3,"BlockBytesCount":77}}\n')
    async with engine.kubo() as kubo:
        assert await kubo.import_car(pieces(b"car", b"-", b"bytes")) == ImportStat(3, 77)
    boundary = engine.request.headers["content-type"].partition("boundary=")[2].encode()
    head, _, rest = engine.body.partition(b"\r\n\r\n")
    assert head.startswith(b"--" + boundary)
    assert rest == b"car-bytes\r\n--" + boundary + b"--\r\n"
    assert engine.request.url.params["pin-roots"] == "false"
    assert "content-length" not in engine.request.headers


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("", "broke off the import"),
        ('{"Root":{"Cid":{"/":"a"},"PinErrorMsg":"block not found"}}\n', "block not found"),
        ('{"Message":"import failed: unexpected EOF","Code":0,"Type":"error"}\n', "unexpected EOF"),
    ],
)
async def test_an_import_that_is_not_confirmed_did_not_happen(answer: str, message: str) -> None:
    async with Engine(text=answer).kubo() as kubo:
        with pytest.raises(TemporaryError, match=message):
            await kubo.import_car(pieces(b"car"))


async def test_errors_of_the_content_pass_through_an_import() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"car"
        raise IntegrityError("content was changed")

    async with Engine(json={}).kubo() as kubo:
        with pytest.raises(IntegrityError, match="content was changed"):
            await kubo.import_car(broken())


async def test_kubo_says_how_something_is_pinned() -> None:
    async with Engine(json={"Keys": {CID: {"Type": "recursive", "Name": ""}}}).kubo() as kubo:
        assert await kubo.pin_ls(CID) == "recursive"
    refusal = {"Message": f"path '/ipfs/{CID}' is not pinned", "Code": 0, "Type": "error"}
    async with Engine(500, json=refusal).kubo() as kubo:
        assert await kubo.pin_ls(CID) is None


async def test_kubo_says_how_full_it_is() -> None:
    async with Engine(
        json={"RepoSize": 10, "StorageMax": 100, "NumObjects": 3, "Version": "fs-repo@18"}
    ).kubo() as kubo:
        assert await kubo.repo_stat() == RepoStat(10, 100, 3)


async def test_content_is_read_in_pieces() -> None:
    engine = Engine(text="content")
    async with engine.kubo() as kubo:
        assert b"".join([piece async for piece in kubo.cat(f"{CID}/a b")]) == b"content"
    assert engine.request.url.params["arg"] == f"{CID}/a b"


async def test_the_engines_own_words_are_in_the_error_on_one_line() -> None:
    refusal = {"Message": "all dials failed\n  * connection refused", "Code": 0, "Type": "error"}
    async with Engine(500, json=refusal).kubo() as kubo:
        with pytest.raises(TemporaryError, match=r"status 500: all dials failed \* connection refused$"):
            await kubo.swarm_connect("/ip4/127.0.0.1/tcp/1/p2p/a")


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_what_may_work_later_is_temporary(status: int) -> None:
    async with Engine(status, text="busy").kubo() as kubo:
        with pytest.raises(TemporaryError, match=f"status {status}: busy"):
            await kubo.id()


@pytest.mark.parametrize("status", [400, 403, 404, 405])
async def test_what_is_wrong_with_the_request_is_permanent(status: int) -> None:
    async with Engine(status, text="").kubo() as kubo:
        with pytest.raises(RefusedError, match="no reason given") as caught:
            await kubo.id()
    assert caught.value.status == status


@pytest.mark.parametrize(
    "error", [httpx2.ConnectError("refused"), httpx2.ReadError(""), httpx2.RemoteProtocolError("cut")]
)
async def test_an_engine_that_is_not_there_is_temporary(error: httpx2.HTTPError) -> None:
    def handler(_request: httpx2.Request) -> httpx2.Response:
        raise error

    async with KuboClient("http://kubo.test", transport=httpx2.MockTransport(handler)) as kubo:
        with pytest.raises(TemporaryError, match="cannot be reached"):
            await kubo.id()


async def test_an_engine_that_hangs_is_temporary() -> None:
    def handler(_request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ReadTimeout("")

    async with KuboClient("http://kubo.test", transport=httpx2.MockTransport(handler)) as kubo:
        with pytest.raises(TemporaryError, match="did not answer in its time"):
            await kubo.id()


async def test_an_impossible_address_is_permanent() -> None:
    async with KuboClient("gopher://kubo.test") as kubo:
        with pytest.raises(PermanentError, match="correct the address"):
            await kubo.id()


@pytest.mark.parametrize("answer", ["<html>", "{", ""])
async def test_what_is_no_answer_of_the_engine_is_temporary(answer: str) -> None:
    async with Engine(text=answer).kubo() as kubo:
        with pytest.raises(TemporaryError):
            await kubo.id()


@pytest.mark.parametrize("answer", [[], {}, "text", 3, {"Peers": [{}]}, {"peer_map": [1]}, {"peer_map": {"a": {}}}])
async def test_answers_of_another_shape_are_temporary(answer: Any) -> None:
    engine = Engine(json=answer)
    async with engine.kubo() as kubo:
        for question in (kubo.id(), kubo.repo_stat(), kubo.pin_ls(CID)):
            with pytest.raises(TemporaryError, match="unexpected"):
                await question


async def test_the_cluster_peer_is_asked_with_the_password() -> None:
    engine = Engine(
        json={
            "id": "a",
            "cluster_peers": ["a", "b"],
            "ipfs": {"id": "k", "error": ""},
            "error": "",
            "peername": "alpha-cluster-1",
        }
    )
    async with engine.cluster() as cluster:
        found = await cluster.id()
        assert await cluster.sees() == {"a", "b"}
    assert (found.peer_id, found.peers, found.kubo_id, found.error) == ("a", frozenset("ab"), "k", "")
    assert engine.request.headers["authorization"] == "Basic " + base64.b64encode(b"muniment:pass word").decode()


async def test_a_cluster_peer_whose_kubo_is_dead_says_so() -> None:
    answer = {"id": "a", "cluster_peers": None, "ipfs": {"id": "", "error": "connection refused"}, "error": ""}
    async with Engine(json=answer).cluster() as cluster:
        found = await cluster.id()
    assert (found.peers, found.kubo_id, found.error) == (frozenset(), "", "connection refused")


async def test_a_wrong_password_is_permanent_and_not_repeated_in_the_message() -> None:
    engine = Engine(401, json={"code": 401, "message": "unauthorized"})
    async with engine.cluster() as cluster:
        with pytest.raises(PermanentError, match="refuses the user or the password") as caught:
            await cluster.id()
    assert "pass word" not in str(caught.value)


async def test_a_pin_names_replication_and_allocations() -> None:
    engine = Engine(json={"cid": CID, "allocations": ["a", "b"]})
    async with engine.cluster() as cluster:
        allocated = await cluster.pin(CID, minimum=2, maximum=3, allocations=["a", "b"], name="batch 1")
    assert allocated == {"a", "b"}
    assert engine.request.method == "POST"
    assert engine.request.url.path == f"/pins/{CID}"
    assert dict(engine.request.url.params) == {
        "mode": "recursive",
        "name": "batch 1",
        "replication-min": "2",
        "replication-max": "3",
        "user-allocations": "a,b",
    }


async def test_too_few_peers_for_a_pin_is_temporary() -> None:
    refusal = {"code": 500, "message": "not enough peers to allocate CID"}
    async with Engine(500, json=refusal).cluster() as cluster:
        with pytest.raises(TemporaryError, match="not enough peers"):
            await cluster.pin(CID, minimum=2, maximum=3)


async def test_the_status_of_a_pin_is_by_peer() -> None:
    answer = {"cid": CID, "peer_map": {"a": {"status": "pinned", "error": ""}, "b": {"status": "remote"}}}
    async with Engine(json=answer).cluster() as cluster:
        assert await cluster.pin_status(CID) == {"a": PINNED, "b": "remote"}
    async with Engine(json={"cid": CID, "peer_map": None}).cluster() as cluster:
        assert await cluster.pin_status(CID) == {}


@pytest.mark.parametrize("answer", [[], "text", 3, {"peer_map": [1]}, {"peer_map": {"a": {}}}])
async def test_a_status_of_another_shape_is_temporary(answer: Any) -> None:
    async with Engine(json=answer).cluster() as cluster:
        with pytest.raises(TemporaryError, match="unexpected"):
            await cluster.pin_status(CID)


async def test_unpinning_what_is_not_pinned_is_harmless() -> None:
    engine = Engine(404, json={"code": 404, "message": "not part of the pinset"})
    async with engine.cluster() as cluster:
        await cluster.unpin(CID)
    assert engine.asked == f"DELETE /pins/{CID}"
    async with Engine(400, json={"code": 400, "message": "invalid cid"}).cluster() as cluster:
        with pytest.raises(PermanentError, match="invalid cid"):
            await cluster.unpin("x")


@pytest.mark.parametrize(
    "lines",
    ['{"name":"ping","peer":"a","value":"v","valid":true}\n', '[{"name":"ping","peer":"a","value":"v","valid":true}]'],
)
async def test_metrics_are_read_as_lines_or_as_a_list(lines: str) -> None:
    async with Engine(text=lines).cluster() as cluster:
        assert await cluster.metrics("ping") == [Metric("ping", "a", "v", True)]
