"""A privacy manager's configuration file: JSON, rendered from the topology, refused when it holds anything unknown."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from muniment.kernel.errors import InputError

KEY_BYTES: Final = 32


def _key(value: Any) -> bytes:
    try:
        key = base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise ValueError("a public key is base64") from error
    if len(key) != KEY_BYTES:
        raise ValueError(f"a public key has {KEY_BYTES} bytes")
    return key


PublicKey = Annotated[bytes, BeforeValidator(_key)]


class Strict(BaseModel):
    """Unknown fields are errors, values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Listen(Strict):
    """Where one interface listens."""

    host: str
    port: int = Field(ge=1, le=65535)


class KeyFiles(Strict):
    """One key pair: the file of its secret key in Tessera's format, and of the password that locks it."""

    secret_key_file: Path
    password_file: Path | None = None


class DatabaseSettings(Strict):
    """The member's database: `sqlite` with a file, or a URL without a password, of one host or several."""

    url: str = Field(pattern=r"^(sqlite|(postgresql|mysql|mariadb)://\S+)$")
    file: Path | None = None
    password_file: Path | None = None


class TlsFiles(Strict):
    """Mutual TLS: our certificate and its key, and the authorities whose certificates are taken."""

    certificate_file: Path
    key_file: Path
    authorities_file: Path


class Tls(Strict):
    """TLS of the node's interface and of the other members' one; plain where nothing is given."""

    q2t: TlsFiles | None = None
    p2p: TlsFiles | None = None


class ResidentGroup(Strict):
    """Keys that share one of the node's private states."""

    name: str
    id: str
    """base64 of the private state's name."""
    description: str = ""
    members: tuple[PublicKey, ...]

    @field_validator("id")
    @classmethod
    def _is_base64(cls, value: str) -> str:
        try:
            name = base64.b64decode(value, validate=True)
        except ValueError as error:
            raise ValueError("the id of a group is base64") from error
        if not name:
            raise ValueError("the id of a group is not empty")
        return value


class Settings(Strict):
    """The whole file."""

    member: str
    q2t: Listen
    """For the node ("quorum to Tessera")."""
    p2p: Listen
    """For other members' managers."""
    status: Listen
    """Plain HTTP without secrets: /live, /ready, /metrics."""
    advertised_url: str
    """Where other members reach this member's managers: the same for all of them."""
    keys: tuple[KeyFiles, ...] = Field(min_length=1)
    database: DatabaseSettings
    data_dir: Path
    """The manager's own volume: it remembers which database it knows."""
    peers: tuple[str, ...] = ()
    """URLs of other members' managers that are told who we are in any case."""
    discovery: bool = True
    """Whether managers that are not among `peers` may announce themselves."""
    key_validation: bool = True
    """Whether a manager must show that it can open what was sealed for a key before the key is believed."""
    always_send_to: tuple[PublicKey, ...] = ()
    announce_seconds: float = Field(default=5.0, gt=0, le=3600)
    hold_seconds: float = Field(default=8.0, ge=0, le=300)
    """How long a request waits for the database; less than the node's `--ptm.timeout`."""
    largest_payload_bytes: int = Field(default=16 << 20, ge=1024, le=1 << 30)
    resident_groups: tuple[ResidentGroup, ...] = ()
    """Given when the chain has several private states; then every key belongs to one of them."""
    tls: Tls = Tls()

    @field_validator("resident_groups")
    @classmethod
    def _are_distinct(cls, groups: tuple[ResidentGroup, ...]) -> tuple[ResidentGroup, ...]:
        # A node refuses to start with others (GoQuorum core/private_state_manager.go).
        if len({group.id for group in groups}) < len(groups):
            raise ValueError("the ids of the groups are different")
        members = [key for group in groups for key in group.members]
        if len(set(members)) < len(members):
            raise ValueError("a key is in one group only")
        return groups

    def database_password(self) -> str | None:
        """The database's password, when it has one. Raises `InputError` when its file cannot be read."""
        path = self.database.password_file
        if path is None:
            return None
        try:
            return path.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path} cannot be read ({error}): name the file with the database's password") from error

    def sqlite_file(self) -> Path:
        """The file of an SQLite database."""
        return self.database.file or self.data_dir / "privacy.sqlite"


def read(path: Path) -> Settings:
    """The settings in the file at `path`. Raises `InputError` with one sentence that names the first wrong field."""
    try:
        return Settings.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}): name the privacy manager's configuration file"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(
            f"{path}: {field}: {first['msg']}; render the configuration anew with `muniment up`"
        ) from error
