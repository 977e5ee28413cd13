"""The agent's configuration file: JSON, rendered from the topology, refused when it holds anything unknown.

Plain dataclasses, not pydantic: its import and model building take a third of the agent's whole start, and while the
agent starts nobody judges the nodes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from muniment.kernel.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True)
class Listen:
    """Where the agent's API listens."""

    host: str
    port: int


@dataclass(frozen=True)
class NodeSettings:
    """One node of the member."""

    name: str
    rpc: str
    """URL of its JSON-RPC."""
    privacy: str | None
    """URL of its privacy manager; `None` when it has none."""
    min_peers: int
    """Peers that it needs to be fit: 0 for the only node of a consortium."""


@dataclass(frozen=True)
class PeerSettings:
    """One peer of the member."""

    index: int
    kubo_name: str
    kubo: str
    """URL of kubo's RPC."""
    kubo_id: str
    kubo_address: str
    """Multiaddr of its swarm port, without /p2p."""
    cluster_name: str
    cluster: str
    """URL of the cluster service's REST API."""
    cluster_id: str


@dataclass(frozen=True)
class OtherPeerSettings:
    """A peer of another member."""

    kubo_id: str
    kubo_address: str
    """Multiaddr of its swarm port, without /p2p."""
    cluster_id: str


@dataclass(frozen=True)
class Settings:
    """The whole file."""

    listen: Listen
    member: str
    maintenance_dir: Path
    """Directory with one file per node in maintenance; made when it is absent."""
    max_lag_blocks: int
    max_lag_seconds: float
    nodes: tuple[NodeSettings, ...]
    peers: tuple[PeerSettings, ...]
    others: tuple[OtherPeerSettings, ...]
    cluster_password_file: Path | None
    """Password of the cluster REST API; absent for a member without peers."""

    def cluster_password(self) -> str:
        """The password, read from its file. Raises `InputError` when there is none."""
        if self.cluster_password_file is None:
            raise InputError("cluster_password_file is missing: the agent needs it to ask its member's peers")
        try:
            return self.cluster_password_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{self.cluster_password_file} cannot be read ({error}): run `muniment up`") from error


def read(path: Path) -> Settings:
    """The settings in the file at `path`. Raises `InputError`: one sentence with the first field that is wrong."""
    try:
        return _settings(_Fields(json.loads(path.read_bytes()), ""))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): name the agent's configuration file") from error
    except ValueError as error:
        raise InputError(f"{path}: {error}: render it anew with `muniment up`") from error


class _Fields:
    """The fields of one JSON object, each taken once. Raises `ValueError` that names the field."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise ValueError(f"{where or 'the file'} must be a JSON object")  # noqa: TRY004 - one type for all findings
        self._left = dict(value)
        self._where = f"{where}." if where else ""

    def text(self, name: str) -> str:
        value = self._take(name)
        if not isinstance(value, str) or not value:
            raise ValueError(f"{self._where}{name} must be a text")
        return value

    def optional_text(self, name: str) -> str | None:
        if self._left.get(name) is None:
            self._left.pop(name, None)
            return None
        return self.text(name)

    def number(self, name: str, *, least: float = 0) -> float:
        value = self._take(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or value < least:
            raise ValueError(f"{self._where}{name} must be a number of at least {least:g}")
        return value

    def whole(self, name: str, *, least: int = 0) -> int:
        value = self.number(name, least=least)
        if not isinstance(value, int):
            raise ValueError(f"{self._where}{name} must be a whole number")  # noqa: TRY004 - one type for all findings
        return value

    def inner(self, name: str) -> _Fields:
        return _Fields(self._take(name), f"{self._where}{name}")

    def several(self, name: str, make: Callable[[_Fields], T]) -> tuple[T, ...]:
        value = self._take(name)
        if not isinstance(value, list):
            raise ValueError(f"{self._where}{name} must be a list")  # noqa: TRY004 - one type for all findings
        return tuple(make(_Fields(item, f"{self._where}{name}[{index}]")) for index, item in enumerate(value))

    def end(self) -> None:
        """Refuse what nobody took."""
        for name in self._left:
            raise ValueError(f"{self._where}{name} is unknown")

    def _take(self, name: str) -> object:
        if name not in self._left:
            raise ValueError(f"{self._where}{name} is missing")
        return self._left.pop(name)


def _settings(fields: _Fields) -> Settings:
    password = fields.optional_text("cluster_password_file")
    settings = Settings(
        listen=_listen(fields.inner("listen")),
        member=fields.text("member"),
        maintenance_dir=Path(fields.text("maintenance_dir")),
        max_lag_blocks=fields.whole("max_lag_blocks"),
        max_lag_seconds=fields.number("max_lag_seconds", least=0.1),
        nodes=fields.several("nodes", _node),
        peers=fields.several("peers", _peer),
        others=fields.several("others", _other),
        cluster_password_file=None if password is None else Path(password),
    )
    fields.end()
    if not settings.nodes:
        raise ValueError("nodes must name at least one node")
    return settings


def _listen(fields: _Fields) -> Listen:
    listen = Listen(fields.text("host"), fields.whole("port", least=1))
    fields.end()
    return listen


def _node(fields: _Fields) -> NodeSettings:
    node = NodeSettings(
        name=fields.text("name"),
        rpc=fields.text("rpc"),
        privacy=fields.optional_text("privacy"),
        min_peers=fields.whole("min_peers"),
    )
    fields.end()
    return node


def _peer(fields: _Fields) -> PeerSettings:
    peer = PeerSettings(
        index=fields.whole("index", least=1),
        kubo_name=fields.text("kubo_name"),
        kubo=fields.text("kubo"),
        kubo_id=fields.text("kubo_id"),
        kubo_address=fields.text("kubo_address"),
        cluster_name=fields.text("cluster_name"),
        cluster=fields.text("cluster"),
        cluster_id=fields.text("cluster_id"),
    )
    fields.end()
    return peer


def _other(fields: _Fields) -> OtherPeerSettings:
    other = OtherPeerSettings(
        kubo_id=fields.text("kubo_id"),
        kubo_address=fields.text("kubo_address"),
        cluster_id=fields.text("cluster_id"),
    )
    fields.end()
    return other
