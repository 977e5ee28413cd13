"""`muniment render compose`: a folder for docker compose."""

from __future__ import annotations

from pathlib import Path

import click

from muniment.cli import options
from muniment.identity.store import IdentityStore
from muniment.operate import execute
from muniment.operate.manifests import secrets_of
from muniment.operate.state import State
from muniment.spec.load import load
from muniment.targets.compose.addresses import ComposeAddresses, settled
from muniment.targets.compose.rendering import write
from muniment.targets.containers.images import images


@click.command("compose")
@options.specification
@options.state
@options.output_directory
def render_compose(spec: Path, state: Path, output: Path) -> None:
    """Write a folder for docker compose: start it there with `docker compose up -d`.

    Identities are made in --state when they are not there yet, as `up` does it. The folder holds the secrets of this
    consortium (mode 0600): keep it as carefully as the state directory. Rendered again, only what changed in the
    specification changes, and `docker compose up -d` restarts just that.
    """
    place = State(options.absolute(state))
    wanted, base = load(spec), spec.absolute().parent
    deployment = execute.prepare(wanted, base, place, ComposeAddresses, settle=settled)
    secret = secrets_of(wanted, base, IdentityStore(place.identity).secret)
    given = images(deployment.spec.images.model_dump(exclude_none=True))
    write(output.absolute(), deployment.topology, deployment.spec, given, secret)
    count = len(deployment.topology.workloads)
    click.echo(f"wrote {count} workloads to {output}; start them with: cd {output} && docker compose up -d")
