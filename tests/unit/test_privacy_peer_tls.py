"""The client of another member's manager with mutual TLS: both sides must show what the other's authorities signed."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from muniment.clients.privacy_peer import PeerClient
from muniment.identity.certificates import Authority, new_authority, new_certificate
from muniment.kernel.errors import TemporaryError
from muniment.kernel.tls import CertificateFiles, MutualTls
from tests.support.scripted_http import Seen, answer, scripted

pytestmark = pytest.mark.anyio

NOW = datetime.now(UTC)
ALPHA, BETA, STRANGER = (new_authority(name, NOW) for name in ("alpha", "beta", "stranger"))


def tls(
    folder: Path, member: str, own: Authority, *trusted: Authority, names: tuple[str, ...] = ("127.0.0.1",)
) -> MutualTls:
    folder = folder / member
    folder.mkdir()
    certificate, authorities = folder / "tls.pem", folder / "authorities.pem"
    certificate.write_text(new_certificate(own, member, names, NOW))
    authorities.write_text("".join(each.certificate for each in trusted))
    return MutualTls(CertificateFiles(certificate, certificate, authorities))


async def takes(seen: Seen) -> bytes:
    del seen
    return answer(201)


async def test_members_that_trust_each_other(tmp_path: Path) -> None:
    alpha, beta = tls(tmp_path, "alpha", ALPHA, ALPHA, BETA), tls(tmp_path, "beta", BETA, ALPHA, BETA)
    async with scripted(takes, tls=beta.server) as server, PeerClient(server.url, tls=alpha.client) as client:
        for size in (10, 10, 1 << 20):
            await client.push(b"x" * size)
    assert [len(seen.body) for seen in server.seen] == [10, 10, 1 << 20]
    assert server.connections == 1


async def test_a_manager_of_a_stranger_gets_nothing(tmp_path: Path) -> None:
    alpha, stranger = tls(tmp_path, "alpha", ALPHA, ALPHA, BETA), tls(tmp_path, "stranger", STRANGER, ALPHA, STRANGER)
    async with scripted(takes, tls=stranger.server) as server, PeerClient(server.url, tls=alpha.client) as client:
        with pytest.raises(TemporaryError, match="certificate verify failed"):
            await client.push(b"secret")
    assert server.seen == []


async def test_a_certificate_for_another_place_is_not_taken(tmp_path: Path) -> None:
    alpha = tls(tmp_path, "alpha", ALPHA, ALPHA, BETA)
    beta = tls(tmp_path, "beta", BETA, ALPHA, BETA, names=("10.9.8.7",))
    async with scripted(takes, tls=beta.server) as server, PeerClient(server.url, tls=alpha.client) as client:
        with pytest.raises(TemporaryError, match="certificate verify failed"):
            await client.push(b"secret")
    assert server.seen == []


async def test_who_shows_no_certificate_is_refused(tmp_path: Path) -> None:
    beta = tls(tmp_path, "beta", BETA, ALPHA, BETA)
    bare = ssl.create_default_context(cadata=BETA.certificate)
    async with scripted(takes, tls=beta.server) as server, PeerClient(server.url, tls=bare) as client:
        with pytest.raises(TemporaryError, match="cannot be reached"):
            await client.push(b"secret")
    assert server.seen == []


async def test_a_plain_server_is_not_taken_for_one_with_tls(tmp_path: Path) -> None:
    alpha = tls(tmp_path, "alpha", ALPHA, ALPHA, BETA)
    async with (
        scripted(takes) as server,
        PeerClient(server.url.replace("http:", "https:"), tls=alpha.client) as client,
    ):
        with pytest.raises(TemporaryError):
            await client.push(b"secret")
    assert server.seen == []
