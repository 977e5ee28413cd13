"""The commands that work on a specification: init, up, render, member."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import click

from muniment.cli import options, report, targets
from muniment.cli.progress import listener
from muniment.cli.render_compose import render_compose
from muniment.cli.render_kubernetes import render_kubernetes
from muniment.engines.build import ensure_engines
from muniment.engines.cache import built_path
from muniment.engines.catalogue import ENGINES
from muniment.engines.find import locate
from muniment.identity import export as exporting
from muniment.identity.store import IdentityStore
from muniment.kernel.errors import InputError
from muniment.kernel.files import write_atomically
from muniment.operate import execute, rollout
from muniment.operate.state import State
from muniment.operate.stop import down
from muniment.spec.load import load
from muniment.spec.model import Consortium
from muniment.spec.template import commented_specification, json_schema
from muniment.targets.base import Target
from muniment.targets.compose import addresses as compose
from muniment.targets.kubernetes.addresses import OutsideAddresses, settled
from muniment.targets.local import render_into
from muniment.targets.loopback import LoopbackAddresses
from muniment.topology.model import Program, Topology


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write it; default: consortium.yaml. A file that is there is never overwritten.",
)
@click.option("--schema", is_flag=True, help="Write the JSON schema of the specification instead, for your editor.")
def init(output: Path | None, schema: bool) -> None:
    """Write a commented specification to start from.

    It describes one member with three nodes and three IPFS peers; every field stands there with its default and its
    meaning. With --schema and no -o the schema goes to standard output.
    """
    text = json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n" if schema else commented_specification()
    if schema and output is None:
        click.echo(text, nl=False)
        return
    path = output or options.SPECIFICATION
    if path.exists():
        raise InputError(f"{path} is there already and is not overwritten: remove it, or choose another name with -o")
    write_atomically(path, text.encode())
    click.echo(f"wrote {path}" + ("" if schema else f"; start it with: muniment up {path}"))


@click.command()
@options.specification
@options.state
@targets.options
@click.option("--detach", is_flag=True, help="Return when everything is ready; it goes on in the background.")
@click.option("--no-wait", is_flag=True, help="With --detach: change all at once, and do not wait.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=execute.READY_SECONDS,
    show_default=True,
    help="Seconds that everything together may take to become ready.",
)
@options.unit_timeout(rollout.UNIT_SECONDS)
def up(
    spec: Path,
    state: Path,
    target: str | None,
    kubeconfig: Path | None,
    context: str | None,
    namespace: str | None,
    detach: bool,
    no_wait: bool,
    timeout: float,
    unit_timeout: float,
) -> None:
    """Start a consortium, on this machine or on Kubernetes, and wait until it is ready.

    SPEC is its specification (default: consortium.yaml). Identities are made at the first start, and kept; engines
    that are not there yet are built. Run it again at any time: it starts what does not run, restarts what changed in
    the specification, and leaves the rest alone.

    What runs is changed one node after the other, each only while the chain and the member's gateway go on without it;
    where a changed node does not become fit, it stops. With --no-wait everything is changed at once.

    Without --detach it stays in the foreground, shows what changes, and stops everything at Ctrl-C. On Kubernetes it
    always goes on in the background; identities are kept in Secrets there.
    """
    place = State(options.absolute(state))
    choice = targets.choose(place, target, kubeconfig, context, namespace)
    detach = detach or choice.target is not targets.Kind.LOCAL
    if no_wait and not detach:
        raise click.UsageError("--no-wait goes with --detach only")
    deployment, in_cluster = targets.prepare(spec, place, choice)
    report.assessment(deployment.assessment, deployment.spec.name)
    with listener() as listen:
        chosen = in_cluster or _local(place, ensure_engines(listen, _engines(deployment.topology)))
        wait = None if no_wait else timeout
        starting = execute.up(deployment, chosen, place, wait=wait, unit_seconds=unit_timeout, listener=listen)
        _interruptible(lambda: asyncio.run(starting), place, chosen, detach=detach)
    report.members(deployment.record)
    if not detach:
        report.foreground(deployment.record, chosen, stop=lambda: down(chosen, place))


@click.group()
def render() -> None:
    """Write the files of a deployment without starting it."""


@render.command("local")
@options.specification
@options.state
@options.output_directory
def render_local(spec: Path, state: Path, output: Path) -> None:
    """Write what `muniment up` would run on this machine: every configuration file, and the supervisor's.

    Identities are made in --state when they are not there yet, as `up` does it. The files hold secrets (mode 0600) and
    paths of --state: they are for reading, not for moving.
    """
    place = State(options.absolute(state))
    deployment = targets.prepare_local(load(spec), spec.absolute().parent, place)
    programs = {engine.name: _expected(engine.name) for engine in ENGINES}
    secret = IdentityStore(place.identity).secret
    rendered = render_into(output.absolute(), deployment.topology, place.root, programs, secret)
    click.echo(f"wrote the files of {len(rendered)} workloads to {output}")


render.add_command(render_compose)
render.add_command(render_kubernetes)


_EXPORTS: dict[str, tuple[Callable[[Consortium], Consortium], Callable[[Consortium, Path], exporting.Reach]]] = {
    targets.Kind.LOCAL.value: (execute.as_it_is, LoopbackAddresses),
    "compose": (compose.settled, lambda spec, _: compose.OutsideAddresses(spec)),
    targets.Kind.KUBERNETES.value: (settled, lambda spec, _: OutsideAddresses(spec)),
}
"""By target: what it makes of a specification, and where others reach what runs there."""


@click.group()
def member() -> None:
    """The public part of a member, for other operators."""


@member.command()
@click.argument("name", metavar="MEMBER")
@options.specification
@options.state
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File; default: standard output.")
@click.option(
    "--target",
    type=click.Choice(sorted(_EXPORTS)),
    default=targets.Kind.LOCAL.value,
    show_default=True,
    help="Where the member runs: it says where others reach it.",
)
def export(name: str, spec: Path, state: Path, output: Path | None, target: str) -> None:
    """Write the public file of MEMBER: enode IDs, validator addresses, peer IDs, and where they are reached.

    It holds no secret. Other operators name it in their specification instead of making keys for this member:

    \b
      members:
        MEMBER: {identity: MEMBER.public.yaml}
    """
    place = State(options.absolute(state))
    consortium = load(spec)
    if name not in consortium.own_members:
        own = ", ".join(consortium.own_members)
        raise InputError(f"{name} is not a member that {spec} runs: there are {own}")
    settle, addresses_of = _EXPORTS[target]
    identities = IdentityStore(place.identity).ensure(settle(consortium), spec.parent)
    addresses = addresses_of(consortium, place.root)
    public = exporting.export(identities.of(name), addresses, consensus=consortium.chain.consensus)
    if output is None:
        click.echo(exporting.dump(public), nl=False)
        return
    write_atomically(output, exporting.dump(public).encode())
    click.echo(f"wrote {output}")


def _local(place: State, programs: dict[str, Path]) -> Target:
    return targets.local(place, programs, IdentityStore(place.identity))


def _engines(topology: Topology) -> list[str]:
    return sorted({w.program.value for w in topology.workloads if w.program is not Program.MUNIMENT})


def _expected(name: str) -> Path:
    """Where the engine is, or will be once it is built."""
    engine = next(engine for engine in ENGINES if engine.name == name)
    found = locate(engine)
    if found:
        return found.path
    return built_path(engine, engine.source) if engine.source else Path(name)


def _interruptible(work: Callable[[], None], place: State, target: Target, *, detach: bool) -> None:
    """Do `work`; Ctrl-C stops what it started in the foreground, and leaves it with --detach."""
    try:
        work()
    except KeyboardInterrupt:
        if detach:
            click.echo(
                "interrupted; what was started goes on: see `muniment status`, stop it by `muniment down`", err=True
            )
        else:
            down(target, place)
        raise
