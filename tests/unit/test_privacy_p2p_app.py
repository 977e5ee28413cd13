"""The interface for other members' managers: what is taken, what is given, and what is refused."""

from __future__ import annotations

import json
import os
import uuid
from base64 import b64encode
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from muniment.clients.privacy_peer import PeerClient
from muniment.privacy.discovery import Discovery
from muniment.privacy.envelope import decode, encode, for_recipient
from muniment.privacy.metrics import Metrics
from muniment.privacy.p2p_app import P2pApp
from muniment.privacy.party_info import PartyInfo
from muniment.privacy.party_info import encode as encode_party_info
from muniment.privacy.peers import StoredPeers
from muniment.privacy.readiness import Readiness
from muniment.privacy.recovering import Recovery
from muniment.privacy.values import Payload, PrivacyFlag, SendRequest
from tests.support.asgi import Answer, Headers, call
from tests.support.privacy_network import Member, Network

pytestmark = pytest.mark.anyio

VERSIONS = [(b"tesserasupportedapiversions", b"v1,v2"), (b"tesserasupportedapiversions", b"4.0")]
URL = "http://alpha/"


def b64(data: bytes) -> str:
    return b64encode(data).decode()


class Manager:
    """A member's manager as others see it."""

    def __init__(self, member: Member, folder: Path) -> None:
        self.member = member
        peers = StoredPeers(member.store, lambda url: PeerClient(url))
        self.readiness = Readiness(member.store, member.enclave.keys, folder)
        self.discovery = Discovery(
            member.enclave, member.store, peers, url=URL, configured=(), everybody=True, validates=False
        )
        self.app = P2pApp(
            member.receiver,
            member.resender,
            Recovery(member.enclave, member.store, peers, member.receiver),
            self.discovery,
            member.store,
            self.readiness,
            Metrics(),
            version="1.2.3",
        ).app(1 << 20)

    async def get(self, path: bytes) -> Answer:
        return await call(self.app, "GET", path)

    async def post(self, path: bytes, body: bytes | dict[str, Any], headers: Headers = ()) -> Answer:
        content = json.dumps(body).encode() if isinstance(body, dict) else body
        return await call(self.app, "POST", path, [content], headers)


@pytest.fixture
def network() -> Network:
    return Network("alpha", "beta", "gamma")


@pytest.fixture
async def alpha(network: Network, tmp_path: Path) -> Manager:
    manager = Manager(network["alpha"], tmp_path)
    await manager.readiness.open()
    return manager


def pushed(network: Network, flag: PrivacyFlag = PrivacyFlag.STANDARD, **more: Any) -> Payload:
    """What beta pushes to alpha."""
    beta, to = network["beta"], network["alpha"].key
    sealed = beta.enclave.seal(os.urandom(9), beta.key, (to, beta.key), flag=flag, **more)
    return for_recipient(sealed, to)


async def test_it_tells_what_it_is(alpha: Manager) -> None:
    assert (await alpha.get(b"/upcheck")).body == b"I'm up!"
    assert (await alpha.get(b"/version")).body == b"1.2.3"
    assert (await alpha.get(b"/version/api")).json() == ["1.0", "2.0", "2.1", "3.0", "4.0"]
    alpha.readiness.stopping = True
    assert (await alpha.get(b"/upcheck")).status == 503


@pytest.mark.parametrize(
    "path", [b"/send", b"/storeraw", b"/keys", b"/metrics", b"/delete", b"/transaction/" + b64encode(bytes(64))]
)
async def test_nothing_of_the_nodes_interface_is_here(alpha: Manager, path: bytes) -> None:
    for method in ("GET", "POST", "DELETE"):
        assert (await call(alpha.app, method, path)).status == 421


async def test_a_push_is_kept_once_however_often_it_comes(alpha: Manager, network: Network) -> None:
    payload = pushed(network)
    for _ in range(2):
        answer = await alpha.post(b"/push", encode(payload))
        assert (answer.status, answer.body.decode()) == (201, b64(payload.hash))
    assert list(alpha.member.store.kept) == [payload.hash]


async def test_what_no_key_opens_and_what_is_no_payload_is_400_and_not_kept(alpha: Manager, network: Network) -> None:
    payload = pushed(network)
    for body in (
        b"",
        b"rubbish",
        encode(payload)[:-1],
        encode(replace(payload, boxes=(bytes(48),))),
        encode(replace(payload, ciphertext=payload.ciphertext[:-1] + b"\0")),
    ):
        assert (await alpha.post(b"/push", body)).status == 400
    assert alpha.member.store.kept == {}


async def test_a_push_is_not_acknowledged_while_the_database_is_away(alpha: Manager, network: Network) -> None:
    payload = pushed(network)
    alpha.member.store.away = True
    assert (await alpha.post(b"/push", encode(payload))).status == 503
    alpha.member.store.away = False
    assert alpha.member.store.kept == {}
    assert (await alpha.post(b"/push", encode(payload))).status == 201


async def test_a_member_that_recovers_stages_what_comes_one_by_one(alpha: Manager, network: Network) -> None:
    store = alpha.member.store
    plain, bound = pushed(network), pushed(network, PrivacyFlag.PARTY_PROTECTION)
    batch = {"encodedPayloads": [b64(encode(bound))]}
    assert (await alpha.post(b"/pushBatch", batch)).status == 403
    await store.set_recovering(True)
    alpha.readiness.recovering = True
    assert (await alpha.post(b"/push", encode(plain))).status == 201
    # It may come before what it affects: only in batches.
    assert (await alpha.post(b"/push", encode(bound))).status == 403
    assert (await alpha.post(b"/pushBatch", batch)).status == 200
    assert (set(store.stages), store.kept) == ({plain.hash, bound.hash}, {})
    # The recovery has ended, which this manager has not noticed yet.
    await store.set_recovering(False)
    assert (await alpha.post(b"/push", encode(plain))).status == 201
    assert set(store.kept) == {plain.hash}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"encodedPayloads": "eA=="},
        {"encodedPayloads": [1]},
        {"encodedPayloads": ["%"]},
        {"encodedPayloads": ["eA=="]},
    ],
)
async def test_a_malformed_batch_is_400(alpha: Manager, body: dict[str, Any]) -> None:
    await alpha.member.store.set_recovering(True)
    assert (await alpha.post(b"/pushBatch", body)).status == 400


async def test_who_announces_itself_is_known_with_its_versions(alpha: Manager, network: Network) -> None:
    beta = network["beta"].key
    said = encode_party_info(PartyInfo("http://beta/", ((beta, "http://beta/"),), ()))
    assert (await alpha.post(b"/partyinfo", said, VERSIONS)).status == 200
    owner = await alpha.member.store.owner(beta)
    assert owner is not None
    assert (owner.url, owner.versions) == ("http://beta/", {"v1", "v2", "4.0"})
    told = (await alpha.get(b"/partyinfo")).json()
    assert told["url"] == URL
    assert {"key": b64(beta), "url": "http://beta/"} in told["keys"]
    assert {"key": b64(alpha.member.key), "url": URL} in told["keys"]
    assert (await alpha.post(b"/partyinfo", said[:-1], VERSIONS)).status == 400


async def test_a_challenge_is_answered_if_it_is_a_uuid_and_nothing_else(alpha: Manager, network: Network) -> None:
    beta = network["beta"]
    text = str(uuid.uuid4())
    challenge = beta.enclave.seal_challenge(text, alpha.member.key)
    answer = await alpha.post(b"/partyinfo/validate", encode(challenge))
    assert (answer.status, answer.body.decode()) == (200, text)
    for other in (
        beta.enclave.seal_challenge("x" * 36, alpha.member.key),
        beta.enclave.seal_challenge(text, network["gamma"].key),
        pushed(network),
    ):
        assert (await alpha.post(b"/partyinfo/validate", encode(other))).status == 400


@pytest.mark.parametrize("kind", ["INDIVIDUAL", "individual"])
async def test_a_payload_is_given_back_to_its_party(alpha: Manager, network: Network, kind: str) -> None:
    beta, gamma = network["beta"], network["gamma"]
    sent = await alpha.member.sender.send(SendRequest(b"x", recipients=(beta.key,)))
    question = {"type": kind, "publicKey": b64(beta.key), "key": b64(sent.hash)}
    answer = await alpha.post(b"/resend", question)
    assert (answer.status, decode(answer.body)) == (200, beta.store.kept[sent.hash])
    assert (await alpha.post(b"/resend", {**question, "publicKey": b64(gamma.key)})).status == 404
    assert (await alpha.post(b"/resend", {**question, "key": b64(bytes(64))})).status == 404


async def test_everything_is_pushed_to_who_asks_for_all(alpha: Manager, network: Network) -> None:
    beta = network["beta"]
    await beta.store.set_recovering(True)
    hashes = {(await alpha.member.sender.send(SendRequest(b"x", recipients=(beta.key,)))).hash for _ in range(3)}
    beta.store.kept.clear()
    answer = await alpha.post(b"/resend", {"type": "ALL", "publicKey": b64(beta.key)})
    assert (answer.status, answer.body, set(beta.store.kept)) == (200, b"", hashes)


async def test_everything_comes_in_batches_to_who_asks_for_them(alpha: Manager, network: Network) -> None:
    beta = network["beta"]
    await beta.store.set_recovering(True)
    hashes = {(await alpha.member.sender.send(SendRequest(b"x", recipients=(beta.key,)))).hash for _ in range(3)}
    answer = await alpha.post(b"/resendBatch", {"publicKey": b64(beta.key), "batchSize": 2})
    assert (answer.status, answer.json(), set(beta.store.stages)) == (200, {"total": 3}, hashes)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (b"/resend", {}),
        (b"/resend", {"type": 1, "publicKey": b64(bytes(32))}),
        (b"/resend", {"type": "SOME", "publicKey": b64(bytes(32))}),
        (b"/resend", {"type": "INDIVIDUAL", "publicKey": b64(bytes(32)), "key": "eA=="}),
        (b"/resendBatch", {"publicKey": b64(bytes(32)), "batchSize": "2"}),
        (b"/resendBatch", {"publicKey": b64(bytes(32)), "batchSize": True}),
        (b"/resendBatch", {"batchSize": 2}),
    ],
)
async def test_a_malformed_request_to_resend_is_400(alpha: Manager, path: bytes, body: dict[str, Any]) -> None:
    assert (await alpha.post(path, body)).status == 400
