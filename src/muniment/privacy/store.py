"""The store: every call one transaction on the member's database. See `ports.Store`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from muniment.database.engine import Database, Work, open_database
from muniment.database.migration import Revisions, migrate
from muniment.privacy import store_member, store_payloads
from muniment.privacy.patience import patiently
from muniment.privacy.store_lookups import Lookups
from muniment.privacy.values import Checked, Payload, Peer, RawPayload

REVISIONS: Final = Revisions("privacy", Path(__file__).parent / "migrations", "0001", "privacy_alembic_version")

P = ParamSpec("P")
T = TypeVar("T")


class SqlStore:
    """The store on a database. While a request has patience, its calls are repeated until the database is back."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._instance: str | None = None
        self._lookups: Lookups[Payload] = Lookups(
            lambda hashes: database.glance(store_payloads.look_up, hashes, self._instance), at_once=4, most=64
        )

    async def migrate(self) -> None:
        """Bring the tables to this version's form; repeatable, and safe when several start at once."""
        await self._database.alter(migrate, REVISIONS)

    async def payload(self, payload_hash: bytes) -> Payload | None:
        """See `ports.Store`."""
        return await patiently(lambda: self._lookups.get(payload_hash))

    async def payloads(self, hashes: Collection[bytes]) -> Mapping[bytes, Payload]:
        """See `ports.Store`."""
        return await self._read(store_payloads.get_many, hashes) if hashes else {}

    async def add(self, payload: Payload, *, was_wrapped: bool = False) -> None:
        """See `ports.Store`."""
        await self._write(store_payloads.add, payload, was_wrapped=was_wrapped)

    async def replace(self, payload: Payload) -> None:
        """See `ports.Store`."""
        await self._write(store_payloads.replace, payload)

    async def delete(self, payload_hash: bytes) -> bool:
        """See `ports.Store`."""
        return await self._write(store_payloads.delete, payload_hash)

    async def page(self, key: bytes, after: bytes, limit: int) -> Sequence[Payload]:
        """See `ports.Store`."""
        return await self._read(store_payloads.page, key, after, limit)

    async def raw(self, payload_hash: bytes) -> RawPayload | None:
        """See `ports.Store`."""
        return await self._read(store_payloads.get_raw, payload_hash)

    async def add_raw(self, raw: RawPayload) -> None:
        """See `ports.Store`."""
        await self._write(store_payloads.add_raw, raw)

    async def wrapped(self, payload_hash: bytes) -> Payload | None:
        """See `ports.Store`."""
        return await self._read(store_payloads.get_wrapped, payload_hash)

    async def keep_wrapped(self, payload: Payload) -> Payload:
        """See `ports.Store`."""
        return await self._write(store_payloads.keep_wrapped, payload)

    async def peers(self) -> Sequence[Peer]:
        """See `ports.Store`."""
        return await self._read(store_member.all_peers)

    async def owner(self, key: bytes) -> Peer | None:
        """See `ports.Store`."""
        return await self._read(store_member.owner, key)

    async def announce(self, peer: Peer) -> None:
        """See `ports.Store`."""
        await self._write(store_member.announce, peer)

    async def learn(self, urls: Collection[str]) -> None:
        """See `ports.Store`."""
        await self._write(store_member.learn, urls)

    async def note_failure(self, url: str) -> None:
        """See `ports.Store`."""
        await self._write(store_member.note_failure, url)

    async def take_lease(self, name: str, holder: str, seconds: float) -> bool:
        """See `ports.Store`."""
        return await self._write(store_member.take_lease, name, holder, seconds)

    async def claim(self, keys: Collection[bytes]) -> str:
        """See `ports.Store`."""
        self._instance = await self._write(store_member.claim, keys)
        return self._instance

    async def check(self) -> Checked:
        """See `ports.Store`."""
        return await self._write(store_member.check)

    async def adopt(self, instance: str) -> None:
        """See `ports.Store`."""
        await self._write(store_member.adopt, instance)
        self._instance = instance

    async def recovering(self) -> bool:
        """See `ports.Store`."""
        return await self._read(store_member.recovering)

    async def set_recovering(self, recovering: bool) -> None:
        """See `ports.Store`."""
        await self._write(store_member.set_recovering, recovering)

    async def stage(self, payloads: Collection[Payload]) -> None:
        """See `ports.Store`."""
        await self._write(store_payloads.stage, payloads)

    async def staged(self, after: bytes, limit: int) -> Sequence[Payload]:
        """See `ports.Store`."""
        return await self._read(store_payloads.get_staged, after, limit)

    async def is_empty(self) -> bool:
        """See `ports.Store`."""
        return await self._read(store_payloads.is_empty)

    async def close(self) -> None:
        """Close the connections."""
        await self._database.close()

    async def _read(self, work: Work[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        return await patiently(lambda: self._database.read(work, *arguments, **options))

    async def _write(self, work: Work[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        return await patiently(lambda: self._database.write(work, *arguments, **options))


def open_store(url: str, password: str | None, sqlite_file: Path) -> SqlStore:
    """The store of the database at `url` (`sqlite`: `sqlite_file`); nothing is connected yet. Raises `InputError`."""
    return SqlStore(open_database(url, password, sqlite_file))
