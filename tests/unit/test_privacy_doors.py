"""The listeners of a manager, opened before anything else is loaded."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from muniment.kernel.errors import InputError
from muniment.privacy.doors import Address, addresses, open_door

GOOD = (
    '{"q2t":{"host":"127.0.0.1","port":1},"p2p":{"host":"::1","port":2},"status":{"host":"a","port":65535},"more":[]}'
)


def test_addresses_are_found_in_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "privacy.json"
    path.write_text(GOOD)
    assert addresses(path) == [Address("127.0.0.1", 1), Address("::1", 2), Address("a", 65535)]


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "[]", "null", "{}", GOOD.replace("65535", "65536"), GOOD.replace("65535", "0"), "[" * 10_000,
        GOOD.replace("65535", '"1"'), GOOD.replace("65535", "true"), GOOD.replace('"a"', "1"), GOOD.replace("p2p", "x"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_left_to_who_reads_the_whole_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "privacy.json"
    path.write_text(content)
    assert addresses(path) == []
    assert addresses(tmp_path / "none") == []


def test_a_door_takes_connections_before_anybody_serves() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with open_door(Address("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port), 5) as caller:
        caller.sendall(b"waits")
        with pytest.raises(InputError, match="cannot be opened"):
            open_door(Address("127.0.0.1", port))


def test_the_command_loads_nothing_heavy_before_its_doors_are_open() -> None:
    heavy = ("pydantic", "uvicorn", "sqlalchemy", "nacl", "asyncio", "prometheus_client", "rich", "httpx2")
    code = (
        "import sys, muniment.cli.main, muniment.cli.privacy, muniment.cli.privacy_serve;"
        f"print(*[name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == []
