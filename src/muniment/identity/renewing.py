"""Making and renewing the certificates of a member in the identity store.

The authority is made once. Certificates are made again from it: when they end soon, when a node or a name came to the
specification, and by `muniment privacy renew`. An authority's secret key that is kept elsewhere is missed only then.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from muniment.identity import certificates
from muniment.identity.certificates import Authority, Facts
from muniment.identity.model import tls_authority_paths, tls_certificate_path
from muniment.identity.secret_files import damaged, read_secret
from muniment.kernel.errors import IntegrityError
from muniment.kernel.files import SECRET_MODE, write_atomically
from muniment.spec.model import Member

RENEWED_BEFORE = timedelta(days=30)
"""A certificate that ends in so little time is made anew by `muniment up`."""


def names(member_name: str, member: Member) -> tuple[str, ...]:
    """Host names and addresses that a member's certificate stands for: this machine, its workloads, and those given."""
    numbers = range(1, member.nodes + 1)
    found = (
        *("localhost", "127.0.0.1", "::1", f"{member_name}-gateway"),
        *(f"{member_name}-{number}" for number in numbers),
        *(f"{member_name}-privacy-{number}" for number in numbers),
        *(_normal(host) for host in member.privacy_hosts),
    )
    return tuple(dict.fromkeys(found))


def new_directory(member_name: str, member: Member) -> Mapping[str, str]:
    """The texts of the directory with a fresh authority and a first certificate, by name."""
    now = datetime.now(UTC)
    authority = certificates.new_authority(member_name, now)
    return {
        "authority.pem": authority.certificate,
        "authority.key": authority.secret_key,
        "certificate.pem": certificates.new_certificate(authority, member_name, names(member_name, member), now),
    }


def authority(root: Path, member_name: str) -> str:
    """The certificate of a member's authority, checked. Raises `IntegrityError`."""
    path = root / tls_authority_paths(member_name)[0]
    text = read_secret(path)
    try:
        certificates.check_authority(text)
    except ValueError as error:
        raise damaged(path, str(error)) from error
    return text


def facts(root: Path, member_name: str) -> Facts:
    """What a member's certificate says. Raises `IntegrityError` when it is damaged."""
    path = root / tls_certificate_path(member_name)
    try:
        return certificates.facts(read_secret(path), authority(root, member_name))
    except ValueError as error:
        raise IntegrityError(
            f"{path} is damaged ({error}): restore it, or make another by `muniment privacy renew`"
        ) from error


def is_due(root: Path, member_name: str, member: Member) -> bool:
    """Whether a member's certificate ends soon, or lacks a name. Raises `IntegrityError` when it is damaged."""
    found = facts(root, member_name)
    return found.ends - datetime.now(UTC) < RENEWED_BEFORE or not found.names.issuperset(names(member_name, member))


def renew(root: Path, member_name: str, member: Member) -> Facts:
    """Make a member's certificate anew, in place of the one that is there. Raises `IntegrityError` when the authority
    is missing or damaged, `InputError` when the place cannot be written."""
    key_path = root / tls_authority_paths(member_name)[1]
    whole = Authority(authority(root, member_name), read_secret(key_path))
    try:
        text = certificates.new_certificate(whole, member_name, names(member_name, member), datetime.now(UTC))
    except ValueError as error:
        raise damaged(key_path, str(error)) from error
    write_atomically(root / tls_certificate_path(member_name), text.encode(), mode=SECRET_MODE)
    return certificates.facts(text, whole.certificate)


def _normal(host: str) -> str:
    try:
        return str(ip_address(host))
    except ValueError:
        return host
