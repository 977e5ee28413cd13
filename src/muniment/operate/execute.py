"""Starting: everything is checked first, then one plan is carried out, step by step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from muniment.clients.probe import ReadinessClient
from muniment.identity.model import Identities
from muniment.identity.store import IdentityStore
from muniment.kernel.encoding import pretty_json
from muniment.kernel.errors import MunimentError, PermanentError
from muniment.kernel.events import Listener, Step, ignore
from muniment.kernel.files import make_private_directory, write_atomically
from muniment.kernel.waiting import NotYetError, wait_for
from muniment.operate.health import Assessment, assess
from muniment.operate.observe import observe_with
from muniment.operate.plan import Action, PlannedStep, plan
from muniment.operate.record import Record, endpoints, record_of, to_document
from muniment.operate.rollout import UNIT_SECONDS, Rollout
from muniment.operate.state import State
from muniment.operate.status import Status
from muniment.proof.contract import CONTRACT_ADDRESS
from muniment.spec.model import Consortium
from muniment.targets.base import Target
from muniment.topology.derive import derive
from muniment.topology.layout import Layout
from muniment.topology.model import Addresses, Topology

READY_SECONDS = 300.0
"""So long everything together may take to become ready."""

CAUSES = 3


def as_it_is(spec: Consortium) -> Consortium:
    """For targets that take a specification as it is written."""
    return spec


@dataclass(frozen=True)
class Deployment:
    """Everything that is known before anything starts."""

    spec: Consortium
    identities: Identities
    assessment: Assessment
    topology: Topology
    record: Record


def prepare(
    spec: Consortium,
    base: Path,
    state: State,
    addresses: Callable[[Consortium], Addresses],
    *,
    settle: Callable[[Consortium], Consortium] = as_it_is,
    layout: Layout = Layout.MEMBER,
) -> Deployment:
    """Make the identities and the genesis that are missing, check all, and derive what shall run. Starts nothing.

    `base` is the directory that paths in the specification are relative to; `settle` turns the specification into what
    a target makes of it. Raises `InputError` or `IntegrityError`.
    """
    spec = settle(absolute(spec, base))
    make_private_directory(state.root)
    store = IdentityStore(state.identity)
    identities = store.ensure(spec, base)
    genesis = store.genesis(spec, identities)
    topology = derive(spec, identities, addresses(spec), genesis, layout)
    return Deployment(spec, identities, assess(spec, identities), topology, record_of(spec, identities, topology))


def absolute(spec: Consortium, base: Path) -> Consortium:
    """The specification with absolute paths: it means the same wherever it is read."""
    members = {}
    for name, member in spec.members.items():
        changes: dict[str, object] = {}
        if member.identity is not None:
            changes["identity"] = str((base / member.identity).absolute())
        if member.database.password_file is not None:
            path = str((base / member.database.password_file).absolute())
            changes["database"] = member.database.model_copy(update={"password_file": path})
        members[name] = member.model_copy(update=changes)
    return spec.model_copy(update={"members": members})


async def up(
    deployment: Deployment,
    target: Target,
    state: State,
    *,
    wait: float | None = READY_SECONDS,
    unit_seconds: float = UNIT_SECONDS,
    listener: Listener = ignore,
) -> None:
    """Start what does not run, change what runs one after the other, and wait at most `wait` seconds until all is ready
    (None: change all at once, and do not wait). `unit_seconds` is how long each changed unit may take to be fit again.

    Running it again after an interruption goes on where it ended. Raises `InputError` when a port is taken or the disk
    is full (then nothing was started), `WaitTimeoutError` with the causes when something does not become ready.
    """
    observed = await asyncio.to_thread(target.observe)
    for step in plan(deployment.topology, observed, wait=wait is not None):
        state.note(step.action, "begin")
        try:
            await _carry_out(step, deployment, target, state, Patience(wait or 0, unit_seconds), listener)
        except MunimentError as error:
            state.note(step.action, "failed", str(error))
            raise
        state.note(step.action, "end")


@dataclass(frozen=True)
class Patience:
    """How long is waited, in seconds."""

    whole: float
    """For everything together."""
    unit: float
    """For each unit of a rolling change."""


async def _carry_out(
    step: PlannedStep, deployment: Deployment, target: Target, state: State, patience: Patience, listener: Listener
) -> None:
    match step.action:
        case Action.CHECK:
            state.check_space()
            await asyncio.to_thread(target.check, deployment.topology)
        case Action.APPLY:
            for name in step.subjects:
                listener(Step(name, "starting"))
            await asyncio.to_thread(_apply, deployment, target, state)
        case Action.ROLL:
            await _roll(deployment, target, state, patience.unit, listener)
        case Action.AWAIT:
            await _await_ready(deployment.record, target, patience.whole, listener)


async def _roll(deployment: Deployment, target: Target, state: State, unit_seconds: float, listener: Listener) -> None:
    with state.lock():
        _save(deployment, state)
        async with ReadinessClient() as client:
            rollout = Rollout(
                topology=deployment.topology,
                target=target,
                observe=lambda: observe_with(deployment.record, target, client),
                unit_seconds=unit_seconds,
                listener=listener,
                note=lambda unit, said: state.note(f"change {unit}", said),
            )
            await rollout.run()


def _apply(deployment: Deployment, target: Target, state: State) -> None:
    with state.lock():
        _save(deployment, state)
        target.apply(deployment.topology)


def _save(deployment: Deployment, state: State) -> None:
    """Leave in the state directory what later verbs and applications need."""
    spec, record = deployment.spec, deployment.record
    text = yaml.safe_dump(spec.model_dump(mode="json", exclude_unset=True), sort_keys=False, allow_unicode=True)
    for name, content in (
        ("specification.yaml", text),
        ("endpoints.json", pretty_json(endpoints(record, spec, CONTRACT_ADDRESS))),
        ("deployment.json", pretty_json(to_document(record))),
    ):
        write_atomically(state.root / name, content.encode())


async def _await_ready(record: Record, target: Target, seconds: float, listener: Listener) -> None:
    told: dict[str, str | None] = {}
    async with ReadinessClient() as client:

        async def probe() -> None:
            status = await observe_with(record, target, client)
            _tell(status, told, listener)
            if not any(seen.process.running or seen.process.starting for seen in status.observations.values()):
                raise PermanentError(f"{record.consortium} was stopped before it was ready")
            if status.unready or status.fault:
                raise NotYetError(_causes(status))

        await wait_for(f"the start of {record.consortium}", probe, timeout=seconds)


def _tell(status: Status, told: dict[str, str | None], listener: Listener) -> None:
    """Tell what changed since the last time."""
    for name, seen in status.observations.items():
        if name in told and told[name] == seen.cause:
            continue
        told[name] = seen.cause
        listener(Step(name, "ready", "end") if seen.ready else Step(name, seen.cause, "progress"))


def _causes(status: Status) -> str:
    causes = [status.fault] if status.fault else []
    causes += [f"{part.name}: {status.observations[part.name].cause}" for part in status.unready]
    more = f"; and {len(causes) - CAUSES} more (`muniment status`)" if len(causes) > CAUSES else ""
    return "; ".join(causes[:CAUSES]) + more
