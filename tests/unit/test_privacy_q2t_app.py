"""The node's interface: what GoQuorum asks, in the form in which it asks, and what it must never be told."""

from __future__ import annotations

import asyncio
import json
import os
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest

from muniment.privacy import q2t_app
from muniment.privacy.asgi import App
from muniment.privacy.metrics import Metrics
from muniment.privacy.q2t_app import Q2tApp
from muniment.privacy.readiness import Readiness
from muniment.privacy.settings import ResidentGroup
from tests.support.asgi import Answer, Headers, call
from tests.support.privacy_network import Member, Network

pytestmark = pytest.mark.anyio

EXEC_HASH = "A" * 43 + "="


def b64(data: bytes) -> str:
    return b64encode(data).decode()


def in_path(payload_hash: str) -> bytes:
    """As Go's url.PathEscape writes it."""
    return payload_hash.replace("/", "%2F").encode()


class Node:
    """A member's node, that asks its manager."""

    def __init__(self, member: Member, folder: Path, groups: tuple[ResidentGroup, ...] = ()) -> None:
        self.member = member
        self.readiness = Readiness(member.store, member.enclave.keys, folder / member.name)
        self.app: App = Q2tApp(
            member.sender,
            member.receiver,
            self.readiness,
            Metrics(),
            keys=member.enclave.keys,
            groups=groups,
            hold=0.2,
            version="1.2.3",
        ).app(1 << 20)

    async def get(self, target: bytes, headers: Headers = ()) -> Answer:
        return await call(self.app, "GET", target, headers=headers)

    async def post(self, target: bytes, document: Any, headers: Headers = ()) -> Answer:
        return await call(self.app, "POST", target, [json.dumps(document).encode()], headers)

    async def look_up(self, payload_hash: str, query: bytes = b"?isRaw=false") -> Answer:
        return await self.get(b"/transaction/" + in_path(payload_hash) + query)

    async def send(self, payload: bytes, **more: Any) -> str:
        answer = await self.post(b"/send", {"payload": b64(payload), **more})
        assert answer.status == 201, answer
        return str(answer.json()["key"])


@pytest.fixture
def network() -> Network:
    return Network("alpha", "beta", "gamma")


@pytest.fixture
async def nodes(network: Network, tmp_path: Path) -> dict[str, Node]:
    found = {name: Node(network[name], tmp_path) for name in network.members}
    for node in found.values():
        await node.readiness.open()
    return found


async def test_a_node_finds_what_it_needs_at_its_start(nodes: dict[str, Node]) -> None:
    node = nodes["alpha"]
    assert (await node.get(b"/upcheck")).body == b"I'm up!"
    for path in (b"/version", b"/version/distribution"):
        assert (await node.get(path)).body == b"1.2.3"
    assert (await node.get(b"/version/api")).json() == ["1.0", "2.0", "2.1", "3.0", "4.0"]
    assert (await node.get(b"/keys")).json() == {"keys": [{"key": b64(node.member.key)}]}
    assert b"muniment_privacy_requests_total" in (await node.get(b"/metrics")).body
    assert (await node.get(b"/groups/resident")).status == 503


async def test_what_is_sent_is_read_by_its_parties_and_404_elsewhere(nodes: dict[str, Node]) -> None:
    alpha, beta, gamma = nodes["alpha"], nodes["beta"], nodes["gamma"]
    answer = await alpha.post(b"/send", {"payload": b64(b"hello"), "to": [b64(beta.member.key)], "unknown": [{}]})
    sent = answer.json()
    assert sent == {"key": sent["key"], "managedParties": [b64(alpha.member.key)], "senderKey": b64(alpha.member.key)}
    assert len(b64decode(sent["key"])) == 64
    place = sent["key"].replace("/", "%2F").replace("+", "%2B").replace("=", "%3D")
    assert answer.headers[b"location"].decode() == f"transaction/{place}"
    for node in (alpha, beta):
        read = await node.look_up(sent["key"])
        assert (read.status, read.json()) == (
            200,
            {
                "payload": b64(b"hello"),
                "affectedContractTransactions": [],
                "execHash": "",
                "privacyFlag": 0,
                "managedParties": [b64(node.member.key)],
                "senderKey": b64(alpha.member.key),
            },
        )
    assert (await gamma.look_up(sent["key"])).status == 404


async def test_texts_have_no_newline(nodes: dict[str, Node]) -> None:
    alpha, beta = nodes["alpha"], nodes["beta"]
    keys = [b64(beta.member.key), b64(alpha.member.key)]
    path = b"/transaction/" + in_path(await alpha.send(b"x", to=keys[:1]))
    assert (await alpha.get(path + b"/isSender")).body == b"true"
    assert (await beta.get(path + b"/isSender")).body == b"false"
    assert (await alpha.get(path + b"/participants")).body.decode() == ",".join(keys)
    assert (await alpha.get(path + b"/mandatory")).status == 400


async def test_mandatory_recipients_are_told(nodes: dict[str, Node]) -> None:
    alpha, beta = nodes["alpha"], nodes["beta"]
    key = b64(beta.member.key)
    sent = await alpha.send(b"x", to=[key], privacyFlag=2, mandatoryRecipients=[key])
    assert (await beta.get(b"/transaction/" + in_path(sent) + b"/mandatory")).body.decode() == key


async def test_what_validates_the_private_state_gives_its_exec_hash_back(nodes: dict[str, Node]) -> None:
    alpha, beta = nodes["alpha"], nodes["beta"]
    to = [b64(beta.member.key)]
    first = await alpha.send(b"x", to=to, privacyFlag=3, execHash=EXEC_HASH)
    second = await alpha.send(
        b"y", to=to, privacyFlag=3, execHash=EXEC_HASH, affectedContractTransactions=[first], mandatoryRecipients=None
    )
    read = (await beta.look_up(second)).json()
    assert (read["privacyFlag"], read["execHash"], read["affectedContractTransactions"]) == (3, EXEC_HASH, [first])
    assert (await alpha.post(b"/send", {"payload": b64(b"z"), "to": to, "privacyFlag": 3})).status == 403


async def test_a_transaction_that_is_signed_outside(nodes: dict[str, Node]) -> None:
    alpha, beta = nodes["alpha"], nodes["beta"]
    stored = await alpha.post(b"/storeraw", {"payload": b64(b"raw")})
    assert (stored.status, set(stored.json())) == (200, {"key"})
    key = stored.json()["key"]
    raw = await alpha.look_up(key, b"?isRaw=true")
    assert (raw.json()["payload"], raw.json()["managedParties"]) == (b64(b"raw"), [b64(alpha.member.key)])
    assert (await alpha.look_up(key)).status == 404
    for _ in range(2):
        sent = await alpha.post(b"/sendsignedtx", {"hash": key, "to": [b64(beta.member.key)], "privacyFlag": 0})
        assert (sent.status, sent.json()["key"]) == (201, key)
    assert (await beta.look_up(key)).json()["payload"] == b64(b"raw")
    assert (await beta.look_up(key, b"?isRaw=true")).status == 404


async def test_a_transaction_that_is_signed_outside_before_version_2(nodes: dict[str, Node]) -> None:
    alpha, beta = nodes["alpha"], nodes["beta"]
    key = (await alpha.post(b"/storeraw", {"payload": b64(b"raw"), "from": b64(alpha.member.key)})).json()["key"]
    kind = (b"content-type", b"application/octet-stream")
    headers = [kind, (b"c11n-to", b64(beta.member.key).encode() + b", " + b64(alpha.member.key).encode())]
    sent = await call(alpha.app, "POST", b"/sendsignedtx", [b64decode(key)], headers)
    assert (sent.status, sent.body.decode()) == (200, key)
    assert (await beta.look_up(key)).status == 200
    assert (await call(alpha.app, "POST", b"/sendsignedtx", [b"short"], headers)).status == 400
    assert (await call(alpha.app, "POST", b"/sendsignedtx", [b64decode(key)], [kind, (b"c11n-to", b"%")])).status == 400


async def test_an_encoded_payload_comes_back_with_the_six_fields_that_a_node_keeps(nodes: dict[str, Node]) -> None:
    alpha, beta = nodes["alpha"], nodes["beta"]
    made = (await alpha.post(b"/encodedpayload/create", {"payload": b64(b"uuid"), "to": [b64(beta.member.key)]})).json()
    kept = ("senderKey", "cipherText", "cipherTextNonce", "recipientBoxes", "recipientNonce", "recipientKeys")
    answer = await beta.post(b"/encodedpayload/decrypt", {name: made[name] for name in kept})
    assert (answer.status, answer.json()["payload"], answer.json()["privacyFlag"]) == (200, b64(b"uuid"), 0)
    assert (await nodes["gamma"].post(b"/encodedpayload/decrypt", {name: made[name] for name in kept})).status == 500


async def test_what_is_deleted_is_gone(nodes: dict[str, Node]) -> None:
    node = nodes["alpha"]
    first, second = await node.send(b"x"), await node.send(b"y")
    answer = await call(node.app, "DELETE", b"/transaction/" + in_path(first))
    assert (answer.status, answer.body) == (204, b"")
    assert (await node.post(b"/delete", {"key": second})).status == 200
    for payload_hash in (first, second):
        assert (await node.look_up(payload_hash)).status == 404
        assert (await node.post(b"/delete", {"key": payload_hash})).status == 404


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (b"application/vnd.tessera-4.0+json", b"application/vnd.tessera-4.0+json"),
        (b"application/json", b"application/json"),
        (b"text/html\r\nx: y", b"application/json"),
        (b"application/vnd.tessera-" + b"1" * 9 + b"+json", b"application/json"),
    ],
)
async def test_an_answer_has_the_kind_that_was_asked_for_if_it_is_json(
    nodes: dict[str, Node], asked: bytes, given: bytes
) -> None:
    answer = await nodes["alpha"].post(b"/send", {"payload": b64(b"x")}, [(b"accept", asked)])
    assert answer.headers[b"content-type"] == given


HASH = b64encode(b"\xff" * 64)
ESCAPED = HASH.replace(b"/", b"%2F")


@pytest.mark.parametrize(
    "segment",
    [
        b"x", b"%2F", ESCAPED[:-1], ESCAPED + b"=", HASH.replace(b"/", b"%252F"), ESCAPED.replace(b"=", b" "),
        b64encode(bytes(63)), b64encode(bytes(65)), b64encode(bytes(64)).replace(b"A", b"%2", 1), b"%00" * 88,
        b"-" * 88, b64encode(b"\xfb\xef\xbe" * 21 + b"a").replace(b"+", b"%20"), HASH.replace(b"/", b"_"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("rest", [b"", b"/isSender", b"/participants", b"/mandatory"])
async def test_a_malformed_hash_is_400_and_never_404(nodes: dict[str, Node], segment: bytes, rest: bytes) -> None:
    assert (await nodes["alpha"].get(b"/transaction/" + segment + rest)).status == 400


@pytest.mark.parametrize("segment", [ESCAPED, ESCAPED.lower().replace(b"w==", b"w%3D%3D")])
async def test_a_hash_of_slashes_is_one_segment(nodes: dict[str, Node], segment: bytes) -> None:
    assert (await nodes["alpha"].get(b"/transaction/" + segment + b"?isRaw=false")).status == 404
    assert (await nodes["alpha"].get(b"/transaction/" + HASH)).status == 421


@pytest.mark.parametrize("path", [b"", b"/isSender", b"/participants", b"/mandatory", b"?isRaw=true"])
async def test_with_the_database_away_nothing_is_404(nodes: dict[str, Node], path: bytes) -> None:
    node = nodes["alpha"]
    target = b"/transaction/" + in_path(b64(os.urandom(64))) + path
    assert (await node.get(target)).status == 404
    node.member.store.away = True
    assert (await node.get(target)).status == 503
    assert (await node.post(b"/send", {"payload": b64(b"x")})).status == 503
    assert (await node.post(b"/storeraw", {"payload": b64(b"x")})).status == 503


async def test_nothing_is_served_before_the_database_is_open(network: Network, tmp_path: Path) -> None:
    node = Node(network["alpha"], tmp_path)
    assert (await node.look_up(b64(os.urandom(64)))).status == 503
    assert ((await node.get(b"/upcheck")).status, (await node.get(b"/version")).status) == (503, 200)
    asked = asyncio.create_task(node.look_up(b64(os.urandom(64))))
    await node.readiness.open()
    assert (await asked).status == 404


async def test_a_payload_that_is_kept_and_that_no_key_opens_is_500(nodes: dict[str, Node]) -> None:
    alpha, beta = nodes["alpha"], nodes["beta"]
    sent = await beta.send(b"x")
    alpha.member.store.kept.update(beta.member.store.kept)
    assert (await alpha.look_up(sent)).status == 500
    other = b64(beta.member.key).encode()
    own = await alpha.send(b"y")
    assert (await alpha.look_up(own, b"?to=" + other)).status == 500
    assert (await alpha.look_up(own, b"?to=" + b64(alpha.member.key).encode())).status == 200
    assert (await alpha.look_up(own, b"?to=rubbish")).status == 400


async def test_unknown_keys_and_peers_that_are_away_have_tesseras_statuses(
    nodes: dict[str, Node], network: Network
) -> None:
    alpha, beta = nodes["alpha"], nodes["beta"]
    body = {"payload": b64(b"x"), "to": [b64(bytes(32))]}
    assert (await alpha.post(b"/send", body)).status == 404
    assert (await alpha.post(b"/send", {"payload": b64(b"x"), "from": b64(beta.member.key)})).status == 404
    network.away.add("beta")
    assert (await alpha.post(b"/send", {**body, "to": [b64(beta.member.key)]})).status == 410
    assert alpha.member.store.kept == {}


@pytest.mark.parametrize(
    ("path", "document"),
    [
        (b"/send", {}), (b"/send", {"payload": ""}), (b"/send", {"payload": 1}), (b"/send", {"payload": "%"}),
        (b"/send", {"payload": "eA==", "to": "eA=="}), (b"/send", {"payload": "eA==", "to": ["eA=="]}),
        (b"/send", {"payload": "eA==", "privacyFlag": "0"}), (b"/send", {"payload": "eA==", "privacyFlag": 4}),
        (b"/send", {"payload": "eA==", "privacyFlag": True}), (b"/send", {"payload": "eA==", "execHash": "é"}),
        (b"/send", {"payload": "eA==", "to": [""] * 4097}), (b"/storeraw", {}), (b"/sendsignedtx", {}),
        (b"/sendsignedtx", {"hash": "eA=="}), (b"/encodedpayload/decrypt", {}), (b"/delete", {}), (b"/send", []),
    ],
)  # fmt: skip
async def test_what_is_malformed_is_400(nodes: dict[str, Node], path: bytes, document: Any) -> None:
    assert (await nodes["alpha"].post(path, document)).status == 400


async def test_too_many_sends_are_refused_and_look_ups_go_on(
    nodes: dict[str, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(q2t_app, "MOST_SENDS", 1)
    node = nodes["alpha"]
    stuck = asyncio.Event()
    sending = asyncio.create_task(call(node.app, "POST", b"/send", [b"{"], stuck=stuck))
    await stuck.wait()
    assert (await node.post(b"/storeraw", {"payload": b64(b"x")})).status == 503
    assert (await node.look_up(b64(os.urandom(64)))).status == 404
    sending.cancel()
    await asyncio.wait([sending])
    assert (await node.post(b"/storeraw", {"payload": b64(b"x")})).status == 200


async def test_resident_groups_are_told_as_tessera_does(network: Network, tmp_path: Path) -> None:
    alpha = network["alpha"]
    name = b64(b"private")
    group = ResidentGroup(name="private", id=name, description="first", members=(b64(alpha.key),))  # type: ignore[arg-type]
    assert (await Node(alpha, tmp_path, (group,)).get(b"/groups/resident")).json() == [
        {
            "type": "RESIDENT",
            "name": "private",
            "privacyGroupId": name,
            "description": "first",
            "members": [b64(alpha.key)],
        }
    ]
