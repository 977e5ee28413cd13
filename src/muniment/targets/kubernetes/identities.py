"""The identity store in Secrets: laid out in a directory to work with, and whatever is made there kept in the cluster.

Two kinds of Secrets carry the label of the consortium:

- `NAME-identities-1`, `-2`, …: the store. Everything that was made at one time is in one Secret, so that a crash leaves
  all of it or nothing; it is created and never changed. Two who make identities at the same time want the same name:
  the second one is refused, and finds those of the first when it looks again.
- `POD-identity`: what one pod mounts, and nothing else. It is a copy; where somebody else made it (a sealed secret, an
  external store of secrets) it is where the identity comes from.

All that is found must agree. Only certificates are made anew in the course of time; the newest one counts.
"""

from __future__ import annotations

import base64
import binascii
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from muniment.identity.model import tls_certificate_path
from muniment.identity.store import IdentityStore
from muniment.kernel.errors import InputError, IntegrityError, TemporaryError
from muniment.kernel.files import SECRET_MODE, make_private_directory, write_atomically
from muniment.spec.model import RESERVED_NAME, Consortium
from muniment.targets.containers.views import secret_key
from muniment.targets.kubernetes import observing
from muniment.targets.kubernetes.client import CONFIG_MAP, SECRET, Api, ConflictError, Document
from muniment.targets.kubernetes.labels import CONSORTIUM, labels, selection
from muniment.targets.kubernetes.places import renewable
from muniment.targets.kubernetes.secret_keys import GENESIS, named_by, path_of
from muniment.topology.model import Topology

PURPOSE = "muniment.io/purpose"
"""Label that tells what a Secret or a ConfigMap is for: STORE, POD, or FILES."""
STORE, POD_MOUNT, FILES = "identities", "pod", "files"
POD_SUFFIX = "-identity"

_CERTIFICATE = tls_certificate_path("M").partition("/")[2]
_SIGNERS = "signers"


@dataclass(frozen=True)
class Found:
    """What the Secrets of a consortium hold."""

    texts: Mapping[str, bytes]
    """By place in the identity store."""
    kept: frozenset[str]
    """Places that are in the store's own Secrets, in their newest form."""
    rounds: int
    """Number of the newest Secret of the store."""


class ClusterIdentities:
    """The identities of the consortium of this name in the namespace of `api`, worked on in the directory `root`."""

    def __init__(self, api: Api, consortium: str, root: Path) -> None:
        self._api = api
        self._consortium = consortium
        self._root = root

    def lay_out(self, spec: Consortium, base: Path) -> None:
        """Write what the Secrets hold into `root`, and what is missing before the chain was first started.

        Raises `IntegrityError` when Secrets contradict one another or a file that is there already.
        """
        found = self._found(spec)
        make_private_directory(self._root)
        for path, text in found.texts.items():
            _lay(self._root / path, text, renewed=_is_certificate(path))
        if found.texts and GENESIS not in found.texts:
            # Somebody made a part of the identities, and leaves the rest to us.
            self._complete(spec, base)

    def keep(self, spec: Consortium) -> None:
        """Keep in the cluster what was made in `root` since `lay_out`.

        Raises `TemporaryError` when somebody else made identities at the same time: what is in `root` is of no use.
        """
        found = self._found(spec)
        fresh = {
            path: text
            for path, text in _files(self._root, spec).items()
            if path not in found.kept or (_is_certificate(path) and found.texts[path].strip() != text.strip())
        }
        if not fresh:
            return
        manifest = _store(self._consortium, self._api.namespace, found.rounds + 1, fresh)
        try:
            self._api.create(manifest)
        except ConflictError as error:
            raise TemporaryError(
                f"identities of {self._consortium} were made by somebody else at the same time: run it again"
            ) from error

    def provide(self, topology: Topology, manifests: Sequence[Document], secret: Callable[[str], str]) -> None:
        """Create the Secrets that the rendered pods mount and that are not there yet. `secret` gives their content by
        its place in the identity store.

        Raises `InputError` when a Secret that somebody else made lacks a key, `IntegrityError` when it contradicts the
        store.
        """
        for name, paths in mounted(topology, manifests).items():
            wanted = {path: secret(path).encode() for path in paths}
            current = self._api.get(SECRET, name)
            if current is None:
                self._create_mount(name, wanted)
            else:
                self._check_mount(current, wanted)

    def _create_mount(self, name: str, wanted: Mapping[str, bytes]) -> None:
        immutable = not any(map(renewable, wanted))
        manifest = _manifest(name, self._api.namespace, self._consortium, POD_MOUNT, wanted, immutable=immutable)
        try:
            self._api.create(manifest)
        except ConflictError as error:
            current = self._api.get(SECRET, name)
            if current is None:
                raise TemporaryError(f"Secret {name} is being deleted: run it again") from error
            self._check_mount(current, wanted)

    def _check_mount(self, current: Document, wanted: Mapping[str, bytes]) -> None:
        name = current["metadata"]["name"]
        data = current.get("data") or {}
        differing = [
            path
            for path, text in wanted.items()
            if secret_key(path) not in data or _decoded(name, data, secret_key(path)).strip() != text.strip()
        ]
        if not differing:
            return
        # What must not change at all is told first.
        path = min(differing, key=lambda one: (renewable(one), one))
        key = secret_key(path)
        if not _is_ours(current):
            what = "contradicts the identity store in" if key in data else "lacks"
            raise InputError(f"Secret {name} {what} key {key}, and is not ours to change: mend it where it is made")
        if key in data and not renewable(path):
            raise IntegrityError(
                f"Secret {name} contradicts the identity store in key {key}: restore the one that is right, nothing"
                " was changed"
            )
        self._renew_mount(current, wanted)

    def _renew_mount(self, current: Document, wanted: Mapping[str, bytes]) -> None:
        """Bring what may change in a copy of ours up to date."""
        name = current["metadata"]["name"]
        if current.get("immutable"):
            missing = next(secret_key(path) for path in wanted if secret_key(path) not in (current.get("data") or {}))
            raise InputError(
                f"Secret {name} lacks key {missing}, which its pod needs now, and cannot be changed: delete it, it is a"
                f" copy of what {self._consortium}-identities-1 and its successors hold, and is made anew"
            )
        self._api.merge(SECRET, name, {"data": _encoded(wanted)})

    def _found(self, spec: Consortium) -> Found:
        documents = [
            document
            for document in self._api.list(SECRET, selection(self._consortium))
            if (document["metadata"].get("labels") or {}).get(PURPOSE) != FILES
        ]
        return _merged(documents, self._consortium, {RESERVED_NAME, GENESIS, *spec.own_members})

    def _complete(self, spec: Consortium, base: Path) -> None:
        with tempfile.TemporaryDirectory(prefix=".whole-", dir=self._root.parent) as scratch:
            whole = Path(scratch) / "identity"
            IdentityStore(whole).ensure(spec, base)
            before = {path.parent for path in self._root.rglob("*") if path.is_file()}
            for source in sorted(path for path in whole.rglob("*") if path.is_file()):
                relative = source.relative_to(whole)
                target = self._root / relative
                # Files of one directory belong together; those at a member's top stand alone.
                alone = len(relative.parts) == 2 and relative.parts[0] != RESERVED_NAME
                if _SIGNERS in relative.parts or target.exists() or (target.parent in before and not alone):
                    continue
                _lay(target, source.read_bytes(), renewed=False)


def first_store(root: Path, spec: Consortium) -> Document:
    """The Secret that holds a whole identity store: what the operator would make at its first start, for identities
    that were made elsewhere."""
    return _store(spec.name, spec.kubernetes.namespace, 1, _files(root, spec))


def mounted(topology: Topology, manifests: Iterable[Document]) -> dict[str, list[str]]:
    """The Secrets that rendered pods mount, and the places in the identity store that each must hold: those that the
    files of the pod's workloads name."""
    found: dict[str, list[str]] = {}
    for manifest in manifests:
        if manifest["kind"] not in ("StatefulSet", "Deployment"):
            continue
        pod = manifest["spec"]["template"]["spec"]
        names = [name for volume in pod.get("volumes") or [] for name in _secret_names(volume)]
        for name in sorted({name for name in names if name.endswith(POD_SUFFIX)}):
            found[name] = named_by(topology, observing.workloads(manifest))
    return found


def lay_out_files(api: Api, consortium: str, base: Path) -> None:
    """Write the files that the specification names (public files of other members, passwords) into `base`: every key of
    the ConfigMaps and Secrets with the consortium's label and `muniment.io/purpose: files`."""
    wanted = {CONSORTIUM: consortium, PURPOSE: FILES}
    make_private_directory(base)
    for document in api.list(CONFIG_MAP, wanted):
        for key, text in (document.get("data") or {}).items():
            write_atomically(base / _plain(key), str(text).encode(), mode=SECRET_MODE)
    for document in api.list(SECRET, wanted):
        data = document.get("data") or {}
        for key in data:
            content = _decoded(document["metadata"]["name"], data, key)
            write_atomically(base / _plain(key), content, mode=SECRET_MODE)


def _files(root: Path, spec: Consortium) -> dict[str, bytes]:
    tops = [root / name for name in (RESERVED_NAME, *spec.own_members)]
    paths = [path for top in tops for path in sorted(top.rglob("*")) if path.is_file()]
    if (root / GENESIS).exists():
        paths.append(root / GENESIS)
    found = {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}
    # A name that begins with a dot is a place where something was being made.
    return {path: text for path, text in found.items() if not any(part.startswith(".") for part in path.split("/"))}


def _store(consortium: str, namespace: str, number: int, texts: Mapping[str, bytes]) -> Document:
    return _manifest(f"{consortium}-identities-{number}", namespace, consortium, STORE, texts, immutable=True)


def _manifest(
    name: str, namespace: str, consortium: str, purpose: str, texts: Mapping[str, bytes], *, immutable: bool
) -> Document:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": {**labels(consortium), PURPOSE: purpose}},
        "type": "Opaque",
        "immutable": immutable,
        "data": _encoded(texts),
    }


def _merged(documents: Iterable[Document], consortium: str, tops: set[str]) -> Found:
    texts: dict[str, bytes] = {}
    places: dict[str, str] = {}
    kept: set[str] = set()
    rounds = 0
    for document in sorted(documents, key=_order(consortium)):
        name = document["metadata"]["name"]
        number = _round(name, consortium)
        rounds = max(rounds, number)
        data = document.get("data") or {}
        for key in data:
            path = path_of(key)
            if path.split("/")[0] not in tops:
                continue
            text = _decoded(name, data, key)
            if path in texts and texts[path].strip() != text.strip() and not _is_certificate(path):
                raise IntegrityError(
                    f"Secrets {places[path]} and {name} contradict one another in key {key}: restore the one that is"
                    " right, or remove the wrong one; nothing was changed"
                )
            if path not in texts or (number and _is_certificate(path)):
                texts[path], places[path] = text, name
            if number:
                kept.add(path)
    return Found(texts, frozenset(kept), rounds)


def _order(consortium: str) -> Callable[[Document], tuple[bool, int, str]]:
    def order(document: Document) -> tuple[bool, int, str]:
        name = str(document["metadata"]["name"])
        number = _round(name, consortium)
        return (not number, number, name)

    return order


def _round(name: str, consortium: str) -> int:
    head, _, tail = name.rpartition("-")
    return int(tail) if head == f"{consortium}-identities" and tail.isdecimal() else 0


def _lay(path: Path, text: bytes, *, renewed: bool) -> None:
    if path.exists() and not renewed:
        if path.read_bytes().strip() != text.strip():
            raise IntegrityError(
                f"{path} is not what the cluster's Secrets hold: remove the state directory when it is of another"
                " consortium, else restore the one that is right; nothing was changed"
            )
        return
    for directory in reversed([one for one in path.parents if not one.exists()]):
        make_private_directory(directory)
    write_atomically(path, text, mode=SECRET_MODE)


def _is_certificate(path: str) -> bool:
    return path.partition("/")[2] == _CERTIFICATE


def _is_ours(document: Document) -> bool:
    carried = document["metadata"].get("labels") or {}
    return all(carried.get(key) == value for key, value in labels(carried.get(CONSORTIUM, "")).items())


def _secret_names(volume: Mapping[str, Any]) -> list[str]:
    sources = [volume, *((volume.get("projected") or {}).get("sources") or [])]
    secrets = [source.get("secret") or {} for source in sources]
    return [secret.get("secretName") or secret.get("name") or "" for secret in secrets]


def _encoded(texts: Mapping[str, bytes]) -> dict[str, str]:
    return {secret_key(path): base64.b64encode(text).decode() for path, text in sorted(texts.items())}


def _decoded(name: str, data: Mapping[str, str], key: str) -> bytes:
    try:
        return base64.b64decode(data[key], validate=True)
    except (binascii.Error, ValueError) as error:
        raise IntegrityError(f"key {key} of Secret {name} is not base64: mend it where it is made") from error


def _plain(key: str) -> str:
    if key.startswith(".") or "/" in key:
        raise InputError(f"{key} is no name of a file: rename it")
    return key
