"""Mutual TLS from files: who is let in, and what happens when the files change."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from muniment.kernel.errors import InputError
from muniment.kernel.tls import CertificateFiles, MutualTls

pytestmark = pytest.mark.anyio

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def put(folder: Path, authority: trustme.CA, *trusted: trustme.CA) -> CertificateFiles:
    """A certificate by `authority`, and the authorities to be trusted, in the place of what was there."""
    certificate, authorities = folder / "certificate.pem", folder / "authorities.pem"
    issued = authority.issue_cert("127.0.0.1")
    fresh = folder / "fresh.pem"
    fresh.write_bytes(issued.private_key_pem.bytes() + b"".join(each.bytes() for each in issued.cert_chain_pems))
    fresh.rename(certificate)
    fresh.write_bytes(b"".join(each.cert_pem.bytes() for each in trusted))
    fresh.rename(authorities)
    return CertificateFiles(certificate, certificate, authorities)


def client(trusts: trustme.CA, shows: trustme.CA | None, version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusts.configure_trust(context)
    context.maximum_version = version
    if shows:
        shows.issue_cert("node.example").configure_cert(context)
    return context


@asynccontextmanager
async def listening(tls: MutualTls) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(1))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls.server)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def is_let_in(port: int, context: ssl.SSLContext, name: str = "127.0.0.1") -> bool:
    """Whether a byte comes back."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    except (ConnectionError, ssl.SSLError):
        return False
    try:
        writer.write(b"x")
        return await reader.read(1) == b"x"
    except (ConnectionError, ssl.SSLError):
        return False
    finally:
        writer.transport.abort()


@pytest.mark.parametrize("version", VERSIONS)
async def test_only_who_shows_a_certificate_of_a_trusted_authority_is_let_in(
    tmp_path: Path, version: ssl.TLSVersion
) -> None:
    ours, foreign = trustme.CA(), trustme.CA()
    async with listening(MutualTls(put(tmp_path, ours, ours))) as port:
        assert await is_let_in(port, client(ours, ours, version))
        assert not await is_let_in(port, client(ours, None, version))
        assert not await is_let_in(port, client(ours, foreign, version))
        assert not await is_let_in(port, client(foreign, ours, version))


async def test_old_versions_of_the_protocol_are_refused(tmp_path: Path) -> None:
    ours = trustme.CA()
    tls = MutualTls(put(tmp_path, ours, ours))
    for context in (tls.server, tls.client):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
        assert context.verify_mode == ssl.CERT_REQUIRED
    assert tls.client.check_hostname


@pytest.mark.parametrize("version", VERSIONS)
async def test_new_files_count_for_connections_made_afterwards(tmp_path: Path, version: ssl.TLSVersion) -> None:
    old, new = trustme.CA(), trustme.CA()
    tls = MutualTls(put(tmp_path, old, old))
    before = tls.client
    async with listening(tls) as port:
        known = client(old, old, version)
        assert await is_let_in(port, known)
        assert not tls.refresh()
        put(tmp_path, new, new)
        assert tls.refresh()
        assert not tls.refresh()
        assert tls.client is not before
        assert await is_let_in(port, client(new, new, version))
        # Who was signed by the authority that is gone has no way in, although it trusts the new one.
        assert not await is_let_in(port, client(new, old, version))
        assert not await is_let_in(port, known)


async def test_two_authorities_are_trusted_while_members_change_over(tmp_path: Path) -> None:
    old, new = trustme.CA(), trustme.CA()
    tls = MutualTls(put(tmp_path, old, old))
    async with listening(tls) as port:
        put(tmp_path, new, old, new)
        assert tls.refresh()
        for shown in (old, new):
            assert await is_let_in(port, client(new, shown, ssl.TLSVersion.TLSv1_3))


async def test_a_client_that_gives_no_server_name_gets_the_new_certificate_too(tmp_path: Path) -> None:
    old, new = trustme.CA(), trustme.CA()
    tls = MutualTls(put(tmp_path, old, old))
    async with listening(tls) as port:
        put(tmp_path, new, new)
        assert tls.refresh()
        context = client(new, new, ssl.TLSVersion.TLSv1_3)
        context.check_hostname = False
        assert await is_let_in(port, context, name="")


def rubbish(folder: Path, name: str) -> None:
    (folder / name).write_text("rubbish")


def nothing(folder: Path, name: str) -> None:
    (folder / name).unlink()


@pytest.mark.parametrize("spoil", [rubbish, nothing])
@pytest.mark.parametrize("name", ["certificate.pem", "authorities.pem"])
async def test_files_that_cannot_be_used_leave_the_old_ones_in_use(tmp_path: Path, name: str, spoil: object) -> None:
    ours, new = trustme.CA(), trustme.CA()
    tls = MutualTls(put(tmp_path, ours, ours))
    async with listening(tls) as port:
        assert callable(spoil)
        spoil(tmp_path, name)
        for _ in range(2):
            with pytest.raises(InputError, match="cannot be"):
                tls.refresh()
        assert await is_let_in(port, client(ours, ours, ssl.TLSVersion.TLSv1_3))
        put(tmp_path, new, new)
        assert tls.refresh()
        assert await is_let_in(port, client(new, new, ssl.TLSVersion.TLSv1_3))


async def test_files_that_cannot_be_used_at_the_start_are_told(tmp_path: Path) -> None:
    ours = trustme.CA()
    files = put(tmp_path, ours, ours)
    other = trustme.CA().issue_cert("127.0.0.1")
    other.private_key_pem.write_to_path(str(tmp_path / "other.key"))
    for wrong in (
        CertificateFiles(files.certificate, tmp_path / "other.key", files.authorities),
        CertificateFiles(files.certificate, files.key, tmp_path / "none.pem"),
    ):
        with pytest.raises(InputError):
            MutualTls(wrong)


async def test_a_file_that_was_changed_in_place_within_the_same_size_is_seen(tmp_path: Path) -> None:
    ours, new = trustme.CA(), trustme.CA()
    files = put(tmp_path, ours, ours)
    tls = MutualTls(files)
    content = files.authorities.read_bytes()
    files.authorities.write_bytes(content)
    os.utime(files.authorities, ns=(1, 1))
    assert tls.refresh()
    put(tmp_path, new, ours)
    assert tls.refresh()
