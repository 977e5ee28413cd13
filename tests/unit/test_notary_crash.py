"""A crash at every boundary of every durable step: nothing accepted is lost, nothing is anchored twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from muniment.notary.values import FileView
from tests.support.notary import Crash, Rig

pytestmark = pytest.mark.anyio

REQUESTS = {f"key {number}": [bytes([number, n]) * (n * 7) for n in range(5)] for number in range(3)}
LARGE = {"large": [b"x" * (5 << 20), b"", b"y"]}


async def client(rig: Rig, answered: dict[str, list[FileView]]) -> None:
    """What a client does: uploads with its keys until each is answered, then waits."""
    for key, contents in (REQUESTS | LARGE).items():
        if key not in answered:
            answered[key] = await rig.upload(contents, key)
    await rig.all_anchored([file.id for files in answered.values() for file in files])
    await rig.idle()


async def test_every_boundary(tmp_path: Path) -> None:
    count = await _boundaries(tmp_path / "counting")
    assert count >= 12
    for boundary in range(1, count + 1):
        await _crash_and_go_on(tmp_path / str(boundary), boundary)


async def _boundaries(folder: Path) -> int:
    rig = Rig(folder)
    await rig.start()
    await client(rig, {})
    await rig.stop()
    return rig.crashes.passed


async def _crash_and_go_on(folder: Path, boundary: int) -> None:
    rig = Rig(folder)
    answered: dict[str, list[FileView]] = {}
    await rig.start(crash_at=boundary)
    try:
        await client(rig, answered)
    except Crash:
        await rig.stop()
        await rig.start()
        await client(rig, answered)
    await _check(rig, answered)
    await rig.stop()


async def _check(rig: Rig, answered: dict[str, list[FileView]]) -> None:
    files = [file for some in answered.values() for file in some]
    leaves = Counter[str]()
    last = await rig.store.last_batch()
    for number in range(1, last[0] + 1):
        batch = await rig.store.batch(number)
        assert batch.anchor is not None
        assert rig.ledger.sizes[batch.fixed.root] == batch.fixed.size
        assert rig.ledger.anchors[batch.fixed.root] == batch.anchor
        leaves.update(identifier for identifier, _ in await rig.store.statements(number))
        assert set(rig.contents[batch.fixed.directory]) == {i for i, _ in await rig.store.statements(number)}
    assert leaves == Counter({file.id: 1 for file in files})
    assert len(files) == sum(map(len, (REQUESTS | LARGE).values()))
    assert sum(rig.ledger.sizes.values()) == len(files)
    assert len(rig.ledger.mined) == len(rig.ledger.anchors) == last[0]
    assert await asyncio.to_thread(rig.spool.used_bytes) == 0


async def test_two_crashes_in_a_row(tmp_path: Path) -> None:
    for first in (2, 4, 6, 9):
        for second in (1, 3, 5):
            rig = Rig(tmp_path / f"{first}-{second}")
            answered: dict[str, list[FileView]] = {}
            for boundary in (first, second, None):
                await rig.start(crash_at=boundary)
                try:
                    await client(rig, answered)
                    break
                except Crash:
                    await rig.stop()
            await _check(rig, answered)
            await rig.stop()


async def test_unreferenced_content_is_freed_at_start(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    await rig.start()
    await rig.stop()
    stray = tmp_path / "spool" / "17.segment"
    stray.write_bytes(b"nobody refers to this")
    await rig.start()
    assert not stray.exists()
    await rig.stop()
