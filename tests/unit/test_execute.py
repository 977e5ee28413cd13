"""Starting: checks, plan, journal, waiting; and the files of a state directory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from muniment.clients.probe import ReadinessClient
from muniment.kernel.errors import InputError, IntegrityError, PermanentError, WaitTimeoutError
from muniment.kernel.events import Step
from muniment.operate import execute
from muniment.operate.execute import Deployment
from muniment.operate.record import Part
from muniment.operate.state import State
from muniment.operate.stop import down
from muniment.spec.model import Consortium
from muniment.targets.loopback import LoopbackAddresses
from muniment.topology.model import Probe
from tests.unit.deployments import FakeTarget, deployment

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def answering(status: str, body: str = "") -> AsyncIterator[str]:
    """A web server with one answer; gives its URL."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body.encode())}\r\nConnection: close\r\n\r\n"
        writer.write((head + body).encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/ready"


def ready_at(url: str) -> Deployment:
    """The deployment, with every readiness asked at `url`."""
    made = deployment()

    def moved(part: Part) -> Part:
        return replace(part, ready=Probe(url))

    return replace(made, record=replace(made.record, parts=tuple(moved(part) for part in made.record.parts)))


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path)


def journal(state: State) -> list[tuple[str, str]]:
    lines = [json.loads(line) for line in (state.root / "journal.jsonl").read_text().splitlines()]
    return [(line["action"], line["state"]) for line in lines]


async def test_up_tells_every_workload_and_keeps_its_record(state: State) -> None:
    target, told = FakeTarget(), list[Step]()
    async with answering("200 OK") as url:
        made = ready_at(url)
        await execute.up(made, target, state, listener=told.append)
    assert target.calls == ["check", "apply"]
    names = {workload.name for workload in made.topology.workloads}
    assert {step.subject for step in told if step.state == "begin"} == names
    assert {step.subject for step in told if step.state == "end"} == names
    assert state.record() == made.record
    assert journal(state) == [(action, what) for action in ("check", "apply", "await") for what in ("begin", "end")]
    endpoints = json.loads((state.root / "endpoints.json").read_bytes())
    assert endpoints["members"]["alpha"]["notary"] == "http://127.0.0.1:21003"
    assert (endpoints["network"], endpoints["chain_id"]) == ("demo", 1337)
    assert endpoints["contract"].startswith("0x")


async def test_nothing_starts_when_something_is_in_the_way(state: State) -> None:
    target = FakeTarget(in_the_way="port 21010 is in use")
    with pytest.raises(InputError, match="21010"):
        await execute.up(deployment(), target, state)
    assert target.calls == ["check"]
    assert journal(state)[-1] == ("check", "failed")
    assert not (state.root / "deployment.json").exists()


async def test_what_does_not_get_ready_is_named_with_its_cause(state: State) -> None:
    async with answering("503 Service Unavailable", '{"ready": false, "cause": "12 blocks behind"}') as url:
        with pytest.raises(WaitTimeoutError, match=r"demo.*0\.3 s: alpha-privacy-1: 12 blocks behind; .*and 16 more"):
            await execute.up(ready_at(url), FakeTarget(), state, wait=0.3)
    assert journal(state)[-1] == ("await", "failed")


async def test_stopped_by_somebody_else_while_waiting(state: State) -> None:
    class Stopping(FakeTarget):
        def apply(self, topology: object) -> None:
            del topology

    with pytest.raises(PermanentError, match="was stopped before it was ready"):
        await execute.up(deployment(), Stopping(), state)


async def test_without_waiting(state: State) -> None:
    target = FakeTarget()
    await execute.up(deployment(), target, state, wait=None)
    assert journal(state)[-1] == ("apply", "end")


@pytest.mark.parametrize(
    ("status", "body", "cause"),
    [
        ("200 OK", "", ""),
        ("503 No", '{"cause": "no peers"}', "no peers"),
        ("503 No", '{"detail": "database is away"}', "database is away"),
        ("503 No", "plain", "it answers with status 503"),
        ("404 No", "[]", "it answers with status 404"),
    ],
)
async def test_causes_of_a_refusal(status: str, body: str, cause: str) -> None:
    async with answering(status, body) as url, ReadinessClient() as client:
        assert await client.cause(url) == cause


async def test_cause_of_silence() -> None:
    async with answering("200 OK") as url:
        pass
    async with ReadinessClient() as client:
        assert await client.cause(url) == "it does not listen yet"


def minimal(**member: object) -> Consortium:
    return Consortium.model_validate({"name": "demo", "members": {"alpha": {"nodes": 1, **member}}})


def addresses(state: State) -> execute.Callable[[Consortium], LoopbackAddresses]:
    return lambda spec: LoopbackAddresses(spec, state.root)


def test_prepare_twice_is_the_same(state: State) -> None:
    spec = minimal(peers=2)
    first = execute.prepare(spec, state.root, state, addresses(state))
    assert execute.prepare(spec, state.root, state, addresses(state)) == first


def test_prepare_refuses_another_chain(state: State) -> None:
    spec = minimal(peers=2)
    execute.prepare(spec, state.root, state, addresses(state))
    other = spec.model_copy(update={"chain": spec.chain.model_copy(update={"id": 5})})
    with pytest.raises(IntegrityError, match="chain"):
        execute.prepare(other, state.root, state, addresses(state))


def test_prepare_in_a_place_that_is_a_file(tmp_path: Path) -> None:
    place = State(tmp_path / "state")
    place.root.write_text("I was here first")
    with pytest.raises(InputError, match=str(place.root)):
        execute.prepare(minimal(), tmp_path, place, addresses(place))


def test_paths_become_absolute() -> None:
    fields = {
        "members": {
            "alpha": {"database": {"url": "postgresql://u@h/d", "password_file": "db.password"}},
            "beta": {"identity": "beta.public.yaml"},
        }
    }
    found = execute.absolute(Consortium.model_validate(fields), Path("/etc/muniment"))
    assert found.members["alpha"].database.password_file == "/etc/muniment/db.password"
    assert found.members["beta"].identity == "/etc/muniment/beta.public.yaml"
    again = Consortium.model_validate(yaml.safe_load(yaml.safe_dump(found.model_dump(mode="json", exclude_unset=True))))
    assert again.members == found.members


def test_down_where_nothing_is(tmp_path: Path) -> None:
    target = FakeTarget()
    assert not down(target, State(tmp_path / "nothing"))
    assert not (tmp_path / "nothing").exists()


def test_record_of_nothing(state: State) -> None:
    with pytest.raises(InputError, match="muniment up"):
        state.record()


def test_damaged_record(state: State) -> None:
    (state.root / "deployment.json").write_text('{"consortium": "de')
    with pytest.raises(InputError, match="is damaged"):
        state.record()


def test_purge_leaves_what_is_not_ours(state: State) -> None:
    (state.root / "data" / "alpha-1").mkdir(parents=True)
    (state.root / "endpoints.json").write_text("{}")
    (state.root / "notes.txt").write_text("of the user")
    state.purge()
    assert [path.name for path in state.root.iterdir()] == ["notes.txt"]
    (state.root / "notes.txt").unlink()
    state.purge()
    assert not state.root.exists()
