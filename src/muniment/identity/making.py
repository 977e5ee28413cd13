"""What the identity store lacks for a specification, and making it.

A member's directory is made whole; nodes and peers that the specification asks for later are added one by one. Nothing
that exists is touched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from muniment.identity import keys, keystore, libp2p, renewing
from muniment.identity.model import (
    CLUSTER_SECRET,
    SWARM_KEY,
    account_paths,
    clique_keystore_paths,
    database_password_path,
    node_key_path,
    peer_key_path,
    privacy_key_path,
    rest_password_path,
    tls_authority_paths,
)
from muniment.identity.privacy_keys import new_privacy_key
from muniment.identity.secret_files import publish_directory, read_secret
from muniment.kernel.errors import IntegrityError
from muniment.spec.model import Consensus, Consortium, Member

CONSORTIUM = "consortium"
PEER_KINDS = ("kubo", "cluster")


@dataclass(frozen=True)
class Piece:
    """A directory that is missing, and how its files (text by relative path) are made."""

    directory: Path
    contents: Callable[[], Mapping[str, str]]

    def make(self) -> None:
        """Make it whole; raises `InputError` when the place cannot be written."""
        publish_directory(self.directory, self.contents())


def missing(root: Path, spec: Consortium) -> list[Piece]:
    """What the specification asks for and the store does not have, in the order to make it.

    Raises `IntegrityError` when something is gone that was there: a later node exists and an earlier one does not.
    """
    pieces = [] if _is_there(root / CONSORTIUM) else [Piece(root / CONSORTIUM, _consortium)]
    for name, member in spec.own_members.items():
        if _is_there(root / name):
            pieces.extend(_additions(root, name, member))
            pieces.extend(_database(root, name))
            if spec.privacy.enabled:
                pieces.extend(_privacy(root, name, member))
        else:
            pieces.append(Piece(root / name, _whole_member(name, member, privacy=spec.privacy.enabled)))
        if spec.chain.consensus is Consensus.CLIQUE:
            pieces.extend(_signers(root, name, member))
    return pieces


def existing_nodes(root: Path, member: str) -> list[str]:
    """Names of the member's nodes that have a directory in the store, in order; also those no longer asked for."""
    return [f"{member}-{number}" for number in sorted(_numbers(root / member / "nodes", f"{member}-"))]


def _additions(root: Path, name: str, member: Member) -> Iterator[Piece]:
    nodes = root / name / "nodes"
    for number in _absent(nodes, f"{name}-", member.nodes):
        yield Piece(nodes / f"{name}-{number}", _node)
    peers = root / name / "peers"
    for kind in PEER_KINDS:
        for number in _absent(peers, f"{name}-{kind}-", member.peers):
            yield Piece(peers / f"{name}-{kind}-{number}", _peer)


def _database(root: Path, name: str) -> Iterator[Piece]:
    # Stores of versions that ran on one machine only have none.
    directory = (root / database_password_path(name)).parent
    if not _is_there(directory):
        yield Piece(directory, lambda: {"password": keystore.new_passphrase() + "\n"})


def _privacy(root: Path, name: str, member: Member) -> Iterator[Piece]:
    parent = (root / privacy_key_path(name, 1)).parent.parent
    for number in _absent(parent, f"{name}-key-", member.privacy_keys):
        yield Piece((root / privacy_key_path(name, number)).parent, _privacy_key)
    tls = (root / tls_authority_paths(name)[0]).parent
    if not _is_there(tls):
        yield Piece(tls, lambda: renewing.new_directory(name, member))


def _signers(root: Path, name: str, member: Member) -> Iterator[Piece]:
    # Unlike other secrets these can be made again at any time: they hold the node key.
    for number in range(1, member.validator_count + 1):
        keystore_path, _ = clique_keystore_paths(name, f"{name}-{number}")
        directory = (root / keystore_path).parent
        if not _is_there(directory):
            yield Piece(directory, _signer(root / node_key_path(name, f"{name}-{number}")))


def _signer(node_key: Path) -> Callable[[], Mapping[str, str]]:
    def contents() -> Mapping[str, str]:
        passphrase = keystore.new_passphrase()
        text = keystore.encrypt(read_secret(node_key).strip(), passphrase)
        return {"keystore.json": text, "passphrase": passphrase + "\n"}

    return contents


def _absent(directory: Path, prefix: str, wanted: int) -> list[int]:
    there = _numbers(directory, prefix)
    absent = [number for number in range(1, wanted + 1) if number not in there]
    if absent and there and absent[0] < max(there):
        raise IntegrityError(
            f"{directory / prefix}{absent[0]} is missing although {prefix}{max(there)} is there: restore it from your"
            " backup; nothing was made in its place"
        )
    return absent


def _numbers(directory: Path, prefix: str) -> set[int]:
    shape = re.compile(re.escape(prefix) + "([1-9][0-9]*)")
    try:
        names = [path.name for path in directory.iterdir()]
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise IntegrityError(f"{directory} cannot be read ({error.strerror}): mend its permissions") from error
    return {int(match.group(1)) for name in names if (match := shape.fullmatch(name))}


def _is_there(path: Path) -> bool:
    # A dangling symbolic link counts as there: something was meant to be, and must not be made anew.
    return path.exists() or path.is_symlink()


def _consortium() -> Mapping[str, str]:
    return _relative(
        CONSORTIUM, {SWARM_KEY: libp2p.new_swarm_key(), CLUSTER_SECRET: libp2p.new_cluster_secret() + "\n"}
    )


def _whole_member(name: str, member: Member, *, privacy: bool) -> Callable[[], Mapping[str, str]]:
    def contents() -> Mapping[str, str]:
        keystore_path, passphrase_path = account_paths(name)
        passphrase = keystore.new_passphrase()
        files = {
            keystore_path: keystore.encrypt(keys.new_key(), passphrase),
            passphrase_path: passphrase + "\n",
            rest_password_path(name): keystore.new_passphrase() + "\n",
            database_password_path(name): keystore.new_passphrase() + "\n",
        }
        for number in range(1, member.nodes + 1):
            files[node_key_path(name, f"{name}-{number}")] = _node()["nodekey"]
        for number in range(1, member.peers + 1):
            for kind in PEER_KINDS:
                files[peer_key_path(name, f"{name}-{kind}-{number}")] = _peer()["private_key"]
        if privacy:
            files |= _whole_privacy(name, member)
        return _relative(name, files)

    return contents


def _whole_privacy(name: str, member: Member) -> dict[str, str]:
    tls = tls_authority_paths(name)[0].rpartition("/")[0]
    files = {f"{tls}/{file}": text for file, text in renewing.new_directory(name, member).items()}
    for number in range(1, member.privacy_keys + 1):
        files[privacy_key_path(name, number)] = _privacy_key()["secret.key"]
    return files


def _node() -> Mapping[str, str]:
    # Without a line end: geth reads exactly 64 characters, and some of its tools insist.
    return {"nodekey": keys.new_node_key()}


def _peer() -> Mapping[str, str]:
    return {"private_key": libp2p.new_peer_key() + "\n"}


def _privacy_key() -> Mapping[str, str]:
    return {"secret.key": new_privacy_key()}


def _relative(directory: str, files: Mapping[str, str]) -> Mapping[str, str]:
    return {path.removeprefix(f"{directory}/"): text for path, text in files.items()}
