"""Key files in Tessera's formats are read and written; rubbish costs nothing and secrets are not told."""

from __future__ import annotations

import base64
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from muniment.cli.privacy_keys import keygen
from muniment.kernel.errors import InputError
from muniment.privacy.boxes import KeyPair
from muniment.privacy.key_files import Argon2Options, parse_secret, read_pair, read_password, secret_text, write_pair
from tests.unit.privacy_payloads import PAIR_A, VECTOR

ARGON2 = VECTOR["argon2"]
CHEAP = {"memory": 64, "iterations": 1, "parallelism": 1}


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def locked(**changes: Any) -> dict[str, Any]:
    """The vector's locked key file, with other options."""
    options = {name: ARGON2[name] for name in ("variant", "memory", "iterations", "parallelism")}
    data = {
        "aopts": options | changes.pop("aopts", {}),
        "snonce": b64(bytes.fromhex(ARGON2["snonce"])),
        "asalt": b64(bytes.fromhex(ARGON2["salt"])),
        "sbox": ARGON2["sbox"],
    }
    return {"type": "argon2sbox", "data": data | changes}


def test_argon2_follows_the_vector() -> None:
    options = Argon2Options("id", ARGON2["memory"], ARGON2["iterations"], ARGON2["parallelism"])
    assert options.key(ARGON2["password"], bytes.fromhex(ARGON2["salt"])).hex() == ARGON2["key"]


def test_the_locked_vector_opens_with_its_password() -> None:
    assert parse_secret(json.dumps(locked()), ARGON2["password"]) == PAIR_A
    for password, sentence in (("wrong", "password is wrong"), (None, "no password file is given")):
        with pytest.raises(ValueError, match=sentence):
            parse_secret(json.dumps(locked()), password)


@pytest.mark.parametrize("variant", ["i", "d", "id"])
@pytest.mark.parametrize("password", ["pass", "", "pässword 密码"])
def test_every_variant_is_written_and_read(variant: str, password: str) -> None:
    text = secret_text(PAIR_A, password, Argon2Options(variant, **CHEAP))
    assert json.loads(text)["type"] == "argon2sbox"
    assert json.loads(text)["data"]["aopts"] == {"variant": variant, **CHEAP}
    assert parse_secret(text, password) == PAIR_A
    with pytest.raises(ValueError, match="password is wrong"):
        parse_secret(text, password + "x")


def test_an_unlocked_file_is_tesseras() -> None:
    text = secret_text(PAIR_A)
    assert json.loads(text) == {"type": "unlocked", "data": {"bytes": b64(PAIR_A.secret)}}
    assert parse_secret(text) == parse_secret(text, "not needed") == PAIR_A


@pytest.mark.parametrize(
    "options",
    [
        {"memory": 1 << 40},
        {"memory": 1 << 22, "iterations": 17},
        {"memory": -1},
        {"memory": 1.5},
        {"memory": True},
        {"memory": "65536"},
        {"iterations": 0},
        {"iterations": 1 << 31},
        {"parallelism": 0},
        {"parallelism": 1 << 24},
        {"variant": "x"},
        {"variant": None},
        {"variant": ["id"]},
        {"memory": 8, "parallelism": 64},
    ],
)
def test_options_that_cannot_be_meant_cost_nothing(options: dict[str, Any]) -> None:
    started = time.monotonic()
    with pytest.raises(ValueError, match=r"Argon2|format"):
        parse_secret(json.dumps(locked(aopts=options)), "pass")
    assert time.monotonic() - started < 5.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rubbish",
        "[]",
        "null",
        "{}",
        '{"type":"unlocked"}',
        '{"type":"unlocked","data":[]}',
        '{"type":"unlocked","data":{"bytes":7}}',
        '{"type":"unlocked","data":{"bytes":"AAAA"}}',
        '{"type":"unlocked","data":{"bytes":"no base64"}}',
        '{"type":["unlocked"],"data":{}}',
        '{"type":"aws","data":{}}',
        "[" * 100_000,
        json.dumps({"type": "argon2sbox", "data": {"aopts": None}}),
        json.dumps(locked(asalt="")),
        json.dumps(locked(snonce="AAAA")),
        json.dumps(locked(sbox="AAAA")),
        json.dumps(locked(asalt=5)),
    ],
)
def test_what_is_no_key_file_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_secret(text, "pass")


@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner)))
def test_any_json_is_refused(value: Any) -> None:
    for kind in ("unlocked", "argon2sbox"):
        with pytest.raises(ValueError, match=r"."):
            parse_secret(json.dumps({"type": kind, "data": value}), "pass")


def test_a_pair_is_written_for_its_owner_alone_and_read(tmp_path: Path) -> None:
    secret_file, public_file = write_pair(tmp_path / "alpha", PAIR_A)
    assert (secret_file, public_file) == (tmp_path / "alpha.key", tmp_path / "alpha.pub")
    assert secret_file.stat().st_mode & 0o777 == 0o600
    assert public_file.read_text() == VECTOR["public_a"] + "\n"
    assert read_pair(secret_file) == PAIR_A


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "alpha.pub").write_text("here already")
    with pytest.raises(InputError, match=r"alpha\.pub is there already"):
        write_pair(tmp_path / "alpha", PAIR_A)
    assert not (tmp_path / "alpha.key").exists()
    with pytest.raises(InputError, match="is a directory"):
        write_pair(Path("/"), PAIR_A)


def test_a_locked_pair_is_read_with_the_password_in_a_file(tmp_path: Path) -> None:
    secret_file, password_file = tmp_path / "k", tmp_path / "p"
    secret_file.write_text(secret_text(PAIR_A, "pass word", Argon2Options(**CHEAP)))
    password_file.write_text("pass word\r\n")
    assert read_pair(secret_file, password_file) == PAIR_A
    password_file.write_text("\n")
    with pytest.raises(InputError, match="p is empty"):
        read_pair(secret_file, password_file)


@pytest.mark.parametrize("content", [b"\xff\xfe", b" " * 70_000, b"{}"])
def test_a_file_that_is_no_key_is_named_and_not_shown(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "k"
    path.write_bytes(content)
    with pytest.raises(InputError, match=str(path)) as raised:
        read_pair(path)
    assert "xff" not in str(raised.value)


def test_what_is_no_file_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "missing", tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(InputError, match=str(path)):
            read_pair(path)


def test_keygen_makes_a_pair_and_shows_the_public_key_alone(tmp_path: Path) -> None:
    result = CliRunner().invoke(keygen, ["-o", str(tmp_path / "new")])
    assert result.exit_code == 0, result.output
    pair = read_pair(tmp_path / "new.key")
    assert b64(pair.public) in result.output
    assert (tmp_path / "new.pub").read_text() == b64(pair.public) + "\n"
    assert b64(pair.secret) not in result.output


def test_keygen_locks_the_key_by_a_password(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("pass\n")
    arguments = ["-o", str(tmp_path / "new"), "--password-file", str(tmp_path / "password")]
    result = CliRunner().invoke(keygen, arguments)
    assert result.exit_code == 0, result.output
    pair = read_pair(tmp_path / "new.key", tmp_path / "password")
    assert pair == KeyPair.of(pair.secret)
    assert json.loads((tmp_path / "new.key").read_text())["data"]["aopts"]["variant"] == "id"
    assert isinstance(CliRunner().invoke(keygen, arguments).exception, InputError)


def test_a_password_is_all_of_its_file_but_the_end_of_the_line(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("  two words \n")
    assert read_password(tmp_path / "p") == "  two words "
