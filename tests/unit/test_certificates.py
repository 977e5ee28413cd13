"""Certificates of managers and nodes: what they say, and that TLS libraries take them at both ends."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from muniment.identity import certificates
from muniment.identity.certificates import Authority

NOW = datetime.now(UTC)
NAMES = ("localhost", "127.0.0.1", "::1", "alpha-privacy-1", "pm.alpha.example")
ALPHA = certificates.new_authority("alpha", NOW)
BETA = certificates.new_authority("beta", NOW)


def certificate(authority: Authority = ALPHA, *, now: datetime = NOW) -> str:
    return certificates.new_certificate(authority, "alpha", NAMES, now)


def context(side: int, tmp_path: Path, own: str, trusted: Authority) -> ssl.SSLContext:
    """One end of a connection on which both sides must show certificates."""
    file = tmp_path / f"{side}.pem"
    file.write_text(own)
    made = ssl.SSLContext(side)
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    made.load_cert_chain(file)
    made.load_verify_locations(cadata=trusted.certificate)
    return made


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> None:
    """A TLS handshake in memory; raises `ssl.SSLError` when one side refuses the other."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    # With TLS 1.3 a client learns that it was refused when it reads.
    with pytest.raises(ssl.SSLWantReadError):
        ends[0].read(1)


def pair(tmp_path: Path, client: str, server: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    return (
        context(ssl.PROTOCOL_TLS_CLIENT, tmp_path, client, ALPHA),
        context(ssl.PROTOCOL_TLS_SERVER, tmp_path, server, ALPHA),
    )


@pytest.mark.parametrize("name", NAMES)
def test_one_certificate_serves_both_ends_under_all_its_names(tmp_path: Path, name: str) -> None:
    client, server = pair(tmp_path, certificate(), certificate())
    shake_hands(client, server, name)


def test_another_name_is_refused(tmp_path: Path) -> None:
    client, server = pair(tmp_path, certificate(), certificate())
    with pytest.raises(ssl.SSLCertVerificationError, match="not valid for 'beta-privacy-1'"):
        shake_hands(client, server, "beta-privacy-1")


def test_another_authority_is_refused_by_both_ends(tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLError):
        shake_hands(*pair(tmp_path, certificate(), certificate(BETA)), "localhost")
    with pytest.raises(ssl.SSLError):
        shake_hands(*pair(tmp_path, certificate(BETA), certificate()), "localhost")


def test_what_a_certificate_says() -> None:
    found = certificates.facts(certificate(), ALPHA.certificate)
    assert found.names == set(NAMES)
    assert timedelta(days=365) < found.ends - NOW < timedelta(days=367)
    certificates.check_authority(ALPHA.certificate)


def test_a_new_one_has_a_new_key() -> None:
    first, second = certificate(), certificate()
    assert first.partition("-----END PRIVATE KEY")[0] != second.partition("-----END PRIVATE KEY")[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (certificate(BETA), "did not sign it"),
        (certificate().partition("-----BEGIN CERT")[0] + "-----BEGIN CERT" + certificate().partition("BEGIN CERT")[2],
         "do not belong together"),
        (ALPHA.secret_key + ALPHA.certificate[:200], "no certificate in PEM"),
        (certificate().partition("-----BEGIN CERT")[0], "no certificate in PEM"),
        ("nothing", "no certificate in PEM"),
        (ALPHA.certificate, "secret key is none in PEM"),
    ],
)  # fmt: skip
def test_what_does_not_belong_together_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        certificates.facts(text, ALPHA.certificate)


def test_a_damaged_authority_makes_nothing() -> None:
    with pytest.raises(ValueError, match="do not belong together"):
        certificate(Authority(ALPHA.certificate, BETA.secret_key))
    with pytest.raises(ValueError, match="not the certificate of an authority"):
        certificates.check_authority("-----BEGIN CERT" + certificate().partition("-----BEGIN CERT")[2])
