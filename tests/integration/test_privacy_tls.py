"""Mutual TLS between nodes, managers and members: strict, and renewed while everything runs."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.support.consortium import Consortium
from tests.support.ports import port_block
from tests.support.private import FIRST_VALUE, Private, private_specification
from tests.support.waiting import wait_until

pytestmark = pytest.mark.engines


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Private]:
    with port_block() as base:
        specification = private_specification(base)
        specification["privacy"] = {"tls": "strict"}
        consortium = Consortium(tmp_path, specification)
        try:
            consortium.up()
            yield Private(consortium)
        finally:
            consortium.remove()


def shown(place: tuple[str, int], context: ssl.SSLContext) -> bytes:
    """The certificate that a manager shows, after it has answered a request of ours."""
    with socket.create_connection(place, 10) as plain, context.wrap_socket(plain, server_hostname="127.0.0.1") as tls:
        tls.sendall(b"GET /upcheck HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert tls.recv(12) == b"HTTP/1.1 200"
        certificate = tls.getpeercert(binary_form=True)
        assert certificate is not None
        return certificate


def context_of(authority: Path, certificate: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority))
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


def test_private_transactions_over_mutual_tls_and_certificates_renewed_without_a_restart(
    strict: Private, tmp_path: Path
) -> None:
    consortium = strict.consortium
    contract = strict.create(strict.url("alpha-1"), strict.parties("beta"))
    wait_until("the contract at beta", lambda: strict.value("beta-1", contract) == FIRST_VALUE, timeout=30)

    endpoint = consortium.endpoint("alpha-privacy-1", "q2t").removeprefix("https://")
    place = endpoint.partition(":")[0], int(endpoint.partition(":")[2])
    keys = consortium.state / "identity" / "alpha" / "privacy" / "tls"
    ours = context_of(keys / "authority.pem", keys / "certificate.pem")
    before = shown(place, ours)

    # Nobody comes in without a certificate, or with that of another authority.
    stranger = trustme.CA().issue_cert("127.0.0.1")
    stranger.private_key_and_cert_chain_pem.write_to_path(tmp_path / "stranger.pem")
    for certificate in (None, tmp_path / "stranger.pem"):
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            shown(place, context_of(keys / "authority.pem", certificate))
    # Nor does a manager of another member at the node's port: its authority counts between members only.
    other = consortium.state / "identity" / "beta" / "privacy" / "tls" / "certificate.pem"
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        shown(place, context_of(keys / "authority.pem", other))

    processes = {w["name"]: w["pid"] for w in consortium.status()["workloads"]}
    consortium.run("privacy", "renew", consortium.spec_file, "--state", consortium.state)
    wait_until(
        "the new certificate",
        lambda: shown(place, context_of(keys / "authority.pem", keys / "certificate.pem")) != before,
        timeout=30,
    )
    contract = strict.create(strict.url("alpha-2"), strict.parties("beta"))
    wait_until("the contract at beta", lambda: strict.value("beta-1", contract) == FIRST_VALUE, timeout=30)
    assert {w["name"]: w["pid"] for w in consortium.status()["workloads"]} == processes
