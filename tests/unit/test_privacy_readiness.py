"""When a manager may serve: its database is there, is the one that it knows, and is not being recovered."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from muniment.kernel.errors import IntegrityError, TemporaryError
from muniment.privacy import readiness as module
from muniment.privacy.errors import NotReadyError
from muniment.privacy.metrics import Metrics
from muniment.privacy.patience import patience
from muniment.privacy.readiness import Readiness, known_instance, open_patiently
from muniment.privacy.status_app import StatusApp
from muniment.privacy.values import Checked
from tests.support.asgi import call
from tests.support.memory_store import MemoryStore

pytestmark = pytest.mark.anyio

KEYS = (bytes(32),)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def readiness(store: MemoryStore, tmp_path: Path) -> Readiness:
    return Readiness(store, KEYS, tmp_path / "data")


@pytest.fixture
def _forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every question is a look at the database."""
    monkeypatch.setattr(module, "REMEMBERED_SECONDS", 0.0)


class SlowStore(MemoryStore):
    """Its check waits."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = asyncio.Event()
        self.asked = asyncio.Semaphore(0)
        self.checks = 0

    async def check(self) -> Checked:
        self.checks += 1
        if not self.goes_on.is_set():
            self.asked.release()
        await self.goes_on.wait()
        return await super().check()


async def test_it_serves_once_the_database_is_open_and_remembers_which(
    readiness: Readiness, store: MemoryStore, tmp_path: Path
) -> None:
    assert await readiness.cause() == "it is starting"
    await readiness.open()
    assert await readiness.cause() == ""
    await readiness.serve_when_ready(0.0)
    assert known_instance(tmp_path / "data") == store.instance
    await readiness.open()


@pytest.mark.usefixtures("_forgetful")
async def test_a_database_that_is_away_is_the_cause_until_it_is_back(readiness: Readiness, store: MemoryStore) -> None:
    await readiness.open()
    store.away = True
    assert await readiness.cause() != ""
    # Requests still come through: they are held at the store.
    await readiness.serve_when_ready(0.0)
    store.away = False
    assert await readiness.cause() == ""


async def test_one_look_serves_all_who_ask_within_a_second(readiness: Readiness, store: MemoryStore) -> None:
    await readiness.open()
    calls = store.calls
    assert await asyncio.gather(*(readiness.cause() for _ in range(50))) == [""] * 50
    assert store.calls == calls


@pytest.mark.usefixtures("_forgetful")
async def test_those_who_ask_at_once_share_a_look_under_way(tmp_path: Path) -> None:
    store = SlowStore()
    readiness = Readiness(store, KEYS, tmp_path)
    store.goes_on.set()
    await readiness.open()
    store.goes_on.clear()
    checks = store.checks
    asking = [asyncio.create_task(readiness.cause()) for _ in range(20)]
    await store.asked.acquire()
    store.goes_on.set()
    assert await asyncio.gather(*asking) == [""] * 20
    assert store.checks == checks + 1


@pytest.mark.usefixtures("_forgetful")
async def test_a_database_that_hangs_is_a_cause_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.05)
    store = SlowStore()
    readiness = Readiness(store, KEYS, tmp_path)
    store.goes_on.set()
    await readiness.open()
    store.goes_on.clear()
    assert "does not answer" in await readiness.cause()
    store.goes_on.set()
    assert await readiness.cause() == ""


async def test_another_database_than_the_known_one_is_not_opened(tmp_path: Path) -> None:
    await Readiness(MemoryStore(), KEYS, tmp_path).open()
    other = MemoryStore()
    other.instance = "another"
    readiness = Readiness(other, KEYS, tmp_path)
    with pytest.raises(IntegrityError, match="muniment privacy recover"):
        await readiness.open()
    with pytest.raises(NotReadyError):
        await readiness.serve_when_ready(0.0)
    assert known_instance(tmp_path) == MemoryStore().instance


@pytest.mark.usefixtures("_forgetful")
@pytest.mark.parametrize("change", ["instance", "recovers", "keys"])
async def test_a_database_that_changes_under_way_ends_the_serving(
    readiness: Readiness, store: MemoryStore, change: str
) -> None:
    await readiness.open()
    setattr(store, change, {"instance": "another", "recovers": True, "keys": set()}[change])
    assert await readiness.cause() != ""
    with pytest.raises(NotReadyError):
        await readiness.serve_when_ready(0.0)
    assert readiness.recovering is (change == "recovers")


async def test_a_member_that_recovers_does_not_serve_and_remembers_nothing(
    readiness: Readiness, store: MemoryStore, tmp_path: Path
) -> None:
    store.recovers = True
    with pytest.raises(NotReadyError, match="recovered"):
        await readiness.open()
    assert readiness.recovering
    assert known_instance(tmp_path / "data") == ""
    store.recovers = False
    await readiness.open()
    assert not readiness.recovering


async def test_requests_wait_for_the_start_out_of_their_own_patience(tmp_path: Path) -> None:
    store = SlowStore()
    readiness = Readiness(store, KEYS, tmp_path)
    async with asyncio.TaskGroup() as group:
        with patience(20.0) as mine:
            group.create_task(readiness.serve_when_ready(20.0))
        group.create_task(readiness.open())
        await store.asked.acquire()
        store.goes_on.set()
    assert mine.used
    begun = time.monotonic()
    slow = Readiness(MemoryStore(), KEYS, Path("/nowhere"))
    with patience(0.05), pytest.raises(NotReadyError, match="starting"):
        await slow.serve_when_ready(20.0)
    assert time.monotonic() - begun < 10


async def test_a_node_that_asks_at_its_start_is_not_told_of_a_short_cause(readiness: Readiness) -> None:
    asking = asyncio.create_task(readiness.lasting_cause(20.0))
    await readiness.open()
    assert await asking == ""
    readiness.stopping = True
    assert await readiness.lasting_cause(20.0) == "it is being stopped"


async def test_a_lasting_cause_is_told(readiness: Readiness) -> None:
    readiness.failed("the database is away")
    assert await readiness.lasting_cause(0.1) == "the database is away"


async def test_opening_goes_on_until_the_database_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = iter([TemporaryError("away", delay=0.01), IntegrityError("foreign")])
    monkeypatch.setattr(module, "REMEMBERED_SECONDS", 0.01)
    causes = []

    class Failing(MemoryStore):
        async def migrate(self) -> None:
            causes.append(await failing.cause())
            if error := next(failures, None):
                raise error

    failing = Readiness(Failing(), KEYS, tmp_path)
    await open_patiently(failing, asyncio.Event())
    assert causes == ["it is starting", "away", "foreign"]
    assert await failing.cause() == ""


async def test_opening_ends_with_the_process() -> None:
    stopping = asyncio.Event()
    stopping.set()
    readiness = Readiness(MemoryStore(), KEYS, Path("/nowhere"))
    await open_patiently(readiness, stopping)
    assert await readiness.cause() == "it is starting"


async def test_the_status_interface_tells_it(readiness: Readiness) -> None:
    metrics = Metrics()
    app = StatusApp(readiness, metrics).app()
    assert (await call(app, "GET", b"/live")).status == 200
    answer = await call(app, "GET", b"/ready")
    assert (answer.status, answer.json()) == (503, {"ready": False, "cause": "it is starting"})
    await readiness.open()
    answer = await call(app, "GET", b"/ready")
    assert (answer.status, answer.json()) == (200, {"ready": True, "cause": ""})
    assert b"muniment_privacy_ready 1.0" in (await call(app, "GET", b"/metrics")).body
    readiness.stopping = True
    for path in (b"/ready", b"/ready/members"):
        assert (await call(app, "GET", path)).status == 503
    assert (await call(app, "GET", b"/live")).status == 200


@pytest.mark.usefixtures("_forgetful")
async def test_other_members_may_come_while_this_one_recovers(readiness: Readiness, store: MemoryStore) -> None:
    app = StatusApp(readiness, Metrics()).app()
    await readiness.open()
    store.recovers = True
    assert (await call(app, "GET", b"/ready")).status == 503
    assert (await call(app, "GET", b"/ready/members")).status == 200
    store.away = True
    assert (await call(app, "GET", b"/ready/members")).status == 503
