"""Promise: files of any kind and number are notarised, memory stays flat, and what cannot be is refused by name."""

from __future__ import annotations

import json
import os
import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import psutil
import pytest

from tests.support.consortium import Consortium
from tests.support.waiting import MENDED, wait_until

pytestmark = pytest.mark.engines


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty", b""),
        ("公證文件.txt", "內容".encode()),
        ("with space and 'quotes\".txt", b"x"),
        ("big.bin", os.urandom(5_000_001)),
    ],
)
def test_a_file_is_proved_and_a_changed_one_disproved(
    demo: Consortium, tmp_path: Path, name: str, content: bytes
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    _, told = demo.notarize(file)
    receipt = told["files"][0]["receipt"]
    assert demo.verify(file, receipt) == (0, "proved")
    file.write_bytes(content + b"!")
    assert demo.verify(file, receipt) == (1, "disproved")


def test_content_is_pinned_on_as_many_peers_as_promised(demo: Consortium, tmp_path: Path) -> None:
    file = tmp_path / "pinned.txt"
    file.write_text("pinned before it counts as stored")
    _, told = demo.notarize(file)
    receipt = json.loads((demo.folder / told["files"][0]["receipt"]).read_text())
    assert receipt["level"] == "anchored"
    cid = receipt["subject"]["cid"]
    holders = 0
    for peer in demo.names("kubo"):
        url = urlsplit(demo.endpoint(peer, "api"))
        data = demo.state / "data" / peer
        assert data.is_dir()
        holders += _has_block(url.hostname, url.port, cid)
    assert holders >= demo.specification["ipfs"]["replication"]["min"]


def _has_block(host: str | None, port: int | None, cid: str) -> bool:
    query = {"arg": cid, "offline": "true"}
    return httpx2.post(f"http://{host}:{port}/api/v0/block/stat", params=query).status_code == 200


def test_ten_thousand_small_files_in_one_folder(demo: Consortium, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(10_000):
        (folder / f"{number:05}.txt").write_text(f"file {number}")
    _, told = demo.notarize(folder, timeout=600)
    assert len(told["files"]) == 10_000
    assert {file["state"] for file in told["files"]} == {"anchored"}
    for file in (told["files"][0], told["files"][4_999], told["files"][-1]):
        assert demo.verify(Path(file["path"]), file["receipt"]) == (0, "proved")
    assert demo.verify(Path(told["files"][0]["path"]), told["files"][1]["receipt"])[1] == "disproved"


def test_two_gibibytes_leave_the_memory_flat(demo: Consortium, tmp_path: Path) -> None:
    file = tmp_path / "sparse"
    with file.open("wb") as stream:
        stream.truncate(2 * 2**30)
    notary = psutil.Process(demo.workload("alpha-notary")["pid"])
    before, peak, done = notary.memory_info().rss, 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.1):
            peak = max(peak, notary.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        _, told = demo.notarize(file, timeout=600)
    finally:
        done.set()
        watcher.join()
    assert told["files"][0]["size"] == 2 * 2**30
    assert peak - before < 200 * 2**20
    assert demo.verify(file, told["files"][0]["receipt"]) == (0, "proved")


def test_a_file_that_changes_while_it_is_uploaded_is_refused_by_name(demo: Consortium, tmp_path: Path) -> None:
    file = tmp_path / "growing"
    with file.open("wb") as stream:
        stream.truncate(1 * 2**30)
    stop = threading.Event()

    def change() -> None:
        number = 0
        while not stop.wait(0.01):
            number += 1
            with file.open("r+b") as stream:
                stream.seek(2**30 - 8)
                stream.write(number.to_bytes(8, "big"))

    changer = threading.Thread(target=change)
    changer.start()
    try:
        status, told = demo.notarize(file, check=False)
    finally:
        stop.set()
        changer.join()
    assert status == 1
    assert not told["files"]
    assert "changed" in told["failed"][0]["cause"]


def test_an_upload_cut_off_leaves_nothing(demo: Consortium) -> None:
    notary = urlsplit(demo.member("alpha")["notary"])
    spool = demo.state / "data" / "alpha-notary"
    with socket.create_connection((notary.hostname, notary.port)) as connection:
        connection.sendall(
            b"POST /v1/files?name=cut HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
            b"Content-Length: 100000000\r\n\r\n" + bytes(40_000_000)
        )

    def spooled() -> int:
        return sum(path.stat().st_size for path in spool.rglob("*") if path.is_file() and "sqlite" not in path.name)

    wait_until("the spool to be empty again", lambda: spooled() < 1_000_000, timeout=MENDED)


def test_missing_and_unreadable_paths_are_named(demo: Consortium, tmp_path: Path) -> None:
    done = demo.run("notarize", tmp_path / "absent", "--state", demo.state, check=False)
    assert done.returncode == 2
    assert "absent" in done.stderr
    (tmp_path / "empty").mkdir()
    done = demo.run("notarize", tmp_path / "empty", "--state", demo.state, check=False)
    assert done.returncode == 2
    assert "empty" in done.stderr
