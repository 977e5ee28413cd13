"""Look-ups together: each caller gets an answer that was found after it asked."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

import pytest

from muniment.kernel.errors import TemporaryError
from muniment.privacy.store_lookups import Lookups

pytestmark = pytest.mark.anyio


class Table:
    """Answers when `go` is set, with what it holds when it began."""

    def __init__(self) -> None:
        self.rows: dict[bytes, int] = {}
        self.asked: list[Collection[bytes]] = []
        self.failure: TemporaryError | None = None
        self.go = asyncio.Event()

    async def find(self, hashes: Collection[bytes]) -> Mapping[bytes, int]:
        self.asked.append(hashes)
        found = {each: self.rows[each] for each in hashes if each in self.rows}
        await self.go.wait()
        if self.failure is not None:
            raise self.failure
        return found


async def asking(lookups: Lookups[int], *hashes: bytes) -> list[asyncio.Task[int | None]]:
    tasks = [asyncio.create_task(lookups.get(each)) for each in hashes]
    # Twice: the tasks, and the look-up that they begin.
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_what_is_asked_meanwhile_is_looked_up_together_later() -> None:
    table = Table()
    table.rows[b"a"] = 1
    lookups = Lookups(table.find, at_once=1, most=2)
    first = await asking(lookups, b"a")
    table.rows[b"b"] = 2
    later = await asking(lookups, b"b", b"c", b"d", b"b")
    table.go.set()
    assert await asyncio.gather(*first, *later) == [1, 2, None, None, 2]
    assert table.asked == [(b"a",), (b"b", b"c"), (b"d",)]


async def test_an_answer_is_never_older_than_its_question() -> None:
    table = Table()
    lookups = Lookups(table.find, at_once=1, most=10)
    early = await asking(lookups, b"a")
    table.rows[b"a"] = 1
    late = await asking(lookups, b"a")
    table.go.set()
    assert await asyncio.gather(*early, *late) == [None, 1]


async def test_several_look_ups_go_on_at_once() -> None:
    table = Table()
    lookups = Lookups(table.find, at_once=2, most=1)
    tasks = await asking(lookups, b"a")
    tasks += await asking(lookups, b"b")
    tasks += await asking(lookups, b"c")
    assert table.asked == [(b"a",), (b"b",)]
    table.go.set()
    assert await asyncio.gather(*tasks) == [None] * 3


async def test_all_who_asked_together_hear_of_a_failure_and_the_next_do_not() -> None:
    table = Table()
    table.failure = TemporaryError("away")
    lookups = Lookups(table.find, at_once=1, most=10)
    tasks = await asking(lookups, b"a", b"b")
    table.go.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(result) for result in results] == ["away", "away"]
    table.failure = None
    assert await lookups.get(b"a") is None


async def test_who_gives_up_does_not_disturb_the_others() -> None:
    table = Table()
    lookups = Lookups(table.find, at_once=1, most=10)
    gone, stays = await asking(lookups, b"a", b"a")
    gone.cancel()
    table.go.set()
    assert await stays is None
    assert gone.cancelled() or gone.cancelling()


async def test_who_waits_behind_a_failure_is_not_kept_waiting() -> None:
    table = Table()
    table.failure = TemporaryError("away")
    lookups = Lookups(table.find, at_once=1, most=10)
    tasks = await asking(lookups, b"a")
    tasks += await asking(lookups, b"b")
    table.go.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(result) for result in results] == ["away", "away"]
    assert table.asked == [(b"a",)]
