"""Secrets of the identity store, read, checked and turned into public parts.

Every function raises `IntegrityError` naming the file that is missing, damaged or readable by others.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from muniment.identity import keys, keystore, libp2p, renewing
from muniment.identity.model import (
    CLUSTER_SECRET,
    SWARM_KEY,
    MemberIdentity,
    NodeIdentity,
    PeerIdentity,
    PrivacyIdentity,
    account_paths,
    clique_keystore_paths,
    node_key_path,
    peer_key_path,
    privacy_key_path,
    rest_password_path,
)
from muniment.identity.privacy_keys import public_privacy_key
from muniment.identity.secret_files import damaged, read_secret
from muniment.kernel.errors import IntegrityError

T = TypeVar("T")

_HEX_64 = re.compile("[0-9a-f]{64}")


def check_consortium(root: Path) -> None:
    """Check the secrets that all members share."""
    _derived(root / SWARM_KEY, _swarm_key)
    _derived(root / CLUSTER_SECRET, _random_value)


def member(
    root: Path,
    name: str,
    *,
    nodes: int,
    peers: int,
    privacy_keys: int,
    validates: Callable[[int, str], bool],
) -> MemberIdentity:
    """The public part of a member of ours; `validates` says it of a node by its number and coinbase. Without privacy
    keys there are no private transactions."""
    _derived(root / rest_password_path(name), _random_value)
    return MemberIdentity(
        member=name,
        account=_account(root, name),
        nodes=tuple(_node(root, name, number, validates) for number in range(1, nodes + 1)),
        peers=tuple(
            PeerIdentity(
                index=number,
                kubo_id=_peer_id(root, name, f"{name}-kubo-{number}"),
                cluster_id=_peer_id(root, name, f"{name}-cluster-{number}"),
            )
            for number in range(1, peers + 1)
        ),
        privacy=_privacy(root, name, privacy_keys) if privacy_keys else None,
    )


def _privacy(root: Path, name: str, count: int) -> PrivacyIdentity:
    renewing.facts(root, name)
    return PrivacyIdentity(
        keys=tuple(
            _derived(root / privacy_key_path(name, number), public_privacy_key) for number in range(1, count + 1)
        ),
        authority=renewing.authority(root, name),
    )


def coinbase(root: Path, name: str, node: str) -> str:
    """The coinbase of one node of ours."""
    return _derived(root / node_key_path(name, node), keys.address)


def check_signer(root: Path, name: str, node: NodeIdentity) -> None:
    """Check the keystore by which a node of ours signs blocks; with consensus clique only."""
    paths = clique_keystore_paths(name, node.name)
    if _opened(root, paths) != node.coinbase:
        raise IntegrityError(
            f"{root / paths[0]} is not the key of {node.name}: remove {(root / paths[0]).parent}, it is made again"
        )


def _node(root: Path, member_name: str, number: int, validates: Callable[[int, str], bool]) -> NodeIdentity:
    name = f"{member_name}-{number}"
    public = _derived(root / node_key_path(member_name, name), keys.public_key)
    address = keys.address_of_public_key(public)
    return NodeIdentity(name=name, enode_id=public.hex(), coinbase=address, validator=validates(number, address))


def _peer_id(root: Path, member_name: str, workload: str) -> str:
    return _derived(root / peer_key_path(member_name, workload), libp2p.peer_id)


def _account(root: Path, name: str) -> str:
    return _opened(root, account_paths(name))


def _opened(root: Path, paths: tuple[str, str]) -> str:
    """The address of the key in a keystore, which its passphrase must open."""
    keystore_path, passphrase_path = (root / path for path in paths)
    passphrase = read_secret(passphrase_path).strip()
    text = read_secret(keystore_path)
    try:
        return keys.address(keystore.decrypt(text, passphrase))
    except keystore.WrongPassphraseError as error:
        raise IntegrityError(
            f"{passphrase_path} does not open {keystore_path}: one of the two is damaged; restore both from your"
            " backup; nothing was touched"
        ) from error
    except ValueError as error:
        raise damaged(keystore_path, str(error)) from error


def _derived(path: Path, derive: Callable[[str], T]) -> T:
    try:
        return derive(read_secret(path).strip())
    except ValueError as error:
        raise damaged(path, str(error)) from error


def _random_value(text: str) -> None:
    if not _HEX_64.fullmatch(text):
        raise ValueError("it does not hold 64 small hexadecimal digits")


def _swarm_key(text: str) -> None:
    if not text.startswith(libp2p.SWARM_KEY_HEAD):
        raise ValueError("it does not begin with the two lines of a swarm key")
    _random_value(text.removeprefix(libp2p.SWARM_KEY_HEAD))
