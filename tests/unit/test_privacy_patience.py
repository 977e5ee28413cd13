"""Patience: requests wait for the database, for as long as they may and not longer."""

from __future__ import annotations

import asyncio
import time

import pytest

from muniment.kernel.errors import PermanentError, TemporaryError
from muniment.privacy.errors import NotReadyError
from muniment.privacy.patience import current, patience, patiently

pytestmark = pytest.mark.anyio


class Database:
    """Fails so many times."""

    def __init__(self, failures: int, error: Exception | None = None) -> None:
        self.failures = failures
        self.error = error
        self.calls = 0

    async def work(self) -> str:
        self.calls += 1
        if self.calls > self.failures:
            return "done"
        raise self.error or TemporaryError(f"away {self.calls}")


async def test_requests_are_held_while_the_database_is_away_and_go_on_when_it_is_back() -> None:
    database = Database(2)
    with patience(30) as mine:
        assert await patiently(database.work) == "done"
        assert mine.used
    assert database.calls == 3


async def test_what_works_at_once_needs_no_patience() -> None:
    with patience(30) as mine:
        assert await patiently(Database(0).work) == "done"
        assert not mine.used


async def test_without_patience_nothing_is_tried_again() -> None:
    assert current() is None
    database = Database(1)
    with pytest.raises(TemporaryError, match="away 1"):
        await patiently(database.work)
    assert database.calls == 1


async def test_patience_may_be_none() -> None:
    database = Database(1)
    with patience(0.0), pytest.raises(TemporaryError, match="away 1"):
        await patiently(database.work)
    assert database.calls == 1


async def test_patience_ends_with_the_last_cause() -> None:
    database = Database(10_000)
    begun = time.monotonic()
    with patience(0.3), pytest.raises(TemporaryError) as caught:
        await patiently(database.work)
    assert time.monotonic() - begun < 5
    assert database.calls > 2
    assert str(caught.value) == f"away {database.calls}"


async def test_a_cause_keeps_its_kind() -> None:
    with patience(0.2), pytest.raises(NotReadyError):
        await patiently(Database(10_000, NotReadyError("starting")).work)


async def test_what_will_never_work_is_not_tried_again() -> None:
    database = Database(10_000, PermanentError("wrong"))
    with patience(30), pytest.raises(PermanentError):
        await patiently(database.work)
    assert database.calls == 1


async def test_all_calls_of_a_request_share_its_patience() -> None:
    begun = time.monotonic()
    with patience(0.4) as mine:
        for _ in range(20):
            with pytest.raises(TemporaryError):
                await patiently(Database(10_000).work)
        assert mine.left() < 0.4
    assert time.monotonic() - begun < 5


async def test_patience_is_of_one_request_alone() -> None:
    waiting, may_end = asyncio.Event(), asyncio.Event()

    async def patient() -> None:
        with patience(30):
            waiting.set()
            await may_end.wait()

    task = asyncio.create_task(patient())
    await waiting.wait()
    assert current() is None
    may_end.set()
    await task
    with patience(30) as outer:
        with patience(0.0) as inner:
            assert current() is inner
        assert current() is outer
