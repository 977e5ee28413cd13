"""The identity store: secrets on disk, made once and kept; their public parts as values.

Beside secrets of the whole consortium (`consortium/`) there is one directory for each member of ours, and genesis.json.
Public parts are derived from the secrets at every load, so that the two cannot disagree.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path, PurePosixPath

from muniment.identity import duplicates, export, genesis, making, reading, renewing
from muniment.identity.anchoring import allocation
from muniment.identity.genesis import GenesisFacts
from muniment.identity.model import Identities, MemberIdentity, privacy_key_path, tls_authority_paths
from muniment.identity.secret_files import read_secret
from muniment.kernel.errors import InputError, IntegrityError
from muniment.kernel.files import make_private_directory, write_atomically
from muniment.kernel.locks import locked
from muniment.spec.model import Consensus, Consortium

GENESIS = "genesis.json"
LOCK = ".lock"
LOCK_SECONDS = 60.0

Foreign = dict[str, tuple[Path, MemberIdentity]]


class IdentityStore:
    """The identities of one state directory, at `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def ensure(self, spec: Consortium, base: Path) -> Identities:
        """Make what is missing, check everything, and return the public parts of all members.

        `base` is the directory that paths of public files in the specification are relative to. Raises `InputError` for
        a public file that is wrong or a place that cannot be written, `IntegrityError` for what is damaged, lost,
        readable by others or used twice; then nothing was overwritten.
        """
        foreign = self._foreign(spec, base)
        self._check_directories(spec)
        if making.missing(self.root, spec):
            make_private_directory(self.root)
            with self._lock():
                self._check_not_lost(spec, foreign)
                for piece in making.missing(self.root, spec):
                    piece.make()
        if self._due(spec):
            with self._lock():
                for name in self._due(spec):
                    renewing.renew(self.root, name, spec.members[name])
        return self._assemble(spec, foreign)

    def renew(self, spec: Consortium, base: Path) -> dict[str, datetime]:
        """Make the TLS certificates of all members of ours anew; when each ends, by member.

        Raises `InputError` when there are no identities yet or no private transactions, `IntegrityError` when an
        authority is missing or damaged.
        """
        if not spec.privacy.enabled:
            raise InputError("privacy.enabled is false in the specification: there are no certificates to renew")
        self.load(spec, base)
        with self._lock():
            return {name: renewing.renew(self.root, name, member).ends for name, member in spec.own_members.items()}

    def load(self, spec: Consortium, base: Path) -> Identities:
        """The public parts of all members, as `ensure` returns them, but nothing is made.

        Raises `InputError` when identities are missing that the specification asks for, else like `ensure`.
        """
        foreign = self._foreign(spec, base)
        self._check_directories(spec)
        if pieces := making.missing(self.root, spec):
            raise InputError(f"{pieces[0].directory} is not there yet: `muniment up` makes the identities")
        return self._assemble(spec, foreign)

    def secret(self, path: str) -> str:
        """The text of the secret at `path` (relative to the root, see `identity.model`), stripped of white space."""
        relative = PurePosixPath(path)
        if relative.is_absolute() or ".." in relative.parts:
            raise ValueError(f"{path} is not inside the identity store")
        return read_secret(self.root / relative).strip()

    def genesis(self, spec: Consortium, identities: Identities) -> str:
        """The text of genesis.json: computed and written at the first call, then only read and checked.

        Raises `IntegrityError` naming the field when the specification or the identities do not fit it any more.
        """
        accounts = allocation(identities)
        if self._facts() is None:
            make_private_directory(self.root)
            with self._lock():
                if self._facts() is None:
                    text = genesis.build(spec, identities, accounts)
                    write_atomically(self.root / GENESIS, text.encode())
        text = self._genesis_text()
        genesis.check(text, spec, identities, accounts)
        return text

    def _assemble(self, spec: Consortium, foreign: Foreign) -> Identities:
        reading.check_consortium(self.root)
        facts = self._facts()
        members = tuple(foreign[name][1] if name in foreign else self._own(name, spec, facts) for name in spec.members)
        self._check_signers(spec, members)
        claims = []
        for member in members:
            if member.member in foreign:
                claims += duplicates.foreign_claims(*foreign[member.member])
            else:
                claims += duplicates.own_claims(self.root, member)
        duplicates.check_alone(claims)
        return Identities(members=members, own=frozenset(spec.own_members))

    def _due(self, spec: Consortium) -> list[str]:
        """Members whose certificates must be made anew, and can be."""
        return [
            name
            for name, member in (spec.own_members if spec.privacy.enabled else {}).items()
            if (self.root / tls_authority_paths(name)[1]).exists() and renewing.is_due(self.root, name, member)
        ]

    def _own(self, name: str, spec: Consortium, facts: GenesisFacts | None) -> MemberIdentity:
        member = spec.members[name]

        def validates(number: int, coinbase: str) -> bool:
            # Once the chain was started its genesis says who validates: a node that came later does not.
            return number <= member.validator_count if facts is None else coinbase in facts.validators

        return reading.member(
            self.root,
            name,
            nodes=member.nodes,
            peers=member.peers,
            privacy_keys=member.privacy_keys if spec.privacy.enabled else 0,
            validates=validates,
        )

    def _check_signers(self, spec: Consortium, members: tuple[MemberIdentity, ...]) -> None:
        if spec.chain.consensus is not Consensus.CLIQUE:
            return
        for member in members:
            for node in member.nodes:
                if member.member in spec.own_members and node.validator:
                    reading.check_signer(self.root, member.member, node)

    def _foreign(self, spec: Consortium, base: Path) -> Foreign:
        found: Foreign = {}
        for name, member in spec.members.items():
            if member.identity is None:
                continue
            path = base / member.identity
            identity = export.read(path)
            if identity.member != name:
                raise InputError(
                    f"{path}: this is the public file of member {identity.member}, but members.{name}.identity names"
                    f" it: give the file of {name}"
                )
            export.check_reachable(path, identity, spec.chain.consensus, tls=spec.privacy.tls)
            found[name] = (path, identity)
        return found

    def _check_not_lost(self, spec: Consortium, foreign: Foreign) -> None:
        """Refuse to make anything new while something that the chain was started with is gone."""
        facts = self._facts()
        if facts is None:
            return
        known = {node.coinbase for _, identity in foreign.values() for node in identity.nodes}
        for name in spec.own_members:
            known |= {reading.coinbase(self.root, name, node) for node in making.existing_nodes(self.root, name)}
        lost = sorted(set(facts.validators) - known)
        wanted = [self.root / name for name in (making.CONSORTIUM, *spec.own_members)]
        if facts.privacy and spec.privacy.enabled:
            # A new key would open none of the payloads that were sent to the old one.
            wanted += [self.root / privacy_key_path(name, 1) for name in spec.own_members]
        gone = [path for path in wanted if not path.exists()]
        if lost or gone:
            what = f"the key of validator {lost[0]}" if lost else str(gone[0])
            raise IntegrityError(
                f"the chain of {self.root / GENESIS} was started, but {what} is not there: restore it from your backup;"
                " for a member that the chain was not started with, use a new state directory. Nothing was made"
            )

    def _check_directories(self, spec: Consortium) -> None:
        seen: dict[tuple[int, int], Path] = {}
        for name in (making.CONSORTIUM, *spec.own_members):
            path = self.root / name
            try:
                status = path.stat()
            except (FileNotFoundError, NotADirectoryError):
                continue  # making it comes later, and says what is wrong
            except OSError as error:
                raise IntegrityError(f"{path} cannot be read ({error.strerror}): mend or restore it") from error
            first = seen.setdefault((status.st_dev, status.st_ino), path)
            if first is not path:
                raise IntegrityError(
                    f"{first} and {path} are one directory: every member needs its own; remove the link and restore the"
                    " directory that belongs there"
                )

    def _genesis_text(self) -> str:
        path = self.root / GENESIS
        try:
            return path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise IntegrityError(f"{path} cannot be read ({error}): restore it from your backup") from error

    def _facts(self) -> GenesisFacts | None:
        """What the genesis says, or None before the chain was first started."""
        path = self.root / GENESIS
        if not path.exists() and not path.is_symlink():
            return None
        try:
            return genesis.decode(self._genesis_text())
        except IntegrityError as error:
            raise IntegrityError(f"{path}: {error}") from error

    def _lock(self) -> AbstractContextManager[None]:
        return locked(self.root / LOCK, doing=f"making identities in {self.root}", timeout=LOCK_SECONDS)
