"""`muniment privacy renew`: new TLS certificates for managers and nodes that go on running."""

from __future__ import annotations

from pathlib import Path

import click

from muniment.cli import options
from muniment.identity.store import IdentityStore
from muniment.operate import execute
from muniment.operate.state import State
from muniment.spec.load import load
from muniment.spec.model import Consortium
from muniment.targets.local import LocalTarget
from muniment.targets.loopback import LoopbackAddresses


@click.command()
@options.specification
@options.state
def renew(spec: Path, state: Path) -> None:
    """Make the TLS certificates of all members of ours anew, each signed by its member's authority.

    Running managers and nodes take them up without a restart. `muniment up` does the same by itself for certificates
    that end within 30 days, and for those that lack a name of the specification.
    """
    place = State(options.absolute(state))
    store = IdentityStore(place.identity)
    consortium = load(spec)
    ends = store.renew(consortium, spec.absolute().parent)
    _put_in_place(consortium, spec.absolute().parent, place, store)
    for member, end in ends.items():
        click.echo(f"{member}: new certificate, good until {end:%Y-%m-%d}")


def _put_in_place(spec: Consortium, base: Path, place: State, store: IdentityStore) -> None:
    def addresses(wanted: Consortium) -> LoopbackAddresses:
        return LoopbackAddresses(wanted, place.root)

    deployment = execute.prepare(spec, base, place, addresses)
    with place.lock():
        LocalTarget(place.root, {}, store.secret).refresh(deployment.topology)
