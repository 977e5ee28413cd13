"""Promise: `down` and `up` keep identities, chain and pins; a power cut keeps every block ever shown as a head."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support import rpc
from tests.support.consortium import Consortium
from tests.support.waiting import BLOCKS, STARTED, wait_until
from tests.support.writer import HeadWatcher, Writer

pytestmark = pytest.mark.engines


def identity_files(consortium: Consortium) -> dict[str, bytes]:
    root = consortium.state / "identity"
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def notarize(consortium: Consortium, content: bytes, name: str = "file.bin") -> tuple[Path, dict[str, Any]]:
    file = consortium.folder / name
    file.write_bytes(content)
    _, told = consortium.notarize(file)
    return file, told["files"][0]


def node_urls(consortium: Consortium) -> list[str]:
    return [consortium.endpoint(name) for name in consortium.names("node")]


def assert_all_in_chain(consortium: Consortium, seen: dict[int, set[str]]) -> None:
    """Every head ever seen is the block of its number on every node, once they have caught up."""
    highest = max(seen)
    urls = node_urls(consortium)
    wait_until("all nodes to reach the highest head", lambda: min(map(rpc.head, urls)) >= highest, timeout=STARTED)
    replaced = {
        (number, url): (hashes, rpc.block_hash(url, number))
        for number, hashes in seen.items()
        for url in urls
        if hashes != {rpc.block_hash(url, number)}
    }
    assert not replaced


def test_down_and_up_keep_everything(own_demo: Consortium) -> None:
    own_demo.up()
    file, notarised = notarize(own_demo, b"kept over a restart")
    gateway = own_demo.member("alpha")["rpc"]
    genesis, old_head = rpc.block_hash(gateway, 0), rpc.head(gateway)
    head_hash = rpc.block_hash(gateway, old_head)
    identities = identity_files(own_demo)

    own_demo.down()
    assert not own_demo.processes()
    own_demo.up()

    assert identity_files(own_demo) == identities
    assert rpc.block_hash(gateway, 0) == genesis
    assert rpc.block_hash(gateway, old_head) == head_hash
    with Writer(gateway):
        own_demo.wait_blocks(gateway, timeout=BLOCKS)
    assert own_demo.verify(file, notarised["receipt"]) == (0, "proved")
    _, again = notarize(own_demo, b"and another", "again.bin")
    assert again["state"] == "anchored"


def power_cut(consortium: Consortium) -> None:
    """kill -9 of everything at once, the supervisor first so that it cannot start anything again."""
    processes = consortium.processes()
    for name in sorted(processes, key=lambda name: not name.startswith("supervisor")):
        processes[name].send_signal(signal.SIGKILL)
    wait_until("everything to be dead", lambda: not consortium.processes(), timeout=10)


def test_power_cut_under_load_loses_no_block(own_demo: Consortium) -> None:
    own_demo.up()
    file, notarised = notarize(own_demo, b"before the cut")
    gateway = own_demo.member("alpha")["rpc"]
    with Writer(gateway, interval=0.02), HeadWatcher(node_urls(own_demo)) as heads:
        own_demo.wait_blocks(gateway, 12, timeout=60)
        power_cut(own_demo)
        heads.stop()

    own_demo.up()

    with Writer(gateway), HeadWatcher(node_urls(own_demo)) as later:
        own_demo.wait_blocks(gateway, 5, timeout=60)
    seen = {
        number: heads.seen.get(number, set()) | later.seen.get(number, set()) for number in {*heads.seen, *later.seen}
    }
    assert_all_in_chain(own_demo, seen)
    assert own_demo.verify(file, notarised["receipt"]) == (0, "proved")
