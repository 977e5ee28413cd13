from __future__ import annotations

import os
from pathlib import Path

import pytest

from muniment.identity.secret_files import MOST_BYTES, publish_directory, read_secret
from muniment.kernel.errors import InputError, IntegrityError


def modes(directory: Path) -> set[tuple[str, int]]:
    return {
        (str(path.relative_to(directory.parent)), path.stat().st_mode & 0o777)
        for path in (directory, *directory.rglob("*"))
    }


def test_published_whole_and_private(tmp_path: Path) -> None:
    publish_directory(tmp_path / "a", {"x": "1", "deep/down/y": "2"})
    assert modes(tmp_path / "a") == {
        ("a", 0o700), ("a/x", 0o600), ("a/deep", 0o700), ("a/deep/down", 0o700), ("a/deep/down/y", 0o600),
    }  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert read_secret(tmp_path / "a" / "deep" / "down" / "y") == "2"


def test_never_overwritten(tmp_path: Path) -> None:
    publish_directory(tmp_path / "a", {"x": "1"})
    with pytest.raises(IntegrityError, match="never overwritten"):
        publish_directory(tmp_path / "a", {"x": "2"})
    assert read_secret(tmp_path / "a" / "x") == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_a_crash_left_is_removed(tmp_path: Path) -> None:
    leftover = tmp_path / ".a.0badcafe"
    leftover.mkdir()
    (leftover / "x").write_text("half")
    publish_directory(tmp_path / "a", {"x": "1"})
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_place_that_cannot_be_written() -> None:
    with pytest.raises(InputError, match="/proc"):
        publish_directory(Path("/proc/muniment/a"), {"x": "1"})


def secret(tmp_path: Path, content: bytes = b"text", mode: int = 0o600) -> Path:
    path = tmp_path / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_private_modes(tmp_path: Path, mode: int) -> None:
    assert read_secret(secret(tmp_path, mode=mode)) == "text"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o601])
def test_open_modes(tmp_path: Path, mode: int) -> None:
    path = secret(tmp_path, mode=mode)
    with pytest.raises(IntegrityError) as caught:
        read_secret(path)
    assert f"mode {mode:04o}" in str(caught.value)
    assert f"chmod 600 {path}" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe", b"x" * (MOST_BYTES + 1)])
def test_damaged(tmp_path: Path, content: bytes) -> None:
    path = secret(tmp_path, content)
    with pytest.raises(IntegrityError, match=r"is damaged .* restore it from your backup"):
        read_secret(path)
    assert path.read_bytes() == content


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="secret is missing"):
        read_secret(tmp_path / "secret")


def test_not_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "directory").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    for name in ("pipe", "directory", "loop"):
        with pytest.raises(IntegrityError, match=name):
            read_secret(tmp_path / name)
