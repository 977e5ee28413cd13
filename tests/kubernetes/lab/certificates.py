"""Certificates and kubeconfigs of a lab, as kubeadm would make them (https://kubernetes.io/docs/setup/best-practices/certificates/)."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from muniment.kernel.encoding import pretty_json
from tests.kubernetes.lab.settings import DOMAIN, Settings

_LIFE = datetime.timedelta(days=2)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The secret key."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def make(settings: Settings) -> None:
    """Write all of them into `settings.keys`."""
    settings.keys.mkdir(mode=0o700, parents=True)
    authority, front = _authority("lab"), _authority("lab-front-proxy")
    _write(settings, "ca", authority)
    _write(settings, "front-ca", front)
    account = _key()
    (settings.keys / "accounts.key").write_bytes(Pair(authority.certificate, account).key_pem)
    public = account.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (settings.keys / "accounts.pub").write_bytes(public)
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{DOMAIN}"]
    at = [*names, "localhost", "127.0.0.1", settings.api_address, f"{settings.service_network}.0.1"]
    _write(settings, "apiserver", _issue(authority, "kube-apiserver", "lab", at))
    _write(settings, "kubelet-client", _issue(authority, "kube-apiserver-kubelet-client", "system:masters"))
    _write(settings, "front-proxy", _issue(front, "front-proxy-client", "lab"))
    users = {
        "admin": ("lab-admin", "system:masters"),
        "controller-manager": ("system:kube-controller-manager", "lab"),
        "scheduler": ("system:kube-scheduler", "lab"),
        "proxy": ("system:kube-proxy", "lab"),
    }
    for file, (name, group) in users.items():
        _write_user(settings, file, _issue(authority, name, group), authority)
    for number in settings.numbers:
        node = settings.node(number)
        at = [node, settings.node_address(number)]
        _write_user(settings, node, _issue(authority, f"system:node:{node}", "system:nodes", at), authority)


def kubeconfig(settings: Settings, user: str, server: str) -> str:
    """The text of a kubeconfig for a user whose certificate is there, at another address of the API server."""
    authority = (settings.keys / "ca.crt").read_bytes()
    certificate, key = ((settings.keys / f"{user}.{part}").read_bytes() for part in ("crt", "key"))
    return _kubeconfig(server, authority, certificate, key)


def _kubeconfig(server: str, authority: bytes, certificate: bytes, key: bytes) -> str:
    # JSON is YAML.
    return pretty_json(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "lab", "cluster": {"server": server, "certificate-authority-data": _text(authority)}}
            ],
            "users": [
                {"name": "lab", "user": {"client-certificate-data": _text(certificate), "client-key-data": _text(key)}}
            ],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
            "current-context": "lab",
        }
    )


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _write(settings: Settings, name: str, pair: Pair) -> None:
    (settings.keys / f"{name}.crt").write_bytes(pair.certificate_pem)
    (settings.keys / f"{name}.key").write_bytes(pair.key_pem)


def _write_user(settings: Settings, name: str, pair: Pair, authority: Pair) -> None:
    _write(settings, name, pair)
    text = _kubeconfig(settings.api, authority.certificate_pem, pair.certificate_pem, pair.key_pem)
    (settings.keys / f"{name}.kubeconfig").write_text(text)


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _authority(name: str) -> Pair:
    key = _key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = _builder(subject, subject, key).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    return Pair(made.sign(key, hashes.SHA256()), key)


def _issue(authority: Pair, name: str, group: str, at: Sequence[str] = ()) -> Pair:
    key = _key()
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    made = _builder(subject, authority.certificate.subject, key).add_extension(usage, critical=False)
    if at:
        made = made.add_extension(x509.SubjectAlternativeName([_name(each) for each in at]), critical=False)
    return Pair(made.sign(authority.key, hashes.SHA256()), key)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - datetime.timedelta(hours=1),
        not_valid_after=now + _LIFE,
    )


def _name(at: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(at))
    except ValueError:
        return x509.DNSName(at)
