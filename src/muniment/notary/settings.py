"""The notary's configuration file: JSON, rendered from the topology, refused when it holds anything unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from muniment.kernel.errors import InputError


class Strict(BaseModel):
    """Unknown fields are errors, values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Listen(Strict):
    """Where the API listens."""

    host: str
    port: int = Field(ge=1, le=65535)


class DatabaseSettings(Strict):
    """The database: `sqlite` is a file in `data_dir`, anything else a URL without a password."""

    url: str = Field(default="sqlite", pattern=r"^(sqlite|(postgresql|mysql|mariadb)://\S+)$")
    password_file: Path | None = None


class PeerSettings(Strict):
    """One peer of the member: kubo's RPC, the cluster's REST API, and the cluster's peer ID."""

    kubo: str
    cluster: str
    cluster_id: str


class ReplicationSettings(Strict):
    """Content counts as stored when `min` peers hold it pinned; `max` are asked to."""

    min: int = Field(default=2, ge=1)
    max: int = Field(default=3, ge=1)


class BatchSettings(Strict):
    """When a batch closes: after `window_seconds`, or at `max_files`, or at `max_bytes` of content."""

    window_seconds: float = Field(default=1.0, ge=0, le=3600)
    max_files: int = Field(default=5000, ge=1, le=100_000)
    max_bytes: int = Field(default=268_435_456, ge=1)


class Settings(Strict):
    """The whole file."""

    listen: Listen
    member: str
    network: str
    """The consortium's name; it stands in every statement."""
    chain_id: int = Field(ge=1)
    consensus: Literal["qbft", "ibft", "raft", "clique"]
    contract: str = Field(pattern=r"^0x[0-9a-fA-F]{40}$")
    confirmations: int = Field(default=0, ge=0)
    """Blocks that must follow an anchor's block before it counts; 0 where blocks are final at once."""
    rpc: str
    keystore_file: Path
    passphrase_file: Path
    database: DatabaseSettings = DatabaseSettings()
    data_dir: Path
    """The volume: spool, lock, and the database file when it is SQLite."""
    peers: tuple[PeerSettings, ...] = Field(min_length=1)
    cluster_password_file: Path
    replication: ReplicationSettings = ReplicationSettings()
    batch: BatchSettings = BatchSettings()
    replicas: int = Field(default=1, ge=1, le=16)
    """How many notaries of the member share the database, each with a volume of its own."""

    @model_validator(mode="after")
    def _enough_peers(self) -> Self:
        if self.replication.max < self.replication.min:
            raise ValueError("replication.max must be at least replication.min")
        if len(self.peers) < self.replication.min:
            raise ValueError(f"{len(self.peers)} peers cannot keep {self.replication.min} copies (replication.min)")
        return self

    @property
    def origin(self) -> str:
        """Who writes the chain of batches: network and member."""
        return f"{self.network}/{self.member}"

    def cluster_password(self) -> str:
        """The password of the clusters' REST API. Raises `InputError` when its file cannot be read."""
        return read_secret(self.cluster_password_file)

    def database_password(self) -> str | None:
        """The database's password, when it has one. Raises `InputError` when its file cannot be read."""
        return None if self.database.password_file is None else read_secret(self.database.password_file)


def read_secret(path: Path) -> str:
    """The text of a secret file without surrounding white space. Raises `InputError` when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} cannot be read ({error}): render the configuration anew with `muniment up`"
        ) from error


def read(path: Path) -> Settings:
    """The settings in the file at `path`. Raises `InputError` with one sentence that names the first wrong field."""
    try:
        return Settings.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): name the notary's configuration file") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(
            f"{path}: {field}: {first['msg']}; render the configuration anew with `muniment up`"
        ) from error
