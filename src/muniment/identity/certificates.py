"""TLS certificates of a member's privacy managers and nodes, and the authority that signs them.

Pure but for the randomness of new keys: the time is an argument. Keys are on P-256, which every TLS library takes. A
certificate serves both ends of a connection (RFC 5280, section 4.2.1.12): managers are servers to nodes and to one
another, and clients too. It and its secret key are one text, so that a renewal replaces both at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFE = timedelta(days=3653)
CERTIFICATE_LIFE = timedelta(days=366)
CLOCK_DIFFERENCE = timedelta(hours=1)
"""A certificate is good from so long before it was made: clocks of two machines differ."""


@dataclass(frozen=True)
class Authority:
    """A certificate authority as PEM texts."""

    certificate: str
    secret_key: str


@dataclass(frozen=True)
class Facts:
    """What a certificate says."""

    names: frozenset[str]
    """Host names and addresses that it stands for."""
    ends: datetime


def new_authority(member: str, now: datetime) -> Authority:
    """A fresh authority of this member, good for ten years."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"muniment {member} authority")
    certificate = (
        _builder(name, name, key.public_key(), now, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(_pem(certificate), _key_pem(key))


def new_certificate(authority: Authority, member: str, names: Sequence[str], now: datetime) -> str:
    """A fresh secret key and its certificate for these host names and addresses, good for a year, as one PEM text.

    Raises `ValueError` when the authority is damaged, or its two halves do not belong together.
    """
    issuer, issuer_key = _pair(authority.certificate, authority.secret_key)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(_name(f"muniment {member}"), issuer.subject, key.public_key(), now, CERTIFICATE_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return _key_pem(key) + _pem(certificate)


def facts(certificate: str, authority: str) -> Facts:
    """What a text of `new_certificate` says; raises `ValueError` when it is damaged, when its key is another's, or when
    `authority` (its certificate) did not sign it."""
    loaded, _ = _pair(certificate, certificate)
    try:
        loaded.verify_directly_issued_by(_certificate(authority))
    except (InvalidSignature, ValueError, TypeError) as error:
        raise ValueError("its authority did not sign it") from error
    return Facts(_names(loaded), loaded.not_valid_after_utc)


def check_authority(certificate: str) -> None:
    """Raises `ValueError` unless this is the certificate of an authority."""
    try:
        constraints = _certificate(certificate).extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound as error:
        raise ValueError("it is not the certificate of an authority") from error
    if not constraints.ca:
        raise ValueError("it is not the certificate of an authority")


def _pair(certificate: str, secret_key: str) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    loaded = _certificate(certificate)
    try:
        key = serialization.load_pem_private_key(secret_key.encode(), None)
    except (ValueError, TypeError) as error:
        raise ValueError("its secret key is none in PEM without a password") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != loaded.public_key():
        raise ValueError("its secret key and its certificate do not belong together")
    return loaded, key


def _certificate(text: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(text.encode())
    except ValueError as error:
        raise ValueError("it is no certificate in PEM") from error


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_DIFFERENCE)
        .not_valid_after(now + life)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _names(certificate: x509.Certificate) -> frozenset[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(str(name.value) for name in found)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
