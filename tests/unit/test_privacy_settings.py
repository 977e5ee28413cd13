"""The configuration file of a privacy manager: read strictly, and refused in one sentence."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from muniment.kernel.errors import InputError
from muniment.privacy.settings import read

KEYS = [b64encode(bytes([number]) * 32).decode() for number in range(3)]


def document(**changes: Any) -> dict[str, Any]:
    return {
        "member": "alpha",
        **{name: {"host": "127.0.0.1", "port": 9000 + n} for n, name in enumerate(("q2t", "p2p", "status"))},
        "advertised_url": "http://127.0.0.1:9100/",
        "keys": [{"secret_key_file": "/keys/1.key"}],
        "database": {"url": "sqlite"},
        "data_dir": "/data",
        **changes,
    }


def write(folder: Path, content: dict[str, Any] | str) -> Path:
    path = folder / "privacy.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def group(number: int, *members: str, **changes: Any) -> dict[str, Any]:
    return {"name": f"g{number}", "id": b64encode(b"g%d" % number).decode(), "members": list(members), **changes}


def test_what_is_left_out_has_its_usual_value(tmp_path: Path) -> None:
    settings = read(write(tmp_path, document()))
    assert (settings.hold_seconds, settings.announce_seconds, settings.discovery) == (8.0, 5.0, True)
    assert (settings.tls.q2t, settings.tls.p2p, settings.resident_groups) == (None, None, ())
    assert settings.sqlite_file() == Path("/data/privacy.sqlite")
    assert settings.database_password() is None


def test_keys_are_read_as_bytes_and_groups_as_they_are(tmp_path: Path) -> None:
    groups = [group(1, KEYS[0]), group(2, KEYS[1], KEYS[2])]
    settings = read(write(tmp_path, document(always_send_to=[KEYS[1]], resident_groups=groups)))
    assert settings.always_send_to == (b"\x01" * 32,)
    assert [one.members for one in settings.resident_groups] == [(bytes(32),), (b"\x01" * 32, b"\x02" * 32)]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"unknown": 1}, "unknown"),
        ({"q2t": {"host": "127.0.0.1", "port": 0}}, "q2t.port"),
        ({"keys": []}, "keys"),
        ({"database": {"url": "oracle://x"}}, "database.url"),
        ({"hold_seconds": -1}, "hold_seconds"),
        ({"announce_seconds": 0}, "announce_seconds"),
        ({"largest_payload_bytes": 1}, "largest_payload_bytes"),
        ({"always_send_to": ["AAAA"]}, "always_send_to"),
        ({"always_send_to": ["%"]}, "always_send_to"),
        ({"tls": {"q2t": {"certificate_file": "a"}}}, "tls.q2t"),
        ({"resident_groups": [group(1, KEYS[0], id="%")]}, "resident_groups.0.id"),
        ({"resident_groups": [group(1, KEYS[0], id="")]}, "resident_groups.0.id"),
        ({"resident_groups": [group(1, KEYS[0]), group(1, KEYS[1])]}, "different"),
        ({"resident_groups": [group(1, KEYS[0]), group(2, KEYS[0])]}, "one group only"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError, match=field):
        read(write(tmp_path, document(**changes)))


@pytest.mark.parametrize("content", ["", "{", "[]", "null"])
def test_a_file_that_is_no_document_is_told(tmp_path: Path, content: str) -> None:
    with pytest.raises(InputError, match=r"privacy\.json"):
        read(write(tmp_path, content))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path / "none")


def test_the_password_of_the_database_comes_from_its_file_without_the_end_of_line(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("p w\n")
    url = "postgresql://muniment@a:1,b:2/privacy"
    path = write(tmp_path, document(database={"url": url, "password_file": str(secret)}))
    assert read(path).database_password() == "p w"
    secret.unlink()
    with pytest.raises(InputError, match="password"):
        read(path).database_password()
